//! Signs requests in a homeserver's name, with its key or with another.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use crate::client::Request;

/// A homeserver's name and a key.
#[derive(Debug)]
pub struct Signer {
    name: String,
    key_id: String,
    key: Ed25519KeyPair,
}

impl Signer {
    /// With the key in a file of Synapse's format: `ed25519 VERSION SEED`.
    pub fn from_file(name: &str, file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let words: Vec<_> = text.split_whitespace().collect();
        let ["ed25519", version, seed] = words[..] else {
            panic!("{} is no file of one signing key", file.display());
        };
        let seed = STANDARD_NO_PAD.decode(seed).expect("a seed is base64");
        Self::new(name, format!("ed25519:{version}"), &seed)
    }

    /// Somebody who has not the key, and says that theirs is it.
    #[must_use]
    pub fn impostor(&self) -> Self {
        Self::new(&self.name, self.key_id.clone(), &[7; 32])
    }

    fn new(name: &str, key_id: String, seed: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            key_id,
            key: Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed has 32 bytes"),
        }
    }

    /// A transaction to `destination` with presence: the entries of `push`.
    pub fn presence(&self, destination: &str, transaction: &str, push: &[Value]) -> Request {
        let body = json!({
            "origin": self.name,
            "origin_server_ts": 0,
            "pdus": [],
            "edus": [{"edu_type": "m.presence", "content": {"push": push}}],
        });
        let path = format!("/_matrix/federation/v1/send/{transaction}");
        // What is signed is canonical JSON (Matrix specification, appendices); maps of `serde_json` are sorted.
        let signed = json!({
            "method": "PUT",
            "uri": path,
            "origin": self.name,
            "destination": destination,
            "content": body,
        });
        let signature = self.key.sign(signed.to_string().as_bytes());
        let authorization = format!(
            "X-Matrix origin=\"{}\",destination=\"{destination}\",key=\"{}\",sig=\"{}\"",
            self.name,
            self.key_id,
            STANDARD_NO_PAD.encode(signature)
        );
        Request::new("PUT", path)
            .header("Authorization", &authorization)
            .body(body.to_string())
    }
}

//! Signs files as `minisign -S` does: for tests of `trusted_keys`.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The algorithm of a key, and of a signature of the file itself rather than of its hash.
const PLAIN: &[u8] = b"Ed";

/// Who signs.
#[derive(Debug)]
pub struct Signer {
    id: [u8; 8],
    key: Ed25519KeyPair,
}

impl Signer {
    /// Another one for each number; their id is `010101…` for 1.
    pub fn new(number: u8) -> Self {
        Self {
            id: [number; 8],
            key: Ed25519KeyPair::from_seed_unchecked(&[number; 32]).expect("a seed has 32 bytes"),
        }
    }

    /// The public key, as `trusted_keys` lists it.
    pub fn public_key(&self) -> String {
        STANDARD.encode([PLAIN, &self.id, self.key.public_key().as_ref()].concat())
    }

    /// Writes the public key into a file, as `minisign -G` does.
    pub fn write_public_key(&self, file: &Path) {
        let text = format!("untrusted comment: minisign public key\n{}\n", self.public_key());
        fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Signs what is in the file now. Answers where the signature is.
    pub fn sign(&self, file: &Path) -> PathBuf {
        const COMMENT: &str = "made by a test";
        let content = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let signature = self.key.sign(&content);
        let of_comment = self.key.sign(&[signature.as_ref(), COMMENT.as_bytes()].concat());
        let text = format!(
            "untrusted comment: a signature\n{}\ntrusted comment: {COMMENT}\n{}\n",
            STANDARD.encode([PLAIN, &self.id, signature.as_ref()].concat()),
            STANDARD.encode(of_comment.as_ref()),
        );
        let path = PathBuf::from(format!("{}.minisig", file.display()));
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

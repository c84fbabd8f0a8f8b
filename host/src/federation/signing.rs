//! Other homeservers, for tests: their keys and what they sign. Signs by `ruma-signatures`, apart from what is tested.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use ruma_common::canonical_json::try_from_json_map;
use ruma_common::serde::Base64;
use ruma_common::serde::base64::Standard;
use ruma_signatures::{Ed25519KeyPair, KeyPair, sign_json};
use serde_json::{Value, json};

use crate::federation::VerifyKey;

/// A PKCS#8 document up to the key in it.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A homeserver with one key.
pub(crate) struct Signer {
    server: String,
    key_id: String,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// The same `seed` is the same key.
    pub(crate) fn new(server: &str, version: &str, seed: u8) -> Self {
        let document = [&PKCS8[..], &[seed; 32]].concat();
        Self {
            server: server.to_owned(),
            key_id: format!("ed25519:{version}"),
            pair: Ed25519KeyPair::from_der(&document, version.to_owned()).expect("a key"),
        }
    }

    pub(crate) fn public_key(&self) -> String {
        Base64::<Standard>::new(self.pair.public_key().to_vec()).encode()
    }

    pub(crate) fn verify_key(&self) -> VerifyKey {
        VerifyKey {
            id: self.key_id.as_str().into(),
            bytes: self.pair.public_key(),
        }
    }

    /// Adds its signature, in place of an earlier one of the same key.
    pub(crate) fn signed(&self, object: Value) -> Value {
        let Value::Object(map) = object else {
            panic!("only objects are signed");
        };
        let mut object = try_from_json_map(map).expect("canonical");
        sign_json(&self.server, &self.pair, &mut object).expect("signed");
        serde_json::to_value(object).expect("JSON")
    }

    /// Its signature of these bytes.
    pub(crate) fn signature_of(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_bytes().to_vec()
    }

    /// What it answers to `GET /_matrix/key/v2/server`.
    pub(crate) fn key_response(&self, valid_until: u64) -> Value {
        // The largest integer of canonical JSON is 2^53 - 1.
        let valid_until = valid_until.min((1 << 53) - 1);
        self.signed(json!({
            "server_name": self.server,
            "valid_until_ts": valid_until,
            "verify_keys": {(self.key_id.as_str()): {"key": self.public_key()}},
            "old_verify_keys": {},
        }))
    }

    /// The signature of a request.
    pub(crate) fn signature(
        &self,
        method: &str,
        uri: &str,
        destination: &str,
        content: Option<&Value>,
    ) -> String {
        let mut request = json!({
            "method": method,
            "uri": uri,
            "origin": self.server,
            "destination": destination,
        });
        if let Some(content) = content {
            request["content"] = content.clone();
        }
        let signed = self.signed(request);
        let signature = &signed["signatures"][&self.server][&self.key_id];
        signature.as_str().expect("a signature").to_owned()
    }

    /// The signature of a `PUT` whose body is written canonically already, be it canonical or not.
    pub(crate) fn raw(&self, uri: &str, destination: &str, content: &str) -> String {
        let origin = &self.server;
        let message = format!(
            r#"{{"content":{content},"destination":"{destination}","method":"PUT","origin":"{origin}","uri":"{uri}"}}"#
        );
        Base64::<Standard>::new(self.signature_of(message.as_bytes())).encode()
    }

    /// The header of a request.
    pub(crate) fn header(
        &self,
        method: &str,
        uri: &str,
        destination: &str,
        content: Option<&Value>,
    ) -> String {
        let (server, key) = (&self.server, &self.key_id);
        let sig = self.signature(method, uri, destination, content);
        format!(r#"X-Matrix origin="{server}",destination="{destination}",key="{key}",sig="{sig}""#)
    }
}

/// JSON of any shape, with texts that mean something here.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("@olga:other.test"),
            Just("online"),
            Just("m.presence"),
            Just("other.test")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let key = prop_oneof![
            Just("edu_type".to_owned()),
            Just("content".to_owned()),
            Just("push".to_owned()),
            Just("user_id".to_owned()),
            Just("presence".to_owned()),
            Just("last_active_ago".to_owned()),
            Just("status_msg".to_owned()),
            Just("currently_active".to_owned()),
            Just("event_id".to_owned()),
            ".{0,6}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

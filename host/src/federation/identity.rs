//! Who we are to other servers: our name, and the keys that prove it.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ruma_common::canonical_json::try_from_json_map;
use ruma_common::{CanonicalJsonObject, CanonicalJsonValue, OwnedServerName, ServerName};
use ruma_signatures::{JsonError, sign_json};
use serde_json::{Value, json};

use crate::config::{Federation, OldSigningKey};
use crate::federation::key_file::{KeyFileError, SigningKeys, id_of};

/// The greatest integer of [canonical JSON](https://spec.matrix.org/v1.16/appendices/#canonical-json).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Our name and our keys. Holding one proves that there is a key to sign by.
#[derive(Debug)]
pub struct Identity {
    server_name: OwnedServerName,
    keys: SigningKeys,
    key_id: String,
    old_keys: BTreeMap<String, OldSigningKey>,
}

/// Why we have no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The config names no file of keys.
    #[error("signing_key_path is missing; make a file with presence-router generate-keys, and name it there")]
    NoPath,
    /// The file is not there or is no file of keys.
    #[error("signing_key_path: the keys cannot be read")]
    Keys(#[source] KeyFileError),
    /// The server's name cannot stand in requests to others.
    #[error("server_name: {0:?} cannot be a name in the federation; its port, if any, is at most 65535")]
    Name(String),
    /// A key is said to be in use and to be an old one.
    #[error("old_signing_keys: {0:?} is in use, as signing_key_path has it; take it out of one of them")]
    OldInUse(String),
}

impl Identity {
    /// Reads the keys that the config names.
    pub fn load(server_name: &str, federation: &Federation) -> Result<Self, IdentityError> {
        let file = federation.signing_key_path.as_deref();
        let keys = SigningKeys::read(file.ok_or(IdentityError::NoPath)?).map_err(IdentityError::Keys)?;
        Self::new(server_name, keys, federation.old_signing_keys.clone())
    }

    /// The server of this name, with these keys; `old_keys` by their ids.
    pub fn new(
        server_name: &str,
        keys: SigningKeys,
        old_keys: BTreeMap<String, OldSigningKey>,
    ) -> Result<Self, IdentityError> {
        let name = ServerName::parse(server_name).map_err(|_| IdentityError::Name(server_name.to_owned()))?;
        let in_use = keys.all().iter().map(id_of);
        for id in in_use {
            if old_keys.contains_key(&id) {
                return Err(IdentityError::OldInUse(id));
            }
        }
        Ok(Self {
            server_name: name,
            key_id: id_of(keys.first()),
            keys,
            old_keys,
        })
    }

    /// Our name.
    pub fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// The id of the key that signs, such as `ed25519:a_ABCD`.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Adds our signature to an object, as the specification's
    /// [Signing JSON](https://spec.matrix.org/v1.16/appendices/#signing-json) has it. Fails when `signatures` is there
    /// and is no mapping of mappings.
    pub fn sign_json(&self, object: &mut CanonicalJsonObject) -> Result<(), JsonError> {
        sign_json(self.server_name.as_str(), self.keys.first(), object)
    }

    /// The answer of `GET /_matrix/key/v2/server`, signed by each key: our keys, which others may keep for `valid_for`.
    /// `now_ms` is the time of day, in milliseconds since the Unix epoch.
    #[expect(
        clippy::missing_panics_doc,
        reason = "it panics only when an invariant of this type is broken"
    )]
    pub fn key_response(&self, now_ms: u64, valid_for: Duration) -> Value {
        let valid_for = u64::try_from(valid_for.as_millis()).unwrap_or(u64::MAX);
        let valid_until = now_ms.saturating_add(valid_for).min(MAX_INTEGER);
        let in_use = self.keys.all().iter().map(|key| {
            let public = STANDARD_NO_PAD.encode(key.public_key());
            (id_of(key), json!({ "key": public }))
        });
        let old = self.old_keys.iter().map(|(id, old)| {
            let old = json!({ "key": old.key, "expired_ts": old.expired_ts.min(MAX_INTEGER) });
            (id.clone(), old)
        });
        let response = serde_json::Map::from_iter([
            ("server_name".to_owned(), json!(self.server_name.as_str())),
            ("verify_keys".to_owned(), in_use.collect()),
            ("old_verify_keys".to_owned(), old.collect()),
            ("valid_until_ts".to_owned(), json!(valid_until)),
        ]);
        let mut response = try_from_json_map(response)
            .expect("texts, objects and integers within bounds are canonical JSON");
        for key in self.keys.all() {
            sign_json(self.server_name.as_str(), key, &mut response)
                .expect("an object without signatures, or with ours alone, takes another");
        }
        CanonicalJsonValue::Object(response).into()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use insta::assert_snapshot;
    use ruma_common::serde::Base64;
    use ruma_signatures::{PublicKeyMap, verify_json};

    use super::*;

    /// The seed of the specification's [test vectors](https://spec.matrix.org/v1.16/appendices/#cryptographic-test-vectors).
    const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

    fn keys(text: &str) -> SigningKeys {
        SigningKeys::parse(text, Path::new("a.key")).unwrap()
    }

    fn object(json: Value) -> CanonicalJsonObject {
        serde_json::from_value(json).unwrap()
    }

    fn identity(server_name: &str, text: &str, old: &[(&str, u64)]) -> Result<Identity, IdentityError> {
        let old = old.iter().map(|(id, expired_ts)| {
            let old = OldSigningKey {
                key: "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI".to_owned(),
                expired_ts: *expired_ts,
            };
            ((*id).to_owned(), old)
        });
        Identity::new(server_name, keys(text), old.collect())
    }

    #[test]
    fn signatures_are_those_of_the_specifications_test_vectors() {
        let identity = identity("domain", &format!("ed25519 1 {SEED}"), &[]).unwrap();
        for (json, signature) in [
            (
                json!({}),
                "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
            ),
            (
                json!({"one": 1, "two": "Two"}),
                "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
            ),
        ] {
            let mut signed = object(json);
            identity.sign_json(&mut signed).unwrap();
            assert_eq!(
                Value::from(signed["signatures"].clone()),
                json!({"domain": {"ed25519:1": signature}})
            );
        }
    }

    #[test]
    fn our_keys_are_signed_by_each_of_them() {
        let second = "ed25519 b_2 NJaU9Nd1mE5SSjz0ZKn5U6gXIYoIW1fGeFwzYcDHPhA";
        let text = format!("ed25519 a_1 {SEED}\n{second}");
        let identity = identity("example.org:8448", &text, &[("ed25519:old", 1_700_000_000_000)]).unwrap();
        assert_eq!(identity.key_id(), "ed25519:a_1");
        let response = identity.key_response(1_800_000_000_000, Duration::from_hours(24));
        assert_snapshot!(serde_json::to_string_pretty(&response).unwrap(), @r#"
        {
          "old_verify_keys": {
            "ed25519:old": {
              "expired_ts": 1700000000000,
              "key": "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
            }
          },
          "server_name": "example.org:8448",
          "signatures": {
            "example.org:8448": {
              "ed25519:a_1": "j3jN6jHZaSzeMS4UUGQNMQwKth4JRvGCQm1JLDibEIlFfNsRCbLjvckOOsM0WnQ/5iNCO8Zl80EKFArAA4u2Ag",
              "ed25519:b_2": "8FCbl0UnM6LhNSC/6wbfB9FrkB9sjFKAtTxF7SbowQobR8gapq5Hy1Esae05OdGO9NVYXhuqaaTNnvKHHL+NAA"
            }
          },
          "valid_until_ts": 1800086400000,
          "verify_keys": {
            "ed25519:a_1": {
              "key": "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
            },
            "ed25519:b_2": {
              "key": "HdU8hngp/lK3+KG1iSXUmXTHz59gm2zcfRK2Kzm+PWA"
            }
          }
        }
        "#);

        let mut public = PublicKeyMap::new();
        let set = public.entry("example.org:8448".to_owned()).or_default();
        for (id, key) in response["verify_keys"].as_object().unwrap() {
            set.insert(id.clone(), Base64::parse(key["key"].as_str().unwrap()).unwrap());
        }
        let signed = object(response);
        verify_json(&public, &signed).expect("each signature is right");
        let mut changed = signed;
        changed.insert("server_name".to_owned(), "other.example.org".to_owned().into());
        assert!(verify_json(&public, &changed).is_err());
    }

    #[test]
    fn no_time_is_out_of_the_bounds_of_canonical_json() {
        let identity = identity("domain", &format!("ed25519 1 {SEED}"), &[]).unwrap();
        let response = identity.key_response(u64::MAX, Duration::MAX);
        assert_eq!(response["valid_until_ts"], json!(MAX_INTEGER));
    }

    #[test]
    fn a_name_or_a_key_that_cannot_be_is_refused() {
        let key = format!("ed25519 1 {SEED}");
        assert!(matches!(
            identity("a:99999", &key, &[]),
            Err(IdentityError::Name(_))
        ));
        assert!(matches!(
            identity("a", &key, &[("ed25519:1", 5)]),
            Err(IdentityError::OldInUse(id)) if id == "ed25519:1"
        ));
        let nowhere = Federation::default();
        assert!(matches!(
            Identity::load("a", &nowhere),
            Err(IdentityError::NoPath)
        ));
    }
}

//! What a homeserver says of its keys, checked: the answer to `GET /_matrix/key/v2/server`.
//!
//! Source of the rules: the [specification]. `old_verify_keys` are for old events, not for requests, and are not read.
//!
//! [specification]: https://spec.matrix.org/v1.16/server-server-api/#retrieving-server-keys

use ruma_common::ServerName;
use ruma_common::serde::Base64;
use ruma_common::serde::base64::Standard;
use ruma_signatures::verify_canonical_json_bytes;
use serde_json::Value;

use crate::federation::canonical;
use crate::federation::keys::VerifyKey;
use crate::federation::x_matrix::MAX_KEY_ID_BYTES;

/// How many keys a server may have. One or two are usual.
const MOST_KEYS: usize = 32;
/// How far ahead keys are believed in, whatever their server says, in milliseconds: a week, as the specification has it.
const LONGEST_VALIDITY: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Keys that their server has signed with themselves.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Never empty.
    pub(super) keys: Vec<VerifyKey>,
    /// In milliseconds since the Unix epoch; it lies ahead.
    pub(super) valid_until: u64,
}

/// Why an answer is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum AnswerError {
    /// Something is missing, or of another type.
    #[error("the answer has no {0}")]
    Missing(&'static str),
    /// It is of another server.
    #[error("the answer is of another server")]
    OtherServer,
    /// `valid_until_ts` lies behind.
    #[error("the keys in the answer are not valid any more")]
    Expired,
    /// There are too many keys.
    #[error("the answer has {0} keys, and {MOST_KEYS} are allowed")]
    TooManyKeys(usize),
    /// A signature is wrong.
    #[error("the answer is not signed by its key {0}")]
    BadSignature(String),
    /// No key has signed.
    #[error("the answer is signed by none of its keys")]
    NotSigned,
}

/// Checks what `server` has answered at `now`. Of its keys those count that have signed the answer, so that nobody passes
/// another's key off as their own.
pub(super) fn read(answer: &Value, server: &ServerName, now: u64) -> Result<Answer, AnswerError> {
    let object = answer.as_object().ok_or(AnswerError::Missing("object"))?;
    let name = object.get("server_name").and_then(Value::as_str);
    if name.ok_or(AnswerError::Missing("server_name"))? != server.as_str() {
        return Err(AnswerError::OtherServer);
    }
    let valid_until = object.get("valid_until_ts").and_then(Value::as_u64);
    let valid_until = valid_until.ok_or(AnswerError::Missing("valid_until_ts"))?;
    if valid_until <= now {
        return Err(AnswerError::Expired);
    }
    let keys = object.get("verify_keys").and_then(Value::as_object);
    let keys = keys.ok_or(AnswerError::Missing("verify_keys"))?;
    if keys.len() > MOST_KEYS {
        return Err(AnswerError::TooManyKeys(keys.len()));
    }
    let signatures = object
        .get("signatures")
        .and_then(|signatures| signatures.get(server.as_str())?.as_object())
        .ok_or(AnswerError::NotSigned)?;
    let signed = canonical::write_for_signing(object);
    let mut signers = Vec::new();
    for (id, key) in keys {
        let Some(signature) = signatures.get(id) else {
            continue;
        };
        // Of an algorithm that we do not know, or not a key at all.
        let Some(key) = verify_key(id, key) else {
            continue;
        };
        let signature = signature
            .as_str()
            .and_then(|text| Base64::<Standard>::parse(text).ok());
        let verified = signature.is_some_and(|signature| {
            verify_canonical_json_bytes(&VerifyKey::ALGORITHM, &key.bytes, signature.as_bytes(), &signed)
                .is_ok()
        });
        if !verified {
            return Err(AnswerError::BadSignature(id.clone()));
        }
        signers.push(key);
    }
    if signers.is_empty() {
        return Err(AnswerError::NotSigned);
    }
    Ok(Answer {
        keys: signers,
        valid_until: valid_until.min(now.saturating_add(LONGEST_VALIDITY)),
    })
}

fn verify_key(id: &str, key: &Value) -> Option<VerifyKey> {
    let fits = id.starts_with("ed25519:") && id.len() <= MAX_KEY_ID_BYTES;
    let text = key.get("key")?.as_str().filter(|_| fits)?;
    let bytes = Base64::<Standard, [u8; 32]>::parse(text).ok()?.into_inner();
    Some(VerifyKey { id: id.into(), bytes })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::federation::signing::{Signer, any_json};

    const NOW: u64 = 1_700_000_000_000;
    const HOUR: u64 = 60 * 60 * 1_000;

    fn other() -> &'static ServerName {
        <&ServerName>::try_from("other.test").expect("valid")
    }

    fn check(answer: &Value) -> Result<Answer, AnswerError> {
        read(answer, other(), NOW)
    }

    #[test]
    fn a_server_is_believed_what_it_has_signed() {
        let signer = Signer::new("other.test", "a", 1);
        let keys = check(&signer.key_response(NOW + HOUR)).expect("valid");
        assert_eq!(keys.keys, [signer.verify_key()]);
        assert_eq!(keys.valid_until, NOW + HOUR);
    }

    #[test]
    fn nobody_is_believed_for_more_than_a_week() {
        let signer = Signer::new("other.test", "a", 1);
        for claimed in [NOW + 8 * 24 * HOUR, u64::MAX] {
            let keys = check(&signer.key_response(claimed)).expect("valid");
            assert_eq!(keys.valid_until, NOW + 7 * 24 * HOUR);
        }
    }

    #[test]
    fn a_key_that_has_not_signed_counts_for_nothing() {
        let (signer, stolen) = (
            Signer::new("other.test", "a", 1),
            Signer::new("other.test", "b", 2),
        );
        let mut answer = signer.key_response(NOW + HOUR);
        answer["verify_keys"]["ed25519:b"] = json!({"key": stolen.public_key()});
        let answer = signer.signed(answer);
        assert_eq!(check(&answer).expect("valid").keys, [signer.verify_key()]);
    }

    #[test]
    fn old_keys_are_not_for_requests() {
        let (signer, old) = (
            Signer::new("other.test", "a", 1),
            Signer::new("other.test", "old", 2),
        );
        let mut answer = signer.key_response(NOW + HOUR);
        answer["old_verify_keys"]["ed25519:old"] = json!({"key": old.public_key(), "expired_ts": NOW + HOUR});
        let answer = old.signed(signer.signed(answer));
        assert_eq!(check(&answer).expect("valid").keys, [signer.verify_key()]);
    }

    #[test]
    fn what_is_not_right_is_not_believed() {
        let signer = Signer::new("other.test", "a", 1);
        let good = signer.key_response(NOW + HOUR);
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut answer = good.clone();
            change(&mut answer);
            check(&answer).expect_err("not right")
        };
        let resigned = |change: &dyn Fn(&mut Value)| {
            let mut answer = good.clone();
            change(&mut answer);
            check(&signer.signed(answer)).expect_err("not right")
        };
        let bad_signature = AnswerError::BadSignature("ed25519:a".to_owned());
        assert_eq!(
            refused(&|answer| answer["valid_until_ts"] = json!(NOW + 1)),
            bad_signature
        );
        assert_eq!(
            refused(&|answer| answer["signatures"]["other.test"]["ed25519:a"] = json!("!")),
            bad_signature
        );
        assert_eq!(
            refused(&|answer| answer["signatures"] = json!(1)),
            AnswerError::NotSigned
        );
        assert_eq!(
            refused(&|answer| answer["verify_keys"] = json!({})),
            AnswerError::NotSigned
        );
        assert_eq!(
            resigned(&|answer| answer["server_name"] = json!("evil.test")),
            AnswerError::OtherServer
        );
        assert_eq!(
            resigned(&|answer| answer["valid_until_ts"] = json!(NOW)),
            AnswerError::Expired
        );
        assert_eq!(
            resigned(&|answer| answer["valid_until_ts"] = json!("soon")),
            AnswerError::Missing("valid_until_ts")
        );
        assert_eq!(
            resigned(&|answer| {
                for number in 0..40 {
                    answer["verify_keys"][format!("ed25519:{number}")] = json!({"key": "x"});
                }
            }),
            AnswerError::TooManyKeys(41)
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer in any_json(), field in "[a-z_]{1,14}") {
            let _ = check(&answer);
            let signer = Signer::new("other.test", "a", 1);
            let mut good = signer.key_response(NOW + HOUR);
            for field in ["server_name", "valid_until_ts", "verify_keys", "signatures", &field] {
                let before = good[field].take();
                good[field] = answer.clone();
                let _ = check(&good);
                good[field] = before;
            }
            good["verify_keys"]["ed25519:a"]["key"] = answer.clone();
            prop_assert!(check(&good).is_err());
        }
    }
}

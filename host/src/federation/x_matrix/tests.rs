//! Headers as servers write them and as nobody should, and signatures made by `ruma-signatures`.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::federation::signing::{Signer, any_json};

const SIG: &str = "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ";
const URI: &str = "/_matrix/federation/v1/send/1";

fn parse(headers: &[&str]) -> Result<XMatrix, XMatrixError> {
    XMatrix::parse(headers.iter().map(|header| header.as_bytes()))
}

fn here() -> &'static ServerName {
    <&ServerName>::try_from("example.org").expect("valid")
}

fn request(content: &Value) -> SignedRequest<'_> {
    SignedRequest {
        method: "PUT",
        uri: URI,
        destination: here(),
        content: content.as_object(),
    }
}

#[test]
fn all_ways_to_write_a_header_mean_the_same() {
    let expected = parse(&[&format!(
        r#"X-Matrix origin="other.test",destination="example.org",key="ed25519:a",sig="{SIG}""#
    )])
    .expect("readable");
    assert_eq!(expected.origin, "other.test");
    assert_eq!(expected.destination.as_deref(), Some("example.org"));
    assert_eq!(expected.key_ids().collect::<Vec<_>>(), ["ed25519:a"]);
    assert_eq!(expected.signatures[0].signature.len(), 64);
    for header in [
        format!("X-Matrix origin=other.test,destination=example.org,key=ed25519:a,sig={SIG}"),
        format!("X-Matrix origin=other.test,destination=example.org,key=ed25519:a,sig={SIG}=="),
        format!(r#"x-matrix sig="{SIG}",key="ed25519:a",destination="example.org",origin="other.test""#),
        format!(
            "X-Matrix   Origin = other.test ,\t, DESTINATION\t=\"example.org\" , key=\"ed25519:a\", sig=\"{SIG}\" ,"
        ),
        format!(r#"X-Matrix origin="other\.te\st",destination="example.org",key="ed25519:a",sig="{SIG}""#),
        format!(
            r#"X-Matrix origin=other.test,new="a, b=\"c",destination=example.org,key=ed25519:a,sig={SIG}"#
        ),
    ] {
        assert_eq!(parse(&[&header]).as_ref(), Ok(&expected), "{header}");
    }
    let ipv6 = parse(&[&format!("X-Matrix origin=[::1]:8448,key=ed25519:a,sig={SIG}")]).expect("readable");
    assert_eq!((ipv6.origin.as_str(), ipv6.destination), ("[::1]:8448", None));
}

#[test]
fn headers_that_cannot_be_read_are_refused_and_others_are_passed_over() {
    let good = format!("X-Matrix origin=other.test,key=ed25519:a,sig={SIG}");
    for missing in [
        &[][..],
        &["Bearer x"],
        &["X-Matrixx origin=a"],
        &["X-Matri"],
        &[""],
    ] {
        assert_eq!(parse(missing), Err(XMatrixError::Missing), "{missing:?}");
    }
    assert!(parse(&["Bearer x", &good]).is_ok());
    for (malformed, why) in [
        ("X-Matrix".to_owned(), "origin is missing"),
        (format!("X-Matrix origin=other.test,sig={SIG}"), "key is missing"),
        (
            "X-Matrix origin=other.test,key=ed25519:a".to_owned(),
            "sig is missing",
        ),
        (format!("{good},origin=evil.test"), "a parameter is there twice"),
        (format!("{good},ORIGIN=evil.test"), "a parameter is there twice"),
        (
            good.replace("other.test", "\"other.test"),
            "a quote is not closed",
        ),
        (
            good.replace("other.test", "\"other.test\\"),
            "a quote is not closed",
        ),
        (
            good.replace("other.test", "\"other.test\"x"),
            "there is no comma between parameters",
        ),
        (
            good.replace("other.test", "other.test x"),
            "there is no comma between parameters",
        ),
        (
            good.replace("other.test", "no_server"),
            "origin is not a server name",
        ),
        (good.replace("other.test", ""), "origin is not a server name"),
        (
            good.replace("other.test", "a:99999"),
            "origin is not a server name",
        ),
        (good.replace("other.test", &"a".repeat(256)), "origin is too long"),
        (good.replace("other.test", &"a".repeat(3_000)), "it is too long"),
        (good.replace("ed25519:a", ""), "key is not the id of a key"),
        (good.replace(SIG, "!"), "sig is not Base64"),
        (format!("{good},x"), "a parameter has no value"),
        (format!("{good},=x"), "a parameter has no name"),
        (format!("{good},a b=x"), "a parameter has no name"),
    ] {
        assert_eq!(
            parse(&[&malformed]),
            Err(XMatrixError::Malformed(why)),
            "{malformed}"
        );
    }
    let not_utf8 = XMatrix::parse([&b"X-Matrix origin=\xff"[..]]);
    assert_eq!(not_utf8, Err(XMatrixError::Malformed("it is not UTF-8")));
}

#[test]
fn several_headers_are_of_one_server() {
    let header = |origin: &str, key: usize| format!("X-Matrix origin={origin},key=ed25519:{key},sig={SIG}");
    let both = parse(&[&header("a.test", 1), &header("a.test", 2)]).expect("readable");
    assert_eq!(both.key_ids().collect::<Vec<_>>(), ["ed25519:1", "ed25519:2"]);
    let different = parse(&[&header("a.test", 1), &header("b.test", 2)]);
    assert_eq!(
        different,
        Err(XMatrixError::Malformed("several headers name different servers"))
    );
    let many: Vec<_> = (0..9).map(|key| header("a.test", key)).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert!(parse(&many[..8]).is_ok());
    assert_eq!(parse(&many), Err(XMatrixError::Malformed("too many headers")));
}

#[test]
fn a_signature_is_over_all_that_is_asked_for() {
    let signer = Signer::new("other.test", "a", 1);
    let content = json!({"edus": [], "origin": "other.test", "text": "ä\u{1}"});
    let header = signer.header("PUT", URI, "example.org", Some(&content));
    let claim = parse(&[&header]).expect("readable");
    let keys = [signer.verify_key()];
    assert_eq!(claim.verify(&request(&content), &keys), Ok(()));

    let invalid = Err(BadSignature::Invalid {
        origin: claim.origin.clone(),
        key_id: "ed25519:a".to_owned(),
    });
    let other_content = json!({"edus": [1]});
    let good = request(&content);
    for (what, wrong) in [
        (
            "method",
            SignedRequest {
                method: "GET",
                ..good
            },
        ),
        (
            "uri",
            SignedRequest {
                uri: "/_matrix/federation/v1/send/2",
                ..good
            },
        ),
        (
            "query",
            SignedRequest {
                uri: "/_matrix/federation/v1/send/1?",
                ..good
            },
        ),
        (
            "destination",
            SignedRequest {
                destination: &claim.origin,
                ..good
            },
        ),
        ("content", request(&other_content)),
        (
            "no content",
            SignedRequest {
                content: None,
                ..good
            },
        ),
    ] {
        assert_eq!(claim.verify(&wrong, &keys), invalid, "{what}");
    }
    let stolen = parse(&[&header.replace("other.test", "evil.test")]).expect("readable");
    assert!(stolen.verify(&good, &keys).is_err(), "origin");
    let other_key = [Signer::new("other.test", "a", 2).verify_key()];
    assert_eq!(claim.verify(&good, &other_key), invalid);
    let unknown = Err(BadSignature::NoKnownKey(claim.origin.clone()));
    assert_eq!(claim.verify(&good, &[]), unknown);
}

#[test]
fn one_known_key_is_enough_and_none_may_be_wrong() {
    let (one, two) = (
        Signer::new("other.test", "a", 1),
        Signer::new("other.test", "b", 2),
    );
    let content = json!({});
    let header = |signer: &Signer| signer.header("PUT", URI, "example.org", Some(&content));
    let claim = parse(&[&header(&one), &header(&two)]).expect("readable");
    assert_eq!(claim.verify(&request(&content), &[one.verify_key()]), Ok(()));
    assert_eq!(
        claim.verify(&request(&content), &[one.verify_key(), two.verify_key()]),
        Ok(())
    );
    let wrong = VerifyKey {
        id: two.verify_key().id,
        ..Signer::new("x", "x", 3).verify_key()
    };
    assert!(
        claim
            .verify(&request(&content), &[one.verify_key(), wrong])
            .is_err()
    );
}

#[test]
fn what_canonical_json_forbids_is_signed_as_synapse_does() {
    let signer = Signer::new("other.test", "a", 1);
    // Signed over what Python writes, as a text: ruma refuses the numbers themselves.
    let content = r#"{"big":9007199254740993,"depth":1e-05,"half":0.5}"#;
    let message = format!(
        r#"{{"content":{content},"destination":"example.org","method":"PUT","origin":"other.test","uri":"{URI}"}}"#
    );
    let claim = XMatrix {
        origin: OwnedServerName::try_from("other.test").expect("valid"),
        destination: None,
        signatures: vec![Claimed {
            key_id: "ed25519:a".to_owned(),
            signature: signer.signature_of(message.as_bytes()),
        }],
    };
    let content: Value = serde_json::from_str(content).expect("JSON");
    assert_eq!(claim.verify(&request(&content), &[signer.verify_key()]), Ok(()));
}

/// Signed by Synapse's own library, signedjson over canonicaljson 2.0.0, with the key of 32 bytes 1.
#[test]
fn what_synapses_library_has_signed_is_verified() {
    let content = r#"{"origin": "other.test", "origin_server_ts": 1700000000000, "pdus": [{"depth": 9007199254740993, "content": {"ratio": 0.5, "tiny": 1e-05, "huge": 1e+16}}], "edus": [{"edu_type": "m.presence", "content": {"push": [{"user_id": "@olga:other.test", "presence": "online", "status_msg": "n\u00e4\u00efve \u2603 \ud83e\udd80 \u0001 \"\\", "last_active_ago": 40, "currently_active": true}]}}]}"#;
    let sig = "CUbkSB4zCzwrVz4140A/SnvQZfuYavcJXm3QSbyVs9ds6V4+SY31IHu/DZ4dnl2HRv6NtYdHjh7rz/5tdFHaDA";
    let header = format!(
        r#"X-Matrix origin="other.test",key="ed25519:synapse",sig="{sig}",destination="example.org""#
    );
    let content: Value = serde_json::from_str(content).expect("JSON");
    let key = Signer::new("other.test", "synapse", 1).verify_key();
    let claim = parse(&[&header]).expect("readable");
    assert_eq!(claim.verify(&request(&content), &[key]), Ok(()));
}

/// A value of a header, quoted as little as it may be.
fn any_value() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        "[a-zA-Z0-9.:/+_=-]{1,20}".prop_map(|value| (value.clone(), value)),
        "[ -~]{0,20}".prop_map(|value| {
            let escaped = value.replace('\\', r"\\").replace('"', "\\\"");
            (value, format!("\"{escaped}\""))
        }),
    ]
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(
        headers in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4),
        text in "(X-Matrix )?[origndestikyX=\", \\\\a-z:.]{0,60}",
    ) {
        let _ = XMatrix::parse(headers.iter().map(Vec::as_slice));
        let prefixed: Vec<_> = headers.iter().map(|header| [&b"X-Matrix "[..], header].concat()).collect();
        let _ = XMatrix::parse(prefixed.iter().map(Vec::as_slice));
        let _ = parse(&[&text]);
        let _ = parse(&[&format!("X-Matrix origin=other.test,key=ed25519:a,sig={SIG},{text}")]);
    }

    #[test]
    fn what_is_written_is_read(
        (destination, written) in any_value(),
        (key, written_key) in any_value(),
        blank in "[ \t]{0,2}",
    ) {
        prop_assume!(!key.is_empty());
        let header = format!(
            "X-Matrix {blank}origin=a.test{blank},{blank}destination{blank}={blank}{written}{blank},key={written_key},sig={SIG}"
        );
        let read = parse(&[&header]).expect("readable");
        prop_assert_eq!(read.destination, Some(destination));
        prop_assert_eq!(&read.signatures[0].key_id, &key);
    }

    #[test]
    fn what_ruma_signs_is_verified(content in any_json()) {
        let content = canonical(json!({"edus": content}));
        let signer = Signer::new("other.test", "a", 1);
        let claim = parse(&[&signer.header("PUT", URI, "example.org", Some(&content))]).expect("readable");
        prop_assert_eq!(claim.verify(&request(&content), &[signer.verify_key()]), Ok(()));
    }
}

/// Without the numbers that canonical JSON forbids.
fn canonical(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_i64().unwrap_or_default() % (1 << 53)),
        Value::Array(values) => values.into_iter().map(canonical).collect(),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| (key, canonical(value)))
            .collect(),
        other => other,
    }
}

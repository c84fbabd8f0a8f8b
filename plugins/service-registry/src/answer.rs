//! What a registry answers: `{"services": [{"user_id": "@bot:example.org", "ttl": 300}]}`, or a plain list. An entry is
//! such an object, or a user id alone.

use std::fmt;

use presence_router_api::UserId;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The services of an answer, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer(pub(crate) Vec<Service>);

/// One service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) user_id: UserId,
    /// How long it may be kept, in seconds, if the registry says.
    pub(crate) ttl: Option<u64>,
}

/// Keys that are not known are passed over, so that a registry may say more.
#[derive(Deserialize)]
struct Wrapped {
    services: Vec<Service>,
}

#[derive(Deserialize)]
struct Described {
    user_id: UserId,
    #[serde(default)]
    ttl: Option<u64>,
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnswerVisitor)
    }
}

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServiceVisitor)
    }
}

// By hand and not `#[serde(untagged)]`, whose errors do not say what is wrong where.

struct AnswerVisitor;

impl<'de> Visitor<'de> for AnswerVisitor {
    type Value = Answer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of services, or an object with such a list in `services`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Answer, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Answer)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Answer, A::Error> {
        let wrapped = Wrapped::deserialize(MapAccessDeserializer::new(object))?;
        Ok(Answer(wrapped.services))
    }
}

struct ServiceVisitor;

impl<'de> Visitor<'de> for ServiceVisitor {
    type Value = Service;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user id, or an object with one in `user_id`")
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<Service, E> {
        let user_id = UserId::parse(id).map_err(E::custom)?;
        Ok(Service { user_id, ttl: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Service, A::Error> {
        let Described { user_id, ttl } = Described::deserialize(MapAccessDeserializer::new(object))?;
        Ok(Service { user_id, ttl })
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::HttpResponse;

    use super::*;

    fn read(body: &str) -> Result<Vec<(String, Option<u64>)>, String> {
        let answer = HttpResponse::new(200).with_body(body).json::<Answer>();
        let services = answer.map_err(|error| error.to_string())?.0.into_iter();
        Ok(services
            .map(|service| (service.user_id.to_string(), service.ttl))
            .collect())
    }

    #[test]
    fn both_forms_are_read_and_may_be_mixed() {
        let expected = vec![("@a:x".to_owned(), Some(300)), ("@b:x".to_owned(), None)];
        for body in [
            r#"{"services": [{"user_id": "@a:x", "ttl": 300}, {"user_id": "@b:x"}]}"#,
            r#"{"services": [{"user_id": "@a:x", "ttl": 300, "name": "A"}, "@b:x"], "page": 1}"#,
            r#"[{"user_id": "@a:x", "ttl": 300}, {"user_id": "@b:x", "ttl": null}]"#,
            r#"[{"ttl": 300, "user_id": "@a:x"}, "@b:x"]"#,
        ] {
            assert_eq!(read(body), Ok(expected.clone()), "{body}");
        }
        assert_eq!(read("[]"), Ok(vec![]));
        assert_eq!(read(r#"{"services": []}"#), Ok(vec![]));
    }

    #[test]
    fn anything_else_is_refused_with_its_place() {
        for (body, expected) in [
            ("", "EOF"),
            ("<html>", "expected value"),
            ("null", "a list of services"),
            (r#""@a:x""#, "a list of services"),
            ("{}", "missing field `services`"),
            ("[] []", "trailing characters"),
            (r#"["@a:x", "bob"]"#, "[1]: \"bob\" is not a user id"),
            (
                r#"{"services": [{"user_id": "bob"}]}"#,
                "services[0].user_id: \"bob\" is not",
            ),
            (
                r#"{"services": [{"ttl": 1}]}"#,
                "services[0]: missing field `user_id`",
            ),
            (r#"[{"user_id": "@a:x", "ttl": -1}]"#, "[0].ttl: invalid value"),
            (r#"[{"user_id": "@a:x", "ttl": "5m"}]"#, "[0].ttl: invalid type"),
            (r#"{"services": "@a:x"}"#, "services: invalid type"),
            (
                "[7]",
                "[0]: invalid type: integer `7`, expected a user id, or an object",
            ),
        ] {
            let error = read(body).expect_err(body);
            assert!(error.contains(expected), "{body}: {error}");
        }
    }
}

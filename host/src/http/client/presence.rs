//! `/presence/{userId}/status`: see a user's presence, set your own.
//!
//! The order of the checks is Synapse's: the token, the user id, whose presence it is, and only then the body.

use std::fmt;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use presence_router_api::{PresenceState, UserId};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::delivery::PresenceContent;
use crate::engine::Engine;
use crate::http::client::auth::Authenticated;
use crate::http::client::body;
use crate::http::error::MatrixError;
use crate::http::front;

/// `GET`: the presence of somebody whom the asking user may see.
pub(super) async fn get(
    State(engine): State<Engine>,
    Authenticated(session): Authenticated,
    Target(target): Target,
) -> Result<Json<PresenceContent>, MatrixError> {
    engine
        .presence_of(&session, &target)
        .await
        .map(Json)
        .ok_or(MatrixError::Forbidden(
            "you are not allowed to see this user's presence",
        ))
}

/// `PUT`: the asking user's own presence.
pub(super) async fn put(
    State(engine): State<Engine>,
    Authenticated(session): Authenticated,
    Target(target): Target,
    request: Request,
) -> Result<Response, MatrixError> {
    if target != session.user_id {
        return Err(MatrixError::Forbidden("you can set only your own presence"));
    }
    // Before the body is looked at, as in Synapse: who sends too much is not worth the work.
    engine.admit_put(&session)?;
    let said = {
        let (head, body) = request.into_parts();
        Said::parse(body::json(&head.headers, body).await?)?
    };
    if !engine.tracks_clients() {
        // As in Synapse, the values of what is forgotten anyway are not looked at.
        return Ok(front::json("{}"));
    }
    let status = said.check(engine.max_status_msg_bytes())?;
    engine
        .set_presence(&session, status.presence, status.message)
        .await?;
    Ok(front::json("{}"))
}

/// The user in the path.
pub(super) struct Target(UserId);

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = MatrixError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let in_path = RawPathParams::from_request_parts(parts, state).await.ok();
        let user_id = in_path.as_ref().and_then(|in_path| in_path.iter().next());
        let (_, user_id) = user_id.ok_or_else(|| {
            MatrixError::InvalidParam("the user id in the path is empty or not UTF-8".to_owned())
        })?;
        UserId::parse(user_id)
            .map(Self)
            .map_err(|error| MatrixError::InvalidParam(error.to_string()))
    }
}

/// The body of a PUT.
#[derive(Debug)]
enum Content {
    Object {
        presence: Option<Value>,
        status_msg: Option<Value>,
    },
    Other,
}

/// A key of the body.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Presence,
    StatusMsg,
    #[serde(other)]
    Unknown,
}

impl<'de> Deserialize<'de> for Content {
    /// Every value is parsed as a [`Value`], also those that are not looked at: it is stricter than skipping them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let (mut presence, mut status_msg) = (None, None);
        while let Some(key) = map.next_key()? {
            let value: Value = map.next_value()?;
            // The last counts.
            match key {
                Key::Presence => presence = Some(value),
                Key::StatusMsg => status_msg = Some(value),
                Key::Unknown => {}
            }
        }
        Ok(Content::Object { presence, status_msg })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        while seq.next_element::<Value>()?.is_some() {}
        Ok(Content::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Content, E> {
        Ok(Content::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Content, E> {
        Ok(Content::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Content, E> {
        Ok(Content::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Content, E> {
        Ok(Content::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Content, E> {
        Ok(Content::Other)
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Other)
    }
}

/// What a PUT says, as it stands there.
#[derive(Debug)]
struct Said {
    presence: String,
    message: Option<String>,
}

/// What a PUT says.
#[derive(Debug, PartialEq)]
struct Status {
    presence: PresenceState,
    message: Option<String>,
}

impl Said {
    /// Reads the body: every value is to be of its type. Unknown keys are ignored.
    fn parse(body: Content) -> Result<Self, MatrixError> {
        let Content::Object { presence, status_msg } = body else {
            return Err(body::not_an_object());
        };
        let bad_shape = |text: &str| MatrixError::BadJson(text.to_owned());
        let presence = match presence {
            Some(Value::String(presence)) => presence,
            Some(_) => return Err(bad_shape("presence must be a string")),
            None => return Err(bad_shape("presence is missing")),
        };
        let message = match status_msg {
            Some(Value::String(message)) => Some(message),
            Some(Value::Null) | None => None,
            Some(_) => return Err(bad_shape("status_msg must be a string")),
        };
        Ok(Self { presence, message })
    }

    /// Looks at the values.
    fn check(self, max_message_bytes: usize) -> Result<Status, MatrixError> {
        let Self { presence, message } = self;
        let presence = match presence.as_str() {
            "online" => PresenceState::Online,
            "unavailable" => PresenceState::Unavailable,
            "offline" => PresenceState::Offline,
            _ => {
                return Err(MatrixError::InvalidParam(
                    "presence must be one of online, unavailable, offline".to_owned(),
                ));
            }
        };
        if message
            .as_ref()
            .is_some_and(|message| message.len() > max_message_bytes)
        {
            return Err(MatrixError::TooLarge {
                what: "status_msg",
                limit: max_message_bytes,
            });
        }
        let message = message.filter(|message| !message.is_empty());
        Ok(Status { presence, message })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<Status, MatrixError> {
        Said::parse(Content::deserialize(body).expect("any JSON will do"))?.check(8)
    }

    #[test]
    fn a_message_is_measured_in_bytes() {
        let message = |message: &str| parse(&json!({"presence": "online", "status_msg": message}));
        assert_eq!(message("ääää").expect("8 bytes").message.as_deref(), Some("ääää"));
        let refused = message("ääääa");
        assert!(
            matches!(
                refused,
                Err(MatrixError::TooLarge {
                    what: "status_msg",
                    limit: 8
                })
            ),
            "{refused:?}"
        );
    }

    #[test]
    fn an_empty_message_and_null_are_none() {
        for message in [json!(""), json!(null)] {
            let status = parse(&json!({"presence": "offline", "status_msg": message})).expect("valid");
            assert_eq!(
                status,
                Status {
                    presence: PresenceState::Offline,
                    message: None
                }
            );
        }
    }

    #[test]
    fn the_shape_is_looked_at_before_the_values() {
        let refused = parse(&json!({"presence": "away", "status_msg": 5}));
        assert!(matches!(refused, Err(MatrixError::BadJson(_))), "{refused:?}");
        let refused = parse(&json!({"presence": "away", "status_msg": "longer than 8"}));
        assert!(
            matches!(refused, Err(MatrixError::InvalidParam(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn a_body_is_as_valid_as_any_json_is() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let bodies = [
            r#"{"presence":"online"} x"#.to_owned(),
            r#"{"presence":"online","foo":"\ud800"}"#.to_owned(),
            r#"{"presence":"online","foo":1e999}"#.to_owned(),
            r#"{"presence":"online",}"#.to_owned(),
            r#"{"presence" "online"}"#.to_owned(),
            r"{1:2}".to_owned(),
            r#"{"\u00e4":[{"presence":nul}]}"#.to_owned(),
            format!(r#"{{"a":{}}}"#, deep(126)),
            format!(r#"{{"a":{}}}"#, deep(127)),
            deep(127),
            deep(128),
            r#"["\ud800"]"#.to_owned(),
            "[1,]".to_owned(),
            "1.5".to_owned(),
            "-1".to_owned(),
            "18446744073709551616".to_owned(),
            "true".to_owned(),
            "null".to_owned(),
            r#""online""#.to_owned(),
            "nul".to_owned(),
            String::new(),
        ];
        for body in bodies {
            let error = |result: serde_json::Result<()>| result.err().map(|error| error.to_string());
            let as_any = serde_json::from_str::<Value>(&body).map(drop);
            let as_content = serde_json::from_str::<Content>(&body).map(drop);
            assert_eq!(error(as_content), error(as_any), "{body}");
        }
    }
}

//! How a client writes which events it wants.
//!
//! The whole of a filter is checked as Synapse checks it; the part on presence is what counts here.

use std::collections::HashSet;

use presence_router_api::UserId;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use crate::delivery::PresenceFilter;
use crate::http::error::MatrixError;

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<PresenceFilter, MatrixError> {
    // In two steps: what is not JSON has another code than what is of another shape, and a key given twice
    // is none of either.
    let value = serde_json::from_str(text).map_err(|source| MatrixError::NotJson {
        what: "the filter",
        source,
    })?;
    check(value)
}

/// Checks the shape of a filter.
pub(super) fn check(filter: Value) -> Result<PresenceFilter, MatrixError> {
    let filter: Filter = serde_json::from_value(filter)
        .map_err(|error| MatrixError::BadJson(format!("the filter is not valid: {error}")))?;
    Ok(filter.presence.unwrap_or_default().into())
}

/// A [filter] as it is written. Unknown keys are ignored.
///
/// [filter]: https://spec.matrix.org/v1.16/client-server-api/#filtering
#[derive(Deserialize)]
struct Filter {
    presence: Option<EventFilter>,
    #[serde(flatten)]
    _rest: NotOurs,
}

#[derive(Default, Deserialize)]
struct EventFilter {
    types: Option<Vec<Box<str>>>,
    #[serde(default)]
    not_types: Vec<Box<str>>,
    senders: Option<HashSet<UserId>>,
    #[serde(default)]
    not_senders: HashSet<UserId>,
    /// Checked, not applied: a state that is left out of an answer would never come again, as the token moves
    /// on. Synapse does not apply it to presence either.
    #[serde(rename = "limit")]
    _limit: Option<Number>,
}

/// What is checked, and then counts for nothing: there are no rooms in a sync of ours.
#[derive(Deserialize)]
#[expect(dead_code, reason = "reading them is the check")]
struct NotOurs {
    account_data: Option<EventFilter>,
    event_fields: Option<Vec<String>>,
    event_format: Option<EventFormat>,
    room: Option<RoomFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum EventFormat {
    Client,
    Federation,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading them is the check")]
struct RoomFilter {
    rooms: Option<Vec<RoomId>>,
    not_rooms: Option<Vec<RoomId>>,
    include_leave: Option<bool>,
    account_data: Option<RoomEventFilter>,
    ephemeral: Option<RoomEventFilter>,
    state: Option<RoomEventFilter>,
    timeline: Option<RoomEventFilter>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading them is the check")]
struct RoomEventFilter {
    limit: Option<Number>,
    types: Option<Vec<String>>,
    not_types: Option<Vec<String>>,
    senders: Option<Vec<String>>,
    not_senders: Option<Vec<String>>,
    rooms: Option<Vec<String>>,
    not_rooms: Option<Vec<String>>,
    contains_url: Option<bool>,
    lazy_load_members: Option<bool>,
    include_redundant_members: Option<bool>,
    unread_thread_notifications: Option<bool>,
}

/// A room's id, as far as it tells it from other things.
struct RoomId;

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        if id.starts_with('!') {
            Ok(Self)
        } else {
            Err(D::Error::custom(format!(
                "{id:?} is not a room id: it does not start with '!'"
            )))
        }
    }
}

impl From<EventFilter> for PresenceFilter {
    fn from(filter: EventFilter) -> Self {
        let EventFilter {
            types,
            not_types,
            senders,
            not_senders,
            ..
        } = filter;
        Self::new(types.as_deref(), &not_types, senders, not_senders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presence_part_is_read_and_the_rest_ignored() {
        let filter = parse(
            r#"{"room":{"rooms":["!a:b"],"timeline":{"limit":10,"lazy_load_members":true}},"event_format":"client",
                "event_fields":["content.body"],"unknown":1,
                "presence":{"types":["m.*"],"not_types":["a"],"senders":["@a:b"],"not_senders":["@c:d"],"limit":3,
                "unknown":1}}"#,
        )
        .expect("valid");
        let user = |id| UserId::parse(id).expect("valid");
        let (senders, not_senders) = ([user("@a:b")].into(), [user("@c:d")].into());
        assert_eq!(filter, PresenceFilter::new(None, &[], Some(senders), not_senders));
        for nothing in [r#"{"types":["a"]}"#, r#"{"not_types":["m.*"]}"#] {
            let filter = parse(&format!(r#"{{"presence":{nothing}}}"#)).expect("valid");
            assert!(!filter.admits("@a:b"), "{nothing}");
        }
    }

    #[test]
    fn an_empty_filter_lets_everything_through() {
        for text in [
            "{}",
            r#"{"presence":{}}"#,
            r#"{"presence":{"limit":0}}"#,
            r#"{"presence":{"limit":-1.5}}"#,
        ] {
            assert_eq!(parse(text).expect("valid"), PresenceFilter::default(), "{text:?}");
        }
    }

    // Synapse tests/api/test_filtering.py: test_errors_on_invalid_filters, and the other parts of its schema.
    #[test]
    fn each_refusal_has_its_code() {
        let deep = format!("{{\"presence\":{}1{}}}", "[".repeat(500), "]".repeat(500));
        for (text, expected) in [
            ("{", "M_NOT_JSON"),
            (deep.as_str(), "M_NOT_JSON"),
            (r#"{"presence":[]}"#, "M_BAD_JSON"),
            (r#"{"presence":{"types":"m.presence"}}"#, "M_BAD_JSON"),
            (r#"{"presence":{"senders":["alice"]}}"#, "M_BAD_JSON"),
            (r#"{"presence":{"senders":["@bar;pik.com"]}}"#, "M_BAD_JSON"),
            (r#"{"presence":{"limit":"1"}}"#, "M_BAD_JSON"),
            (r#"{"account_data":"Hello World"}"#, "M_BAD_JSON"),
            (r#"{"event_format":"other"}"#, "M_BAD_JSON"),
            (r#"{"event_fields":"content"}"#, "M_BAD_JSON"),
            (r##"{"room":{"not_rooms":["#foo:pik-test"]}}"##, "M_BAD_JSON"),
            (
                r#"{"room":{"timeline":{"types":"m.room.message"}}}"#,
                "M_BAD_JSON",
            ),
        ] {
            let errcode = match parse(text) {
                Err(MatrixError::NotJson { .. }) => "M_NOT_JSON",
                Err(MatrixError::BadJson(_)) => "M_BAD_JSON",
                other => panic!("{text}: {other:?}"),
            };
            assert_eq!(errcode, expected, "{text}");
        }
    }
}

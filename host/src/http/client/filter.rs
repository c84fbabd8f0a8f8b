//! The parameter `filter` of `/sync`: inline JSON, of which the part on presence is read.
//!
//! Stored filters come later: until then, every filter id is of no filter.

use std::collections::HashSet;

use presence_router_api::UserId;
use serde::Deserialize;
use serde_json::Value;

use crate::delivery::PresenceFilter;
use crate::http::error::MatrixError;

/// Reads the parameter. Without it, everything passes.
pub(super) fn parse(filter: Option<&str>) -> Result<PresenceFilter, MatrixError> {
    let Some(text) = filter else {
        return Ok(PresenceFilter::default());
    };
    if !text.starts_with('{') {
        return Err(MatrixError::InvalidParam(
            "there is no such filter; give the filter itself, as JSON".to_owned(),
        ));
    }
    // In two steps: what is not JSON has another code than what is of another shape, and a key given twice
    // is none of either.
    let value: Value = serde_json::from_str(text).map_err(|source| MatrixError::NotJson {
        what: "the filter",
        source,
    })?;
    let filter: Filter = serde_json::from_value(value)
        .map_err(|error| MatrixError::BadJson(format!("the filter is not valid: {error}")))?;
    Ok(filter.presence.unwrap_or_default().into())
}

/// A [filter] as it is written. The keys that are not about presence are ignored.
///
/// [filter]: https://spec.matrix.org/v1.16/client-server-api/#filtering
#[derive(Deserialize)]
struct Filter {
    presence: Option<EventFilter>,
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
    _limit: Option<usize>,
}

impl From<EventFilter> for PresenceFilter {
    fn from(filter: EventFilter) -> Self {
        Self {
            types: filter.types,
            not_types: filter.not_types,
            senders: filter.senders,
            not_senders: filter.not_senders,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presence_part_is_read_and_the_rest_ignored() {
        let filter = parse(Some(
            r#"{"room":{"rooms":[]},"event_format":"client","presence":{"types":["m.*"],"not_types":["a"],
                "senders":["@a:b"],"not_senders":["@c:d"],"limit":3,"unknown":1}}"#,
        ))
        .expect("valid");
        assert_eq!(filter.types, Some(vec!["m.*".into()]));
        assert_eq!(filter.not_types, vec!["a".into()]);
        assert!(filter.senders.is_some_and(|senders| senders.contains("@a:b")));
        assert!(filter.not_senders.contains("@c:d"));
    }

    #[test]
    fn no_filter_and_an_empty_one_let_everything_through() {
        for text in [None, Some("{}"), Some(r#"{"presence":{}}"#)] {
            assert_eq!(parse(text).expect("valid"), PresenceFilter::default(), "{text:?}");
        }
    }

    #[test]
    fn each_refusal_has_its_code() {
        let deep = format!("{{\"presence\":{}1{}}}", "[".repeat(500), "]".repeat(500));
        for (text, expected) in [
            ("{", "M_NOT_JSON"),
            (deep.as_str(), "M_NOT_JSON"),
            ("999", "M_INVALID_PARAM"),
            ("", "M_INVALID_PARAM"),
            (r#"{"presence":[]}"#, "M_BAD_JSON"),
            (r#"{"presence":{"types":"m.presence"}}"#, "M_BAD_JSON"),
            (r#"{"presence":{"senders":["alice"]}}"#, "M_BAD_JSON"),
            (r#"{"presence":{"limit":-1}}"#, "M_BAD_JSON"),
        ] {
            let errcode = match parse(Some(text)) {
                Err(MatrixError::NotJson { .. }) => "M_NOT_JSON",
                Err(MatrixError::InvalidParam(_)) => "M_INVALID_PARAM",
                Err(MatrixError::BadJson(_)) => "M_BAD_JSON",
                other => panic!("{text}: {other:?}"),
            };
            assert_eq!(errcode, expected, "{text}");
        }
    }
}

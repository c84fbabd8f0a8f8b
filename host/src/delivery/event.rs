//! The `m.presence` event, as a client sees it.

use std::sync::Arc;

use presence_router_api::{PresenceState, UserId};
use serde::{Serialize, Serializer};

use crate::presence::UserPresence;

/// An event of `presence.events` in `/sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "m.presence")]
pub struct PresenceEvent {
    /// Whose presence it is.
    pub sender: UserId,
    /// What it is.
    pub content: PresenceContent,
}

/// A user's presence at one moment (Matrix spec, [`m.presence`]).
///
/// As Synapse does, it leaves out what is not known: `last_active_ago` of a user who was never active,
/// `status_msg` when there is none, `currently_active` unless the user is online.
///
/// [`m.presence`]: https://spec.matrix.org/v1.16/client-server-api/#mpresence
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PresenceContent {
    /// What the user is.
    #[serde(serialize_with = "by_name")]
    pub presence: PresenceState,
    /// Milliseconds since the user was last active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_active_ago: Option<u64>,
    /// What the user says of it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_str")]
    pub status_msg: Option<Arc<str>>,
    /// Whether the user was active a moment ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currently_active: Option<bool>,
}

impl PresenceContent {
    /// A user's presence at `now`, in milliseconds since the Unix epoch.
    pub fn at(presence: &UserPresence, now: u64) -> Self {
        Self {
            presence: presence.state,
            last_active_ago: (presence.last_active_ts > 0)
                .then(|| now.saturating_sub(presence.last_active_ts)),
            status_msg: presence.status_msg.clone(),
            currently_active: (presence.state == PresenceState::Online).then_some(presence.currently_active),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn by_name<S: Serializer>(state: &PresenceState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}

#[expect(clippy::ref_option, reason = "serde asks for a reference")]
fn as_str<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(presence: &UserPresence) -> String {
        let event = PresenceEvent {
            sender: UserId::parse("@a:example.org").expect("valid"),
            content: PresenceContent::at(presence, 1_000),
        };
        serde_json::to_string(&event).expect("serializes")
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        insta::assert_snapshot!(
            check(&UserPresence::default()),
            @r#"{"type":"m.presence","sender":"@a:example.org","content":{"presence":"offline"}}"#
        );
        let online = UserPresence {
            state: PresenceState::Online,
            last_active_ts: 930,
            status_msg: Some("hi".into()),
            currently_active: true,
            ..UserPresence::default()
        };
        insta::assert_snapshot!(
            check(&online),
            @r#"{"type":"m.presence","sender":"@a:example.org","content":{"presence":"online","last_active_ago":70,"status_msg":"hi","currently_active":true}}"#
        );
        let unavailable = UserPresence {
            state: PresenceState::Unavailable,
            ..online
        };
        assert!(!check(&unavailable).contains("currently_active"));
    }
}

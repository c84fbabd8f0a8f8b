//! `/sync`, as far as presence goes.

use std::time::Duration;

use serde_json::Value;

use crate::client::{Request, percent_encode};

/// A request of `/sync`. Unless told otherwise it does not wait, and leaves the user's own presence alone.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    since: Option<String>,
    timeout: Duration,
    set_presence: Option<String>,
}

/// An answer of `/sync`.
#[derive(Debug, Clone)]
pub struct SyncAnswer {
    /// Where the next one goes on.
    pub next_batch: String,
    /// The presence events, in their order.
    pub presence: Vec<PresenceEvent>,
}

/// A presence event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceEvent {
    /// Whose.
    pub sender: String,
    /// The state's name.
    pub presence: String,
    /// What they say.
    pub status_msg: Option<String>,
    /// Milliseconds since they were last active.
    pub last_active_ago: Option<u64>,
    /// Whether they are active now.
    pub currently_active: Option<bool>,
}

impl SyncRequest {
    /// The first one.
    pub fn initial() -> Self {
        Self {
            since: None,
            timeout: Duration::ZERO,
            set_presence: Some("offline".to_owned()),
        }
    }

    /// One that goes on where another ended.
    pub fn since(token: &str) -> Self {
        Self {
            since: Some(token.to_owned()),
            ..Self::initial()
        }
    }

    /// Waits so long for something new.
    #[must_use]
    pub fn wait(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the user's own presence; `None` leaves the parameter out, which means `online`.
    #[must_use]
    pub fn set_presence(mut self, state: Option<&str>) -> Self {
        self.set_presence = state.map(str::to_owned);
        self
    }

    pub(crate) fn to_request(&self) -> Request {
        let mut query = vec![format!("timeout={}", self.timeout.as_millis())];
        if let Some(since) = &self.since {
            query.push(format!("since={}", percent_encode(since)));
        }
        if let Some(state) = &self.set_presence {
            query.push(format!("set_presence={state}"));
        }
        let path = format!("/_matrix/client/v3/sync?{}", query.join("&"));
        Request::new("GET", path).server_waits(self.timeout)
    }
}

impl SyncAnswer {
    /// Reads the body of an answer. A presence event in a form that the specification does not have is a
    /// failure.
    #[track_caller]
    pub fn read(body: &Value) -> Self {
        let next_batch = body["next_batch"].as_str();
        let no_events = Vec::new();
        let events = match &body["presence"]["events"] {
            Value::Null => &no_events,
            events => events.as_array().expect("presence.events is a list"),
        };
        Self {
            next_batch: next_batch
                .unwrap_or_else(|| panic!("no next_batch in {body}"))
                .to_owned(),
            presence: events.iter().map(PresenceEvent::read).collect(),
        }
    }

    /// The events of one user. More than one is a failure: an answer has the newest state alone.
    #[track_caller]
    pub fn of(&self, user: &str) -> Option<&PresenceEvent> {
        let mut events = self.presence.iter().filter(|event| event.sender == user);
        let first = events.next();
        assert!(
            events.next().is_none(),
            "{user} is there twice: {:?}",
            self.presence
        );
        first
    }

    /// Who is in it, sorted.
    pub fn senders(&self) -> Vec<&str> {
        let mut senders: Vec<_> = self.presence.iter().map(|event| event.sender.as_str()).collect();
        senders.sort_unstable();
        senders
    }
}

impl PresenceEvent {
    #[track_caller]
    fn read(event: &Value) -> Self {
        assert_eq!(event["type"], "m.presence", "{event}");
        let content = event["content"]
            .as_object()
            .unwrap_or_else(|| panic!("no content in {event}"));
        assert!(
            !content.contains_key("user_id"),
            "user_id does not belong into {event}"
        );
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        Self {
            sender: text(event.get("sender")).unwrap_or_else(|| panic!("no sender in {event}")),
            presence: text(content.get("presence")).unwrap_or_else(|| panic!("no presence in {event}")),
            status_msg: text(content.get("status_msg")),
            last_active_ago: content.get("last_active_ago").and_then(Value::as_u64),
            currently_active: content.get("currently_active").and_then(Value::as_bool),
        }
    }
}

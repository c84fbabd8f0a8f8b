//! What a call came to, without what is different each time.

use std::fmt;

use serde_json::{Map, Value};

use crate::SERVER;
use crate::client::Answer;
use crate::sync::PresenceEvent;

/// Longer messages are shown by their length.
const LONGEST_SHOWN: usize = 60;

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The status, and the error code when there is one, such as `403 M_FORBIDDEN`.
    pub answer: String,
    /// What the answer says: of a `get` the presence, of a `sync` a line for each event, of other requests the body
    /// when they are to show it. A presence is written as `online active ago "the message"`: the state; `active` or
    /// `inactive` for `currently_active`; `ago` for some `last_active_ago`; the message. What is absent is left out.
    pub shows: Vec<String>,
}

impl Outcome {
    pub(super) fn of(answer: &Answer, shows: Vec<String>) -> Self {
        let text = format!("{} {}", answer.status, answer.errcode());
        Self {
            answer: text.trim_end().to_owned(),
            shows,
        }
    }

    pub(super) fn restarted() -> Self {
        Self {
            answer: "200".to_owned(),
            shows: Vec::new(),
        }
    }
}

/// The content of a presence event, or the body of a `GET` of presence.
pub(super) fn presence(content: &Value) -> String {
    let mut words = vec![content["presence"].as_str().unwrap_or("(no presence)").to_owned()];
    match content["currently_active"].as_bool() {
        Some(true) => words.push("active".to_owned()),
        Some(false) => words.push("inactive".to_owned()),
        None => {}
    }
    if content["last_active_ago"].is_u64() {
        words.push("ago".to_owned());
    }
    if let Some(message) = content["status_msg"].as_str() {
        words.push(shown(message));
    }
    words.join(" ")
}

/// A line for an event of a sync.
pub(super) fn event(event: &PresenceEvent) -> String {
    let content = serde_json::json!({
        "presence": event.presence,
        "status_msg": event.status_msg,
        "currently_active": event.currently_active,
        "last_active_ago": event.last_active_ago,
    });
    format!("{}: {}", localpart(&event.sender), presence(&content))
}

/// The names of what an error says beyond itself, such as `retry_after_ms`: the values are different each time.
pub(super) fn beside_the_error(members: &Map<String, Value>) -> Vec<String> {
    let names = members
        .keys()
        .filter(|name| !["errcode", "error"].contains(&name.as_str()));
    names.cloned().collect()
}

/// The localpart of a user of the scripts' server; others as they are.
pub(super) fn localpart(user: &str) -> &str {
    let name = user.strip_prefix('@').and_then(|rest| rest.strip_suffix(SERVER));
    name.and_then(|rest| rest.strip_suffix(':')).unwrap_or(user)
}

fn shown(message: &str) -> String {
    let length = message.chars().count();
    if length > LONGEST_SHOWN {
        return format!("({length} characters)");
    }
    Value::from(message).to_string()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.answer)?;
        for line in &self.shows {
            write!(f, " | {line}")?;
        }
        Ok(())
    }
}

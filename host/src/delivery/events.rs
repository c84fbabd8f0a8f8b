//! The events of an answer: made for it alone, or shared with the answers of others who are told the same.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::delivery::PresenceEvent;

/// Events. Clones of shared ones are the same.
#[derive(Debug, Clone)]
pub struct Events(Held);

#[derive(Debug, Clone)]
enum Held {
    Alone(Vec<PresenceEvent>),
    Shared(Arc<Shared>),
}

#[derive(Debug)]
struct Shared {
    events: Vec<PresenceEvent>,
    /// As the first of those who share them has written them.
    json: OnceLock<Box<RawValue>>,
}

impl Events {
    /// The same events, to be shared.
    #[must_use]
    pub fn shared(self) -> Self {
        match self.0 {
            // There is nothing to share.
            Held::Alone(events) if events.is_empty() => Self::default(),
            Held::Alone(events) => Self(Held::Shared(Arc::new(Shared {
                events,
                json: OnceLock::new(),
            }))),
            Held::Shared(_) => self,
        }
    }

    /// The events, to be changed.
    pub fn into_vec(self) -> Vec<PresenceEvent> {
        match self.0 {
            Held::Alone(events) => events,
            Held::Shared(shared) => match Arc::try_unwrap(shared) {
                Ok(shared) => shared.events,
                Err(shared) => shared.events.clone(),
            },
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(Held::Alone(Vec::new()))
    }
}

impl From<Vec<PresenceEvent>> for Events {
    fn from(events: Vec<PresenceEvent>) -> Self {
        Self(Held::Alone(events))
    }
}

impl Deref for Events {
    type Target = [PresenceEvent];

    fn deref(&self) -> &[PresenceEvent] {
        match &self.0 {
            Held::Alone(events) => events,
            Held::Shared(shared) => &shared.events,
        }
    }
}

impl PartialEq for Events {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Events {}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a PresenceEvent;
    type IntoIter = std::slice::Iter<'a, PresenceEvent>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Events {
    /// As a list, by `serde_json` alone: what is shared is written once, and is not of another format.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Held::Alone(events) => events.serialize(serializer),
            Held::Shared(shared) => shared.json().map_err(S::Error::custom)?.serialize(serializer),
        }
    }
}

impl Shared {
    fn json(&self) -> serde_json::Result<&RawValue> {
        if let Some(json) = self.json.get() {
            return Ok(json);
        }
        // Another may have written the same meanwhile.
        let json = to_raw_value(&self.events)?;
        Ok(self.json.get_or_init(|| json))
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::UserId;

    use super::*;
    use crate::delivery::PresenceContent;
    use crate::presence::UserPresence;

    fn check(events: &Events) {
        let expected = serde_json::to_string(&**events).expect("serializes");
        assert_eq!(serde_json::to_string(events).expect("serializes"), expected);
    }

    #[test]
    fn shared_events_are_written_once_and_as_any_others() {
        let event = |name: &str| PresenceEvent {
            sender: UserId::parse(name).expect("valid"),
            content: PresenceContent::at(&UserPresence::OFFLINE, 0),
        };
        let alone = Events::from(vec![event("@a:x"), event("@b:x")]);
        check(&alone);
        let (shared, other) = (alone.clone().shared(), alone.shared());
        let reader = shared.clone();
        for events in [&shared, &reader, &other, &Events::default().shared()] {
            check(events);
        }
        let written = |events: &Events| match &events.0 {
            Held::Alone(_) => panic!("not shared"),
            Held::Shared(shared) => shared.json().expect("written").get().as_ptr(),
        };
        assert_eq!(written(&shared), written(&reader));
        assert_ne!(written(&shared), written(&other));
        let mut changed = reader.into_vec();
        changed.push(event("@c:x"));
        check(&changed.into());
        check(&shared);
    }
}

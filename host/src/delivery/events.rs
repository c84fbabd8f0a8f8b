//! The events of an answer: made for it alone, or shared with the answers of others who are told the same.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::delivery::PresenceEvent;

/// Events. Clones of shared ones are the same.
#[derive(Debug, Clone)]
pub struct Events(Held);

#[derive(Debug, Clone)]
enum Held {
    Alone(Vec<PresenceEvent>),
    Shared(Arc<Vec<PresenceEvent>>),
}

impl Events {
    /// The same events, to be shared.
    #[must_use]
    pub fn shared(self) -> Self {
        match self.0 {
            // There is nothing to share.
            Held::Alone(events) if events.is_empty() => Self::default(),
            Held::Alone(events) => Self(Held::Shared(Arc::new(events))),
            Held::Shared(_) => self,
        }
    }

    /// The events, to be changed.
    pub fn into_vec(self) -> Vec<PresenceEvent> {
        match self.0 {
            Held::Alone(events) => events,
            Held::Shared(events) => Arc::unwrap_or_clone(events),
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
            Held::Shared(events) => events,
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
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&**self)
    }
}

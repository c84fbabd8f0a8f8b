//! How other homeservers are reached: what is told of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::federation::Contact;
use crate::operations::Inner;

/// A homeserver to which something was sent, or waits to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// Its name.
    pub destination: String,
    /// Whether it is reached.
    pub state: DestinationState,
    /// Users whose newest state waits to be sent.
    pub waiting: usize,
    /// When it last took a transaction, in milliseconds since the Unix epoch; nothing when it never did.
    pub succeeded_ts: Option<u64>,
    /// When it last did not; nothing when it always did.
    pub failed_ts: Option<u64>,
    /// How often in a row it was not reached.
    pub failures: u32,
    /// When it is tried again, unless it speaks to us before.
    pub retry_ts: Option<u64>,
}

/// Whether a homeserver is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationState {
    /// It was not tried yet.
    Untried,
    /// It took the last transaction.
    Up,
    /// It did not, or asked for a rest, and is left alone for a while.
    BackingOff,
}

impl Inner {
    pub(super) fn destinations(&self) -> Option<Vec<DestinationStatus>> {
        let sender = self.sender.get()?;
        let mut all: BTreeMap<Arc<str>, (Option<Contact>, usize)> = BTreeMap::new();
        for contact in sender.contacts() {
            let server = Arc::clone(&contact.server);
            all.entry(server).or_default().0 = Some(contact);
        }
        for (server, waiting) in self.engine.waiting_for_servers() {
            all.entry(server).or_default().1 = waiting;
        }
        let status = |(server, (contact, waiting)): (Arc<str>, (Option<Contact>, usize))| {
            let known = |ts: u64| (ts > 0).then_some(ts);
            let contact = contact.as_ref();
            DestinationStatus {
                destination: server.to_string(),
                state: match contact {
                    None => DestinationState::Untried,
                    Some(contact) if contact.is_left_alone() => DestinationState::BackingOff,
                    Some(_) => DestinationState::Up,
                },
                waiting,
                succeeded_ts: contact.and_then(|contact| known(contact.succeeded_ts)),
                failed_ts: contact.and_then(|contact| known(contact.failed_ts)),
                failures: contact.map_or(0, |contact| contact.failures),
                retry_ts: contact.and_then(|contact| known(contact.retry_ts)),
            }
        };
        Some(all.into_iter().map(status).collect())
    }
}

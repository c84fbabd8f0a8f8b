//! What other homeservers send is counted by.

use metrics::Counter;

use crate::metrics::names::{FEDERATION_ENTRIES, FEDERATION_KEY_FETCHES, FEDERATION_TRANSACTIONS};

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It was taken.
    Ok,
    /// It was taken before.
    Repeated,
    /// Who has sent it is not proven.
    Unauthorized,
    /// It is not one, or too large.
    Refused,
    /// There was no room for it.
    Busy,
}

/// What became of entries of presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// They were taken.
    Taken,
    /// They were of another server's users.
    Foreign,
    /// They say nothing that is understood.
    Unreadable,
}

/// What became of a need for another server's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFetch {
    /// They came.
    Ok,
    /// The server could not be asked, or did not answer.
    Failed,
    /// The answer is not believed.
    Refused,
    /// The server was asked a short while ago.
    TooSoon,
    /// Too many others are being asked.
    Busy,
}

/// The handles of what is received. Clones count the same.
#[derive(Debug, Clone)]
pub struct ReceivedMetrics {
    transactions: [Counter; 5],
    entries: [Counter; 3],
    key_fetches: [Counter; 5],
}

impl ReceivedMetrics {
    /// Fetches them.
    pub fn new() -> Self {
        Self {
            transactions: ["ok", "repeated", "unauthorized", "refused", "busy"]
                .map(|outcome| FEDERATION_TRANSACTIONS.counter([outcome])),
            entries: ["taken", "foreign", "unreadable"].map(|outcome| FEDERATION_ENTRIES.counter([outcome])),
            key_fetches: ["ok", "failed", "refused", "too_soon", "busy"]
                .map(|outcome| FEDERATION_KEY_FETCHES.counter([outcome])),
        }
    }

    /// A transaction was answered.
    pub fn transaction(&self, outcome: Received) {
        self.transactions[outcome as usize].increment(1);
    }

    /// So many entries were in a transaction that was taken.
    pub fn entries(&self, outcome: Entry, entries: usize) {
        self.entries[outcome as usize].increment(entries as u64);
    }

    /// Keys were needed that were not there.
    pub fn key_fetch(&self, outcome: KeyFetch) {
        self.key_fetches[outcome as usize].increment(1);
    }
}

impl Default for ReceivedMetrics {
    fn default() -> Self {
        Self::new()
    }
}

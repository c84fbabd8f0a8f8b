//! What is sent to other homeservers is counted by.

use metrics::{Counter, Gauge};

use crate::metrics::names::{
    DESTINATIONS, FEDERATION_SENDING, FEDERATION_SENT, FEDERATION_SENT_EDUS, FEDERATION_SENT_STATES,
};
use crate::metrics::process::number;

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was taken.
    Ok,
    /// The homeserver was not reached, or is in trouble.
    Away,
    /// The homeserver asks to be left alone for a while.
    Limited,
    /// It does not want it.
    Refused,
}

/// The handles of the sender. Clones count the same.
#[derive(Clone)]
pub struct SentMetrics {
    transactions: [Counter; 4],
    edus: Counter,
    states: Counter,
    running: Gauge,
    up: Gauge,
    backing_off: Gauge,
}

impl SentMetrics {
    /// Fetches them.
    pub fn new() -> Self {
        Self {
            transactions: ["ok", "away", "limited", "refused"]
                .map(|outcome| FEDERATION_SENT.counter([outcome])),
            edus: FEDERATION_SENT_EDUS.counter([]),
            states: FEDERATION_SENT_STATES.counter([]),
            running: FEDERATION_SENDING.gauge([]),
            up: DESTINATIONS.gauge(["up"]),
            backing_off: DESTINATIONS.gauge(["backing_off"]),
        }
    }

    /// A transaction has ended.
    pub fn transaction(&self, outcome: Sent) {
        self.transactions[outcome as usize].increment(1);
    }

    /// So much was in a transaction that was taken.
    pub fn taken(&self, edus: usize, states: usize) {
        self.edus.increment(edus as u64);
        self.states.increment(states as u64);
    }

    /// So many transactions are on their way.
    pub fn running(&self, transactions: usize) {
        self.running.set(number(transactions as u64));
    }

    /// So many homeservers are reached, and so many left alone for a while.
    pub fn destinations(&self, up: usize, backing_off: usize) {
        self.up.set(number(up as u64));
        self.backing_off.set(number(backing_off as u64));
    }
}

impl Default for SentMetrics {
    fn default() -> Self {
        Self::new()
    }
}

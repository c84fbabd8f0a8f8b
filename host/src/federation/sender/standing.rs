//! How a homeserver stands with the sender.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::time::delay_queue::Key;

use crate::federation::outbox::Contact;
use crate::federation::sender::backoff::{self, LAST_RETRY};

/// A homeserver.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) contact: Contact,
    pub(super) state: State,
}

/// What is being done for a homeserver.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing waits, as far as is known.
    Idle,
    /// It waits for a place.
    Waiting,
    /// A transaction is on its way; whether something has come to wait meanwhile.
    Running { more: bool },
    /// It is left alone for a while.
    BackingOff(Key),
}

/// Whose places it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Those of homeservers that took the last transaction.
    Proven,
    /// Those of homeservers that were never reached, and have not failed yet.
    New,
    /// Those of homeservers that did not take the last one.
    Away,
}

impl Lane {
    /// Who goes first comes first.
    pub(super) const ALL: [Self; 3] = [Self::Proven, Self::New, Self::Away];

    /// How many transactions run at a time. When many become known at once, as at the first start, many of them are not
    /// there, and each may take as long as a request may: so there are more places for those.
    pub(super) const fn places(self) -> usize {
        match self {
            Self::Proven | Self::Away => 64,
            Self::New => 128,
        }
    }
}

impl Standing {
    pub(super) fn new(server: &Arc<str>) -> Self {
        Self::of(Contact {
            server: Arc::clone(server),
            succeeded_ts: 0,
            failed_ts: 0,
            retry_ts: 0,
            failures: 0,
        })
    }

    pub(super) fn of(contact: Contact) -> Self {
        Self {
            contact,
            state: State::Idle,
        }
    }

    pub(super) fn lane(&self) -> Lane {
        match &self.contact {
            Contact { failures: 1.., .. } => Lane::Away,
            Contact { succeeded_ts: 0, .. } => Lane::New,
            Contact { .. } => Lane::Proven,
        }
    }

    pub(super) fn succeeded(&mut self, now: u64) {
        self.contact.succeeded_ts = now;
        self.contact.failures = 0;
        self.contact.retry_ts = 0;
    }

    /// Returns how long it is left alone.
    pub(super) fn failed(&mut self, now: u64) -> Duration {
        self.contact.failures = self.contact.failures.saturating_add(1);
        self.contact.failed_ts = now;
        self.rest(backoff::after(self.contact.failures, &self.contact.server), now)
    }

    /// It is there, and wants to be left alone. Returns how long it is, within bounds.
    pub(super) fn asked_for_rest(&mut self, rest: Duration, now: u64) -> Duration {
        self.rest(rest.clamp(Duration::from_millis(100), LAST_RETRY), now)
    }

    fn rest(&mut self, rest: Duration, now: u64) -> Duration {
        let ms = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        self.contact.retry_ts = now.saturating_add(ms);
        rest
    }
}

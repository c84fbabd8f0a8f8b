//! What was told of each user last, so that the metrics can say what has changed and why. Changes nothing itself.

use std::hash::BuildHasher;
use std::hint::black_box;

use foldhash::fast::FixedState;
use presence_router_api::PresenceState;

use crate::metrics::{Locality, NotifyReason, PresenceMetrics, Tally};
use crate::presence::{Presence, UserKey, UserPresence};

/// What was told of all users. 16 bytes a user.
pub(super) struct Told {
    users: Vec<Entry>,
    known: usize,
    /// What was told and is not counted yet.
    tally: Tally,
    metrics: PresenceMetrics,
}

#[derive(Clone, Copy, PartialEq)]
struct Entry {
    last_active_ts: u64,
    /// Of the message a part of its hash is enough: a wrong reason in four billion does no harm.
    message: u32,
    state: PresenceState,
    currently_active: bool,
    /// Whether something was told.
    known: bool,
}

const NOTHING: Entry = Entry {
    last_active_ts: 0,
    message: 0,
    state: PresenceState::Offline,
    currently_active: false,
    known: false,
};

impl Entry {
    fn of(presence: &UserPresence) -> Self {
        Self {
            last_active_ts: presence.last_active_ts,
            message: presence.status_msg.as_deref().map_or(0, short_hash),
            state: presence.state,
            currently_active: presence.currently_active,
            known: true,
        }
    }

    /// Why `after` is worth telling after this, in the order in which Synapse looks.
    fn reason(&self, after: &Self) -> Option<NotifyReason> {
        Some(if self.message != after.message {
            NotifyReason::StatusMsg
        } else if self.state != after.state {
            NotifyReason::State
        } else if self.currently_active != after.currently_active {
            NotifyReason::CurrentlyActive
        } else if self.last_active_ts == after.last_active_ts {
            return None;
        } else if after.state == PresenceState::Online {
            NotifyReason::LastActiveOnline
        } else {
            NotifyReason::LastActiveNotOnline
        })
    }
}

impl Told {
    /// What these users are at the start is known, and was not told now.
    pub(super) fn new(
        presence: &Presence,
        users: impl Iterator<Item = UserKey>,
        metrics: PresenceMetrics,
    ) -> Self {
        let mut told = Self {
            users: Vec::new(),
            known: 0,
            tally: Tally::default(),
            metrics,
        };
        for user in users {
            let presence = presence.state(user);
            if *presence != UserPresence::OFFLINE {
                *told.entry(user) = Entry::of(presence);
                told.known += 1;
                told.metrics.restored(presence.state);
            }
        }
        told.metrics.known(told.known);
        told
    }

    /// Looks at what is known of users whose changes are about to be told; see [`Presence::look_at`].
    pub(super) fn look_at(&self, users: &[UserKey]) {
        let entries = users.iter().filter_map(|user| self.users.get(user.0 as usize));
        black_box(entries.fold(0, |seen, entry| seen ^ entry.last_active_ts));
    }

    /// A user's change is being told.
    pub(super) fn tell(&mut self, user: UserKey, presence: &UserPresence, locality: Locality) {
        let after = Entry::of(presence);
        let before = std::mem::replace(self.entry(user), after);
        if let Some(reason) = before.reason(&after) {
            self.tally.told(locality, reason);
        }
        if before.state != after.state {
            self.tally.transition(locality, before.state, after.state);
        }
        self.known += usize::from(!before.known);
    }

    /// The metrics show what was told since the last time.
    pub(super) fn count(&mut self) {
        self.metrics.told(&std::mem::take(&mut self.tally));
        self.metrics.known(self.known);
    }

    fn entry(&mut self, user: UserKey) -> &mut Entry {
        let index = user.0 as usize;
        if self.users.len() <= index {
            self.users.resize(index + 1, NOTHING);
        }
        &mut self.users[index]
    }
}

fn short_hash(text: &str) -> u32 {
    let [a, b, c, d, ..] = FixedState::default().hash_one(text).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use presence_router_api::PresenceState::{Offline, Online, Unavailable};

    use super::*;

    fn entry(state: PresenceState, message: &str, active: bool, last_active_ts: u64) -> Entry {
        Entry::of(&UserPresence {
            state,
            last_active_ts,
            status_msg: Some(message.into()).filter(|_| !message.is_empty()),
            currently_active: active,
            ..UserPresence::OFFLINE
        })
    }

    #[test]
    fn the_reason_is_the_first_that_applies() {
        let before = entry(Online, "a", true, 1);
        for (after, reason) in [
            (entry(Offline, "b", false, 2), Some(NotifyReason::StatusMsg)),
            (entry(Offline, "", true, 1), Some(NotifyReason::StatusMsg)),
            (entry(Offline, "a", false, 2), Some(NotifyReason::State)),
            (entry(Online, "a", false, 2), Some(NotifyReason::CurrentlyActive)),
            (entry(Online, "a", true, 2), Some(NotifyReason::LastActiveOnline)),
            (entry(Online, "a", true, 1), None),
        ] {
            assert_eq!(before.reason(&after), reason);
        }
        let before = entry(Unavailable, "", false, 1);
        assert_eq!(
            before.reason(&entry(Unavailable, "", false, 2)),
            Some(NotifyReason::LastActiveNotOnline)
        );
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 16);
    }
}

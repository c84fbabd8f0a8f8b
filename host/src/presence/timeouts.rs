//! When something changes by time alone: how long each state lasts, and who is next. Knows devices and
//! users, not what is worth telling.
//!
//! Each rule is written once, as the moment at which it takes effect.

use std::collections::BTreeSet;

use presence_router_api::PresenceState;

use super::UserKey;
use super::device::Device;
use super::user::UserPresence;

/// How long states last, in milliseconds. The defaults are Synapse's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long an online user counts as currently active after doing something. Default: 1 minute.
    pub last_active_granularity: u64,
    /// An online device that did nothing for longer is unavailable. Default: 5 minutes.
    pub idle_timeout: u64,
    /// A device that neither synced nor did anything for longer is offline. Default: 30 seconds.
    pub sync_online_timeout: u64,
    /// The same for a busy device, which keeps its state as long as anybody may wish to be left alone, but
    /// not for ever. Default: 1 hour.
    pub busy_timeout: u64,
    /// A user of another server of whom nothing was received for longer is offline. Default: 30 minutes.
    pub federation_timeout: u64,
    /// After how long without an update other servers are told again of a user who is not offline, lest they
    /// take them for offline. Default: 25 minutes.
    pub federation_ping_interval: u64,
    /// By how much less, at most, a user's pings come: each user's by a share of their own, so that those of all who changed in
    /// the same moment do not come in one. Default: 0.
    pub federation_ping_spread: u64,
}

impl Timing {
    /// That of a user: with their own share of the spread.
    pub(super) fn of(self, user: UserKey) -> Self {
        // By the golden ratio, neighbouring numbers lie far apart and any number of them evenly.
        let place = u128::from(user.0.wrapping_mul(0x9E37_79B9));
        let share = (place * u128::from(self.federation_ping_spread)) >> 32;
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        Self {
            federation_ping_interval: self.federation_ping_interval.saturating_sub(share),
            federation_ping_spread: 0,
            ..self
        }
    }

    /// For `presence.enabled: untracked`: whoever sets states also ends them, so no state times out. Other
    /// servers still do take a user for offline of whom they hear nothing, so pings go on.
    #[must_use]
    pub fn untracked(self) -> Self {
        Self {
            idle_timeout: u64::MAX,
            sync_online_timeout: u64::MAX,
            busy_timeout: u64::MAX,
            federation_timeout: u64::MAX,
            ..self
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            last_active_granularity: 60_000,
            idle_timeout: 5 * 60_000,
            sync_online_timeout: 30_000,
            busy_timeout: 60 * 60_000,
            federation_timeout: 30 * 60_000,
            federation_ping_interval: 25 * 60_000,
            federation_ping_spread: 0,
        }
    }
}

/// The next moment at which time alone changes this device.
pub(super) fn next_of_device(device: &Device, timing: &Timing) -> Option<u64> {
    idle_at(device, timing)
        .into_iter()
        .chain(offline_at(device, timing))
        .min()
}

/// Applies what is due by `now`. An offline device is for the caller to drop.
pub(super) fn apply(device: &mut Device, timing: &Timing, now: u64) {
    if offline_at(device, timing).is_some_and(|at| at <= now) {
        device.state = PresenceState::Offline;
    } else if idle_at(device, timing).is_some_and(|at| at <= now) {
        device.state = PresenceState::Unavailable;
    }
}

/// When the user stops being currently active. This is the one timeout that takes effect at the moment
/// itself, not after it.
pub(super) fn inactive_at(presence: &UserPresence, timing: &Timing) -> Option<u64> {
    if presence.currently_active {
        presence
            .last_active_ts
            .checked_add(timing.last_active_granularity)
    } else {
        None
    }
}

/// When a user of another server, of whom nothing more is received, is offline.
pub(super) fn gone_at(presence: &UserPresence, timing: &Timing) -> Option<u64> {
    if presence.state == PresenceState::Offline {
        None
    } else {
        longer_than(timing.federation_timeout, presence.last_federation_update_ts)
    }
}

/// When other servers are due a sign of life of a user of this one.
pub(super) fn ping_at(presence: &UserPresence, timing: &Timing) -> Option<u64> {
    if presence.state == PresenceState::Offline {
        None
    } else {
        longer_than(
            timing.federation_ping_interval,
            presence.last_federation_update_ts,
        )
    }
}

/// An online device goes idle even while it syncs, for clients sync in the background.
fn idle_at(device: &Device, timing: &Timing) -> Option<u64> {
    if device.state == PresenceState::Online {
        longer_than(timing.idle_timeout, device.last_active)
    } else {
        None
    }
}

fn offline_at(device: &Device, timing: &Timing) -> Option<u64> {
    if device.running_syncs > 0 {
        return None;
    }
    let timeout = match device.state {
        PresenceState::Offline => return None,
        PresenceState::Unavailable | PresenceState::Online => timing.sync_online_timeout,
        PresenceState::Busy => timing.busy_timeout,
    };
    longer_than(timeout, device.last_seen)
}

/// The first moment at which more than `timeout` has passed; `None` when that is beyond all time.
fn longer_than(timeout: u64, since: u64) -> Option<u64> {
    since.checked_add(timeout)?.checked_add(1)
}

/// The users who have a timeout ahead, each once: at their earliest timeout, or before it. Who acts puts their timeout off
/// each time, and stays where they are here; when their turn comes, they are looked at, and put where they belong.
#[derive(Debug, Default)]
pub(super) struct Timeouts {
    turns: BTreeSet<(u64, UserKey)>,
    /// When the turn of each user comes; [`NEVER`] of those who have none.
    turn_of: Vec<u64>,
}

/// A timeout that is as late does not come.
const NEVER: u64 = u64::MAX;

impl Timeouts {
    /// No later than the earliest timeout.
    pub(super) fn next(&self) -> Option<u64> {
        self.turns.first().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }

    /// The user whose turn comes first, and when that is, if it has come by `now`. Their timeout may be later.
    pub(super) fn first_turn(&self, now: u64) -> Option<(u64, UserKey)> {
        self.turns.first().filter(|(at, _)| *at <= now).copied()
    }

    /// When a user's turn comes.
    fn turn_of(&self, user: UserKey) -> u64 {
        self.turn_of.get(user.index()).copied().unwrap_or(NEVER)
    }

    /// A user's earliest timeout is at `to`.
    pub(super) fn reschedule(&mut self, user: UserKey, to: Option<u64>) {
        let to = to.unwrap_or(NEVER);
        let turn = self.turn_of(user);
        if to < turn || (to == NEVER && turn < NEVER) {
            self.put(user, turn, to);
        }
    }

    /// The same, when the user's turn has come: the next comes at the timeout, and not before.
    pub(super) fn put_off(&mut self, user: UserKey, to: Option<u64>) {
        if let Some(turn) = self.turn_of.get(user.index()) {
            self.put(user, *turn, to.unwrap_or(NEVER));
        }
    }

    fn put(&mut self, user: UserKey, from: u64, to: u64) {
        if self.turn_of.len() <= user.index() {
            self.turn_of.resize(user.index() + 1, NEVER);
        }
        self.turn_of[user.index()] = to;
        if from < NEVER {
            self.turns.remove(&(from, user));
        }
        if to < NEVER {
            self.turns.insert((to, user));
        }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<(u64, UserKey)> {
        self.turns.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use PresenceState::{Busy, Offline, Online, Unavailable};

    use super::*;
    use crate::presence::device::{DeviceId, Devices};

    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;

    struct Case {
        state: PresenceState,
        last_active: u64,
        last_sync: u64,
        running_syncs: u32,
    }

    /// The moment of the next timeout, the state just before, and the state then.
    fn check(case: &Case) -> Option<(u64, PresenceState, PresenceState)> {
        let at = with_device(case, |device| next_of_device(device, &Timing::default()))?;
        let state_at = |now| {
            with_device(case, |device| {
                apply(device, &Timing::default(), now);
                device.state
            })
        };
        Some((at, state_at(at - 1), state_at(at)))
    }

    fn with_device<T>(case: &Case, look: impl FnOnce(&mut Device) -> T) -> T {
        let mut devices = Devices::default();
        let device = devices.get_or_add(&DeviceId::from("PHONE"));
        device.state = case.state;
        device.last_active = case.last_active;
        device.last_seen = case.last_active.max(case.last_sync);
        device.running_syncs = case.running_syncs;
        look(device)
    }

    // Synapse tests/handlers/test_presence.py: test_idle_timer (here with a running sync).
    #[test]
    fn an_online_device_goes_idle_after_five_minutes_even_while_it_syncs() {
        let case = Case {
            state: Online,
            last_active: HOUR,
            last_sync: 2 * HOUR,
            running_syncs: 1,
        };
        assert_eq!(check(&case), Some((HOUR + 5 * MINUTE + 1, Online, Unavailable)));
    }

    // Synapse tests/handlers/test_presence.py: test_sync_timeout.
    #[test]
    fn a_device_is_offline_thirty_seconds_after_its_last_sync() {
        let case = Case {
            state: Online,
            last_active: HOUR,
            last_sync: HOUR + MINUTE,
            running_syncs: 0,
        };
        assert_eq!(
            check(&case),
            Some((HOUR + MINUTE + 30 * SECOND + 1, Online, Offline))
        );
    }

    #[test]
    fn an_act_without_a_sync_keeps_a_device_from_going_offline() {
        for state in [Unavailable, Online] {
            let case = Case {
                state,
                last_active: HOUR,
                last_sync: 0,
                running_syncs: 0,
            };
            assert_eq!(check(&case), Some((HOUR + 30 * SECOND + 1, state, Offline)));
        }
    }

    // Synapse tests/handlers/test_presence.py: test_sync_online.
    #[test]
    fn a_device_with_a_running_sync_never_times_out_to_offline() {
        for state in [Unavailable, Busy] {
            let case = Case {
                state,
                last_active: HOUR,
                last_sync: HOUR,
                running_syncs: 1,
            };
            assert_eq!(check(&case), None);
        }
    }

    // Synapse tests/handlers/test_presence.py: test_busy_no_idle.
    #[test]
    fn a_busy_device_never_goes_idle_and_is_offline_after_an_hour() {
        let case = Case {
            state: Busy,
            last_active: HOUR,
            last_sync: 0,
            running_syncs: 0,
        };
        assert_eq!(check(&case), Some((2 * HOUR + 1, Busy, Offline)));
    }

    #[test]
    fn an_offline_device_has_no_timeout() {
        let case = Case {
            state: Offline,
            last_active: HOUR,
            last_sync: HOUR,
            running_syncs: 0,
        };
        assert_eq!(check(&case), None);
    }

    #[test]
    fn a_device_that_is_both_idle_and_gone_is_offline() {
        let case = Case {
            state: Online,
            last_active: 1,
            last_sync: 1,
            running_syncs: 0,
        };
        let state = with_device(&case, |device| {
            apply(device, &Timing::default(), 2 * HOUR);
            device.state
        });
        assert_eq!(state, Offline);
    }

    #[test]
    fn a_timeout_beyond_all_time_never_comes() {
        let case = Case {
            state: Online,
            last_active: u64::MAX,
            last_sync: 0,
            running_syncs: 0,
        };
        assert_eq!(check(&case), None);
        assert_eq!(longer_than(u64::MAX, 0), None);
        assert_eq!(longer_than(u64::MAX - 1, 0), Some(u64::MAX));
    }

    #[test]
    fn a_user_has_at_most_one_entry() {
        let mut timeouts = Timeouts::default();
        timeouts.reschedule(UserKey(7), Some(9));
        timeouts.reschedule(UserKey(7), Some(5));
        timeouts.reschedule(UserKey(7), Some(5));
        assert_eq!(timeouts.entries(), [(5, UserKey(7))]);
        timeouts.reschedule(UserKey(7), None);
        assert_eq!(timeouts.next(), None);
    }

    #[test]
    fn who_puts_a_timeout_off_is_looked_at_at_the_old_one_and_then_at_the_new_one() {
        let mut timeouts = Timeouts::default();
        timeouts.reschedule(UserKey(7), Some(5));
        timeouts.reschedule(UserKey(7), Some(9));
        timeouts.reschedule(UserKey(8), Some(7));
        assert_eq!(timeouts.first_turn(4), None);
        assert_eq!(timeouts.first_turn(5), Some((5, UserKey(7))));
        timeouts.put_off(UserKey(7), Some(9));
        assert_eq!(timeouts.entries(), [(7, UserKey(8)), (9, UserKey(7))]);
        assert_eq!(timeouts.first_turn(8), Some((7, UserKey(8))));
    }
}

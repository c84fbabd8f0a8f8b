//! What state each user is in: their devices, merging, the word of other servers, timeouts, what is worth
//! telling. Pure: it does no I/O and reads no clock, and knows nothing of who hears of a change.
//!
//! Time is the parameter `now`, in milliseconds since the Unix epoch. Each operation first applies what
//! is already overdue for its user, so the outcome does not depend on how promptly
//! [`expire`](Presence::expire) is called. A clock that goes backwards delays timeouts,
//! at most until the next act of the device.
//!
//! ```
//! use presence_router::presence::{Change, DeviceId, Presence, Timing, UserKey};
//! use presence_router_api::PresenceState;
//!
//! let (alice, phone) = (UserKey(0), DeviceId::from("PHONE"));
//! let mut presence = Presence::new(Timing::default());
//! assert_eq!(presence.set(alice, &phone, PresenceState::Online, Some("hi"), 1_000), Change::WorthTelling);
//! assert_eq!(presence.state(alice).status_msg.as_deref(), Some("hi"));
//!
//! // Nothing was heard of the phone for more than 30 s.
//! assert_eq!(presence.next_timeout(), Some(31_001));
//! assert_eq!(presence.expire(31_001).changed, [alice]);
//! assert_eq!(presence.state(alice).state, PresenceState::Offline);
//! ```

#![forbid(unsafe_code)]

mod device;
mod notify;
#[cfg(test)]
mod tests;
mod timeouts;
mod user;

use std::collections::HashMap;

use presence_router_api::PresenceState;

pub use self::device::DeviceId;
pub use self::notify::Change;
use self::timeouts::Timeouts;
pub use self::timeouts::Timing;
use self::user::User;
pub use self::user::{Origin, RemoteUpdate, UserPresence};

/// The dense number of a user, given by the directory: memory is taken for all numbers up to the
/// greatest in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(pub u32);

/// A map by the number of a user. The numbers are ours, so nobody can choose some that collide.
pub type ByUser<T> = HashMap<UserKey, T, foldhash::fast::FixedState>;

impl UserKey {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// What time alone has done. Nobody is in both lists, nor in one of them twice.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[must_use = "the changes are to be told"]
pub struct Expired {
    /// The users with a change worth telling.
    pub changed: Vec<UserKey>,
    /// Users of this server of whom other servers are due a sign of life. Nothing that anybody sees has
    /// changed, so clients hear nothing of it.
    pub pings: Vec<UserKey>,
}

/// The presence of all users: those of this server, and those of others of whom something is known.
#[derive(Debug)]
pub struct Presence {
    timing: Timing,
    users: Vec<User>,
    /// Holds each user who has a timeout ahead once, at their earliest or before it.
    timeouts: Timeouts,
}

impl Presence {
    /// Everybody is offline.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            users: Vec::new(),
            timeouts: Timeouts::default(),
        }
    }

    /// The presence of a user as of their last operation or [`expire`](Self::expire); offline when never
    /// seen.
    pub fn state(&self, user: UserKey) -> &UserPresence {
        self.users
            .get(user.index())
            .map_or(&UserPresence::OFFLINE, User::presence)
    }

    /// Looks at the record of a user that an update will need, and leaves it as it is. Done for some users before
    /// their updates, it has the processor fetch from memory side by side what it would fetch one after the other. The outcome
    /// says nothing; it is to be used by [`black_box`](std::hint::black_box).
    pub fn look_at(&self, user: UserKey) -> u64 {
        self.state(user).last_active_ts
    }

    /// The same of what this record points to, once it is at hand.
    pub fn look_closer(&self, user: UserKey) -> u64 {
        self.users.get(user.index()).map_or(0, User::look_closer)
    }

    /// A client sets the presence of its device, and the status message of its user: a message that is
    /// absent or empty clears it.
    pub fn set(
        &mut self,
        user: UserKey,
        device: &DeviceId,
        state: PresenceState,
        status_msg: Option<&str>,
        now: u64,
    ) -> Change {
        self.update(user, now, |user| user.set(device, state, status_msg, now))
    }

    /// A sync begins that sets the presence of its device. It never lowers busy.
    ///
    /// A sync that asks for offline does not count as presence: announce neither its start nor its end.
    /// Its start changes nothing here.
    pub fn sync_started(
        &mut self,
        user: UserKey,
        device: &DeviceId,
        state: PresenceState,
        now: u64,
    ) -> Change {
        if state == PresenceState::Offline {
            return Change::Quiet;
        }
        self.update(user, now, |user| user.sync_started(device, state, now))
    }

    /// A sync ends, whose start was announced. Several syncs of one device may run at once. An end
    /// without a start counts for nothing.
    pub fn sync_ended(&mut self, user: UserKey, device: &DeviceId, now: u64) -> Change {
        self.update(user, now, |user| user.sync_ended(device, now))
    }

    /// Another server tells of its user, in an `m.presence` EDU. Whether it may speak for the user is for the
    /// caller to have checked.
    pub fn receive(&mut self, user: UserKey, update: &RemoteUpdate<'_>, now: u64) -> Change {
        self.update(user, now, |user| user.receive(update, now))
    }

    /// A module sets a user's presence: Synapse's `set_presence_for_users`. It is told of even when it
    /// changes nothing.
    ///
    /// Of a local user it holds against all devices, until one of them acts: then the greatest state counts
    /// again. Like the state of a device that does not sync it times out, and an explicit [`set`](Self::set)
    /// ends it. Of a remote user it holds until the next word of their server, and times out like one.
    pub fn set_by_module(
        &mut self,
        user: UserKey,
        origin: Origin,
        state: PresenceState,
        status_msg: Option<&str>,
        now: u64,
    ) -> Change {
        let change = self.update(user, now, |user| {
            user.set_by_module(origin, state, status_msg, now);
        });
        if change == Change::Quiet {
            self.told(user, now);
        }
        Change::WorthTelling
    }

    /// Takes up a user's presence as it was stored, in place of all that is known of them. Nobody is told: it
    /// is what others have seen before. What has fallen due since then is told by the next
    /// [`expire`](Self::expire).
    ///
    /// A local user who is not offline is so by a stand-in for their devices, under the usual timeouts: as if
    /// a device of theirs had been seen at `now`, and active when they last were. A sync of a real device leaves
    /// it to time out, an explicit [`set`](Self::set) ends it. A time after `now` is taken as `now`.
    pub fn restore(&mut self, user: UserKey, origin: Origin, presence: UserPresence, now: u64) {
        let timing = self.timing.of(user);
        self.edit(user, &timing, |user| {
            *user = User::restored(&timing, origin, presence, now);
        });
    }

    /// When [`expire`](Self::expire) is to be called next: at the earliest moment at which it has something to do, or
    /// before it, for a user who has acted meanwhile. Then it finds that there is nothing to do yet.
    pub fn next_timeout(&self) -> Option<u64> {
        self.timeouts.next()
    }

    /// How many users have a timeout ahead.
    pub fn timeout_count(&self) -> usize {
        self.timeouts.len()
    }

    /// Applies the timeouts that are due, and returns who is to be told of.
    pub fn expire(&mut self, now: u64) -> Expired {
        let mut expired = Expired::default();
        // Each turn moves its user to their timeout; at that, to a later moment than `now`, or takes them out.
        while let Some((turn, user)) = self.timeouts.first_turn(now) {
            let due = self.users[user.index()].next_timeout(&self.timing.of(user));
            if due != Some(turn) {
                self.timeouts.put_off(user, due);
            } else if self.update(user, now, |_| ()) == Change::WorthTelling {
                expired.changed.push(user);
            } else if self.users[user.index()].needs_ping(&self.timing.of(user), now) {
                self.told(user, now);
                expired.pings.push(user);
            }
        }
        expired
    }

    fn update(&mut self, key: UserKey, now: u64, event: impl FnOnce(&mut User)) -> Change {
        let timing = self.timing.of(key);
        self.edit(key, &timing, |user| {
            let before = user.presence().clone();
            user.pass_time(&timing, now);
            event(user);
            user.settle(&timing, now);

            let change = notify::compare(&before, user.presence(), timing.last_active_granularity);
            if change == Change::WorthTelling {
                user.told(now);
            }
            change
        })
    }

    fn told(&mut self, key: UserKey, now: u64) {
        let timing = self.timing.of(key);
        self.edit(key, &timing, |user| user.told(now));
    }

    /// Changes a user's record, and keeps their timeout in step with it.
    fn edit<T>(&mut self, key: UserKey, timing: &Timing, change: impl FnOnce(&mut User) -> T) -> T {
        if self.users.len() <= key.index() {
            self.users.resize_with(key.index() + 1, User::default);
        }
        let user = &mut self.users[key.index()];
        let before = user.next_timeout(timing);
        let outcome = change(user);
        let after = user.next_timeout(timing);
        // A turn comes no later than the timeout, so that it need not be looked up for one that is put off.
        if is_sooner_or_gone(before, after) {
            self.timeouts.reschedule(key, after);
        }
        outcome
    }
}

/// Whether a timeout has come nearer, or is there no more.
fn is_sooner_or_gone(before: Option<u64>, after: Option<u64>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => after < before,
        (None, after) => after.is_some(),
        (Some(_), None) => true,
    }
}

//! One user: what others see, and what that rests on: the devices of a user of this server, the word of
//! another server. Knows no other user, and not what is worth telling.

use std::sync::Arc;

use presence_router_api::PresenceState;

use super::device::{DeviceId, Devices};
use super::timeouts::{self, Timing};

/// Which server a user is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// This one, which knows their devices.
    Local,
    /// Another one, which tells of them by federation.
    Remote,
}

/// What another server says of one of its users: an entry of an `m.presence` EDU (Matrix specification,
/// server-server API, "Presence").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteUpdate<'a> {
    /// What the user is.
    pub state: PresenceState,
    /// When the user was last active, in milliseconds since the Unix epoch: the time of arrival less
    /// `last_active_ago`. `None` when the other server did not say; what is known then stays.
    pub last_active_ts: Option<u64>,
    /// What the user says of it. Absent or empty, it clears what the user said before.
    pub status_msg: Option<&'a str>,
    /// Whether the user is active just now. It counts for an online user alone.
    pub currently_active: bool,
}

/// The presence of a user as others see it. Times are milliseconds since the Unix epoch; 0 means never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPresence {
    /// The greatest state of the user's devices, or what the user's own server last said.
    pub state: PresenceState,
    /// When the user last did something while online or busy.
    pub last_active_ts: u64,
    /// When other servers were last told of this user, by a change worth telling or a ping. Of a user of
    /// another server: when it was last received.
    pub last_federation_update_ts: u64,
    /// When a sync of the user last began or ended.
    pub last_user_sync_ts: u64,
    /// What the user says of it; never empty.
    pub status_msg: Option<Arc<str>>,
    /// Whether the user is online and was active within the granularity, or is so by the word of their own
    /// server.
    pub currently_active: bool,
}

impl UserPresence {
    /// The presence of a user who was never seen.
    pub const OFFLINE: Self = Self {
        state: PresenceState::Offline,
        last_active_ts: 0,
        last_federation_update_ts: 0,
        last_user_sync_ts: 0,
        status_msg: None,
        currently_active: false,
    };
}

impl Default for UserPresence {
    fn default() -> Self {
        Self::OFFLINE
    }
}

/// What the state of a user rests on.
#[derive(Debug)]
enum Basis {
    /// Devices, one of which may be the stand-in.
    Local(Devices),
    /// The word of another server. It stands until the next, or until it is too old.
    Remote,
}

impl Default for Basis {
    fn default() -> Self {
        Self::Local(Devices::default())
    }
}

/// 64 bytes, for there is one for every account of the server; and all of it in one line of the processor's caches.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct User {
    presence: UserPresence,
    basis: Basis,
}

impl User {
    /// A user as they were stored. What fell due meanwhile is left to `pass_time` and `settle`, so that it is
    /// told: who is still online in the eyes of others has to go offline in their eyes.
    pub(super) fn restored(timing: &Timing, origin: Origin, mut presence: UserPresence, now: u64) -> Self {
        for time in [
            &mut presence.last_active_ts,
            &mut presence.last_federation_update_ts,
            &mut presence.last_user_sync_ts,
        ] {
            *time = now.min(*time);
        }
        presence.status_msg = presence.status_msg.filter(|message| !message.is_empty());
        presence.currently_active &= presence.state == PresenceState::Online;

        let basis = match origin {
            Origin::Local => {
                presence.currently_active |= is_active(&presence, timing, now);
                let mut devices = Devices::default();
                if presence.state != PresenceState::Offline {
                    let stand_in = devices.stand_in();
                    stand_in.state = presence.state;
                    stand_in.last_active = presence.last_active_ts;
                    // Its clients have the usual time to come back.
                    stand_in.last_seen = now;
                }
                Basis::Local(devices)
            }
            Origin::Remote => Basis::Remote,
        };
        Self { presence, basis }
    }

    /// Looks at what the record points to. The outcome says nothing.
    pub(super) fn look_closer(&self) -> u64 {
        let message = self.presence.status_msg.as_ref().map_or(0, Arc::strong_count) as u64;
        let device = match &self.basis {
            Basis::Local(devices) => devices.iter().next().map_or(0, |device| device.last_seen),
            Basis::Remote => 0,
        };
        message ^ device
    }

    pub(super) fn presence(&self) -> &UserPresence {
        &self.presence
    }

    /// When [`pass_time`](Self::pass_time) and [`settle`](Self::settle) next change something by time
    /// alone, or a ping is due. It is a function of the record, so that it need not be stored to find the user's
    /// timeout.
    pub(super) fn next_timeout(&self, timing: &Timing) -> Option<u64> {
        match &self.basis {
            Basis::Local(devices) => devices
                .iter()
                .filter_map(|device| timeouts::next_of_device(device, timing))
                .chain(timeouts::inactive_at(&self.presence, timing))
                .chain(timeouts::ping_at(&self.presence, timing))
                .min(),
            Basis::Remote => timeouts::gone_at(&self.presence, timing),
        }
    }

    /// Whether other servers are due a sign of life.
    pub(super) fn needs_ping(&self, timing: &Timing, now: u64) -> bool {
        matches!(self.basis, Basis::Local(_))
            && timeouts::ping_at(&self.presence, timing).is_some_and(|at| at <= now)
    }

    /// Applies the timeouts of what the state rests on, up to `now`. `settle` is to follow.
    pub(super) fn pass_time(&mut self, timing: &Timing, now: u64) {
        match &mut self.basis {
            Basis::Local(devices) => {
                for device in devices.iter_mut() {
                    timeouts::apply(device, timing, now);
                }
                self.presence.state = devices.merged_state();
            }
            Basis::Remote => {
                if timeouts::gone_at(&self.presence, timing).is_some_and(|at| at <= now) {
                    self.presence.state = PresenceState::Offline;
                    self.presence.currently_active = false;
                }
            }
        }
    }

    pub(super) fn set(&mut self, id: &DeviceId, state: PresenceState, status_msg: Option<&str>, now: u64) {
        let devices = self.local_devices();
        // Else a busy that was restored would outlive an explicit `online` by an hour.
        devices.drop_stand_in();
        let device = devices.get_or_add(id);
        device.state = state;
        device.last_active = now;
        device.last_seen = now;
        self.acted(now);
        self.say(status_msg);
    }

    pub(super) fn sync_started(&mut self, id: &DeviceId, state: PresenceState, now: u64) {
        // Clients sync with `online` all the time: only an explicit change ends busy (MSC3026).
        let state = if self.presence.state == PresenceState::Busy {
            PresenceState::Busy
        } else {
            state
        };

        let device = self.local_devices().get_or_add(id);
        device.state = state;
        device.last_active = now;
        device.last_seen = now;
        device.running_syncs = device.running_syncs.saturating_add(1);
        self.presence.last_user_sync_ts = now;
        self.acted(now);
    }

    pub(super) fn sync_ended(&mut self, id: &DeviceId, now: u64) {
        let Basis::Local(devices) = &mut self.basis else {
            return;
        };
        let Some(device) = devices.find(id).filter(|device| device.running_syncs > 0) else {
            return;
        };
        device.running_syncs -= 1;
        device.last_seen = now;
        self.presence.last_user_sync_ts = now;
    }

    pub(super) fn receive(&mut self, update: &RemoteUpdate<'_>, now: u64) {
        self.basis = Basis::Remote;
        self.presence.state = update.state;
        self.presence.currently_active = update.currently_active;
        if let Some(at) = update.last_active_ts {
            self.presence.last_active_ts = at.min(now);
        }
        self.presence.last_federation_update_ts = now;
        self.say(update.status_msg);
    }

    /// A module's word is no act of the user, so the time of the last activity stays.
    pub(super) fn set_by_module(
        &mut self,
        origin: Origin,
        state: PresenceState,
        status_msg: Option<&str>,
        now: u64,
    ) {
        match origin {
            Origin::Local => {
                let devices = self.local_devices();
                devices.cap(state);
                let stand_in = devices.stand_in();
                stand_in.state = state;
                stand_in.last_active = now;
                stand_in.last_seen = now;
            }
            Origin::Remote => self.basis = Basis::Remote,
        }
        self.presence.state = state;
        self.say(status_msg);
    }

    /// Brings what is derived from the devices and the time up to date.
    pub(super) fn settle(&mut self, timing: &Timing, now: u64) {
        match &mut self.basis {
            Basis::Local(devices) => {
                devices.drop_spent();
                self.presence.state = devices.merged_state();
                self.presence.currently_active = is_active(&self.presence, timing, now);
            }
            Basis::Remote => self.presence.currently_active &= self.presence.state == PresenceState::Online,
        }
    }

    pub(super) fn told(&mut self, now: u64) {
        self.presence.last_federation_update_ts = now;
    }

    /// The user did something on a device, whose new state stands already.
    fn acted(&mut self, now: u64) {
        self.presence.state = self.local_devices().merged_state();
        if matches!(self.presence.state, PresenceState::Online | PresenceState::Busy) {
            self.presence.last_active_ts = now;
        }
    }

    fn say(&mut self, status_msg: Option<&str>) {
        let status_msg = status_msg.filter(|message| !message.is_empty());
        if self.presence.status_msg.as_deref() != status_msg {
            self.presence.status_msg = status_msg.map(Arc::from);
        }
    }

    /// The devices of a user who is of this server after all when they were taken for another's.
    fn local_devices(&mut self) -> &mut Devices {
        if matches!(self.basis, Basis::Remote) {
            self.basis = Basis::default();
        }
        match &mut self.basis {
            Basis::Local(devices) => devices,
            Basis::Remote => unreachable!("it has just been made local"),
        }
    }
}

fn is_active(presence: &UserPresence, timing: &Timing, now: u64) -> bool {
    presence.state == PresenceState::Online
        && now.saturating_sub(presence.last_active_ts) < timing.last_active_granularity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::device::Device;

    #[test]
    fn the_records_stay_small() {
        assert_eq!((size_of::<User>(), align_of::<User>()), (64, 64));
        assert_eq!(size_of::<Device>(), 40);
    }

    #[test]
    fn nothing_is_kept_of_a_device_that_is_offline() {
        let (mut user, phone, timing) = (User::default(), DeviceId::from("PHONE"), Timing::default());
        user.set(&phone, PresenceState::Online, None, 1);
        user.set(&phone, PresenceState::Offline, None, 1);
        user.settle(&timing, 1);
        assert_eq!(user.local_devices().iter().len(), 0);

        user.sync_started(&phone, PresenceState::Online, 2);
        user.sync_ended(&phone, 3);
        user.settle(&timing, 3);
        assert_eq!(user.local_devices().iter().len(), 1);
        user.pass_time(&timing, 60_000);
        user.settle(&timing, 60_000);
        assert_eq!(user.local_devices().iter().len(), 0);
    }

    #[test]
    fn an_unchanged_status_message_is_not_allocated_again() {
        let (mut user, phone) = (User::default(), DeviceId::from("PHONE"));
        user.set(&phone, PresenceState::Online, Some("hi"), 1);
        let first = user.presence.status_msg.clone().unwrap();
        user.set(&phone, PresenceState::Busy, Some("hi"), 2);
        assert!(Arc::ptr_eq(&first, user.presence.status_msg.as_ref().unwrap()));
    }
}

//! One user: what others see, and the devices that it is merged from. Knows no other user, and not what
//! is worth telling.

use std::sync::Arc;

use presence_router_api::PresenceState;

use super::device::{DeviceId, Devices};
use super::timeouts::{self, Timing};

/// The presence of a user as others see it. Times are milliseconds since the Unix epoch; 0 means never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPresence {
    /// The greatest state of the user's devices.
    pub state: PresenceState,
    /// When the user last did something while online or busy.
    pub last_active_ts: u64,
    /// When a change of this user was last worth telling.
    pub last_federation_update_ts: u64,
    /// When a sync of the user last began or ended.
    pub last_user_sync_ts: u64,
    /// What the user says of it; never empty.
    pub status_msg: Option<Arc<str>>,
    /// Whether the user is online and was active within the granularity.
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

/// 64 bytes, for there is one for every account of the server.
#[derive(Debug, Default)]
pub(super) struct User {
    presence: UserPresence,
    devices: Devices,
}

impl User {
    pub(super) fn presence(&self) -> &UserPresence {
        &self.presence
    }

    /// When [`pass_time`](Self::pass_time) and [`settle`](Self::settle) next change something by time
    /// alone. It is a function of the record, so that it need not be stored to find the user's timeout.
    pub(super) fn next_timeout(&self, timing: &Timing) -> Option<u64> {
        self.devices
            .iter()
            .filter_map(|device| timeouts::next_of_device(device, timing))
            .chain(timeouts::inactive_at(&self.presence, timing))
            .min()
    }

    /// Applies the timeouts of the devices up to `now`. `settle` is to follow.
    pub(super) fn pass_time(&mut self, timing: &Timing, now: u64) {
        for device in self.devices.iter_mut() {
            timeouts::apply(device, timing, now);
        }
        self.presence.state = self.devices.merged_state();
    }

    pub(super) fn set(&mut self, id: &DeviceId, state: PresenceState, status_msg: Option<&str>, now: u64) {
        let device = self.devices.get_or_add(id);
        device.state = state;
        device.last_active = now;
        device.last_seen = now;
        self.acted(now);

        let status_msg = status_msg.filter(|message| !message.is_empty());
        if self.presence.status_msg.as_deref() != status_msg {
            self.presence.status_msg = status_msg.map(Arc::from);
        }
    }

    pub(super) fn sync_started(&mut self, id: &DeviceId, state: PresenceState, now: u64) {
        // Clients sync with `online` all the time: only an explicit change ends busy (MSC3026).
        let state = if self.presence.state == PresenceState::Busy {
            PresenceState::Busy
        } else {
            state
        };

        let device = self.devices.get_or_add(id);
        device.state = state;
        device.last_active = now;
        device.last_seen = now;
        device.running_syncs = device.running_syncs.saturating_add(1);
        self.presence.last_user_sync_ts = now;
        self.acted(now);
    }

    pub(super) fn sync_ended(&mut self, id: &DeviceId, now: u64) {
        let Some(device) = self.devices.find(id).filter(|device| device.running_syncs > 0) else {
            return;
        };
        device.running_syncs -= 1;
        device.last_seen = now;
        self.presence.last_user_sync_ts = now;
    }

    /// Brings what is derived from the devices and the time up to date.
    pub(super) fn settle(&mut self, timing: &Timing, now: u64) {
        self.devices.drop_spent();
        self.presence.state = self.devices.merged_state();
        self.presence.currently_active = self.presence.state == PresenceState::Online
            && now.saturating_sub(self.presence.last_active_ts) < timing.last_active_granularity;
    }

    pub(super) fn told(&mut self, now: u64) {
        self.presence.last_federation_update_ts = now;
    }

    /// The user did something on a device, whose new state stands already.
    fn acted(&mut self, now: u64) {
        self.presence.state = self.devices.merged_state();
        if matches!(self.presence.state, PresenceState::Online | PresenceState::Busy) {
            self.presence.last_active_ts = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::device::Device;

    #[test]
    fn the_records_stay_small() {
        assert_eq!(size_of::<User>(), 64);
        assert_eq!(size_of::<Device>(), 40);
    }

    #[test]
    fn nothing_is_kept_of_a_device_that_is_offline() {
        let (mut user, phone, timing) = (User::default(), DeviceId::from("PHONE"), Timing::default());
        user.set(&phone, PresenceState::Online, None, 1);
        user.set(&phone, PresenceState::Offline, None, 1);
        user.settle(&timing, 1);
        assert_eq!(user.devices.iter().len(), 0);

        user.sync_started(&phone, PresenceState::Online, 2);
        user.sync_ended(&phone, 3);
        user.settle(&timing, 3);
        assert_eq!(user.devices.iter().len(), 1);
        user.pass_time(&timing, 60_000);
        user.settle(&timing, 60_000);
        assert_eq!(user.devices.iter().len(), 0);
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

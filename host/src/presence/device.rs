//! The devices of one user, and how their states merge into one. Knows no timeouts: `timeouts.rs` does.

use std::mem;
use std::slice;
use std::sync::Arc;

use presence_router_api::PresenceState;

/// The id of a device, unique among the devices of its user. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for DeviceId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<Arc<str>> for DeviceId {
    fn from(id: Arc<str>) -> Self {
        Self(id)
    }
}

#[derive(Debug)]
pub(super) struct Device {
    /// `None` for the stand-in.
    id: Option<DeviceId>,
    /// When it was last set, or a sync of it began.
    pub(super) last_active: u64,
    /// When it last did something, or a sync of it began or ended.
    pub(super) last_seen: u64,
    pub(super) running_syncs: u32,
    pub(super) state: PresenceState,
}

impl Device {
    fn new(id: Option<DeviceId>) -> Self {
        Self {
            id,
            last_active: 0,
            last_seen: 0,
            running_syncs: 0,
            state: PresenceState::Offline,
        }
    }

    /// An offline device says nothing, but its running syncs must be remembered until they end: it may
    /// come back meanwhile.
    fn is_spent(&self) -> bool {
        self.state == PresenceState::Offline && self.running_syncs == 0
    }
}

/// A boxed slice: devices come and go seldom, and without any it allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Devices(Box<[Device]>);

impl Devices {
    /// The greatest state; offline without devices. That ties go to the most recently active device
    /// cannot be seen in a state, so nothing here decides them.
    pub(super) fn merged_state(&self) -> PresenceState {
        self.0
            .iter()
            .map(|device| device.state)
            .max()
            .unwrap_or(PresenceState::Offline)
    }

    pub(super) fn find(&mut self, id: &DeviceId) -> Option<&mut Device> {
        self.0.iter_mut().find(|device| device.id.as_ref() == Some(id))
    }

    /// The device, which starts out as offline.
    pub(super) fn get_or_add(&mut self, id: &DeviceId) -> &mut Device {
        self.entry(Some(id))
    }

    /// The stand-in, which starts out as offline. It carries a state that came without a device: one that was
    /// restored, or set by a module.
    pub(super) fn stand_in(&mut self) -> &mut Device {
        self.entry(None)
    }

    /// Makes devices of a greater state be of this one.
    pub(super) fn cap(&mut self, state: PresenceState) {
        for device in &mut self.0 {
            device.state = device.state.min(state);
        }
    }

    pub(super) fn drop_stand_in(&mut self) {
        self.drop_if(|device| device.id.is_none());
    }

    /// Forgets the offline devices that have no running sync.
    pub(super) fn drop_spent(&mut self) {
        self.drop_if(Device::is_spent);
    }

    pub(super) fn iter(&self) -> slice::Iter<'_, Device> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> slice::IterMut<'_, Device> {
        self.0.iter_mut()
    }

    fn entry(&mut self, id: Option<&DeviceId>) -> &mut Device {
        let index = self
            .0
            .iter()
            .position(|device| device.id.as_ref() == id)
            .unwrap_or_else(|| {
                let mut devices = mem::take(&mut self.0).into_vec();
                devices.reserve_exact(1);
                devices.push(Device::new(id.cloned()));
                self.0 = devices.into_boxed_slice();
                self.0.len() - 1
            });
        &mut self.0[index]
    }

    fn drop_if(&mut self, unwanted: impl Fn(&Device) -> bool) {
        if self.0.iter().any(&unwanted) {
            let mut devices = mem::take(&mut self.0).into_vec();
            devices.retain(|device| !unwanted(device));
            self.0 = devices.into_boxed_slice();
        }
    }
}

#[cfg(test)]
mod tests {
    use PresenceState::{Busy, Offline, Online, Unavailable};

    use super::*;

    fn devices(states: &[PresenceState]) -> Devices {
        let mut devices = Devices::default();
        for (number, state) in states.iter().enumerate() {
            devices
                .get_or_add(&DeviceId::from(number.to_string().as_str()))
                .state = *state;
        }
        devices
    }

    // Matrix specification, "Presence", and MSC3026 for busy.
    #[test]
    fn the_greatest_state_of_the_devices_wins() {
        assert_eq!(devices(&[]).merged_state(), Offline);
        let ascending = [Offline, Unavailable, Online, Busy];
        for (rank, a) in ascending.into_iter().enumerate() {
            for b in &ascending[..=rank] {
                assert_eq!(devices(&[a, *b]).merged_state(), a);
                assert_eq!(devices(&[*b, a]).merged_state(), a);
            }
        }
    }

    #[test]
    fn offline_devices_are_forgotten() {
        let mut devices = devices(&[Online, Offline, Busy, Offline]);
        devices.drop_spent();
        assert_eq!(
            devices
                .iter()
                .filter_map(|device| device.id.as_ref().map(DeviceId::as_str))
                .collect::<Vec<_>>(),
            ["0", "2"]
        );
    }

    #[test]
    fn an_offline_device_is_remembered_while_it_syncs() {
        let mut devices = devices(&[Offline]);
        devices.get_or_add(&DeviceId::from("0")).running_syncs = 1;
        devices.drop_spent();
        assert_eq!(devices.iter().len(), 1);
    }

    #[test]
    fn the_same_id_is_the_same_device() {
        let mut devices = devices(&[Online]);
        devices.get_or_add(&DeviceId::from(Arc::from("0"))).state = Busy;
        assert_eq!(devices.iter().len(), 1);
        assert_eq!(devices.merged_state(), Busy);
    }

    #[test]
    fn the_stand_in_is_no_device_with_an_id() {
        let mut devices = devices(&[Unavailable]);
        devices.stand_in().state = Busy;
        devices.stand_in().last_seen = 5;
        assert_eq!(devices.iter().len(), 2);
        assert_eq!(devices.merged_state(), Busy);
        assert!(devices.find(&DeviceId::from("")).is_none());

        devices.drop_stand_in();
        assert_eq!(devices.iter().len(), 1);
        assert_eq!(devices.merged_state(), Unavailable);
    }

    #[test]
    fn a_cap_lowers_and_never_raises() {
        let mut devices = devices(&[Offline, Unavailable, Online, Busy]);
        devices.cap(Online);
        let states: Vec<_> = devices.iter().map(|device| device.state).collect();
        assert_eq!(states, [Offline, Unavailable, Online, Online]);
    }
}

//! Tests of `Presence` as a whole; the parts have theirs beside the code.

mod matrices;
mod model;
mod properties;
mod rules;
mod time;

use presence_router_api::PresenceState;

use super::{Change, DeviceId, Presence, Timing, UserKey, UserPresence};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// One user under Synapse's timing, and a clock that fires the timeouts on its way, as the engine does.
struct Scene {
    presence: Presence,
    now: u64,
}

const ALICE: UserKey = UserKey(3);

impl Scene {
    fn new() -> Self {
        Self {
            presence: Presence::new(Timing::default()),
            now: 1_000 * HOUR,
        }
    }

    fn set(&mut self, device: &str, state: PresenceState) -> Change {
        self.say(device, state, None)
    }

    fn say(&mut self, device: &str, state: PresenceState, status_msg: Option<&str>) -> Change {
        self.presence
            .set(ALICE, &DeviceId::from(device), state, status_msg, self.now)
    }

    fn start_sync(&mut self, device: &str, state: PresenceState) -> Change {
        self.presence
            .sync_started(ALICE, &DeviceId::from(device), state, self.now)
    }

    fn end_sync(&mut self, device: &str) -> Change {
        self.presence.sync_ended(ALICE, &DeviceId::from(device), self.now)
    }

    /// Returns how many changes were told on the way.
    fn advance(&mut self, by: u64) -> usize {
        let end = self.now + by;
        let mut told = 0;
        while let Some(at) = self.presence.next_timeout().filter(|at| *at <= end) {
            told += self.presence.expire(at).len();
        }
        self.now = end;
        told
    }

    fn user(&self) -> &UserPresence {
        self.presence.state(ALICE)
    }

    fn state(&self) -> PresenceState {
        self.user().state
    }
}

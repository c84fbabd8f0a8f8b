//! Tests of `Presence` as a whole; the parts have theirs beside the code.

mod events;
mod federation;
mod matrices;
mod model;
mod module;
mod properties;
mod restore;
mod rules;
mod time;

use presence_router_api::PresenceState;

use super::{Change, DeviceId, Expired, Origin, Presence, RemoteUpdate, Timing, UserKey, UserPresence};

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
        Self::timed(Timing::default())
    }

    fn timed(timing: Timing) -> Self {
        Self {
            presence: Presence::new(timing),
            now: 1_000 * HOUR,
        }
    }

    /// A scene that goes on from what was stored.
    fn restored(origin: Origin, presence: impl FnOnce(u64) -> UserPresence) -> Self {
        let mut scene = Self::new();
        scene
            .presence
            .restore(ALICE, origin, presence(scene.now), scene.now);
        scene
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

    fn receive(&mut self, update: RemoteUpdate<'_>) -> Change {
        self.presence.receive(ALICE, &update, self.now)
    }

    fn set_by_module(&mut self, state: PresenceState, status_msg: Option<&str>) -> Change {
        self.presence
            .set_by_module(ALICE, Origin::Local, state, status_msg, self.now)
    }

    /// Who is told of and who is due a ping just now, of one user.
    fn expire(&mut self) -> (usize, usize) {
        let Expired { changed, pings } = self.presence.expire(self.now);
        (changed.len(), pings.len())
    }

    /// Returns how many changes were told on the way.
    fn advance(&mut self, by: u64) -> usize {
        let end = self.now + by;
        let mut told = 0;
        while let Some(at) = self.presence.next_timeout().filter(|at| *at <= end) {
            told += self.presence.expire(at).changed.len();
        }
        self.now = end;
        told
    }

    /// When time alone changes something next. The queue may hold an earlier moment.
    fn timeout(&self) -> Option<u64> {
        let timing = self.presence.timing.of(ALICE);
        self.presence.users[ALICE.index()].next_timeout(&timing)
    }

    fn user(&self) -> &UserPresence {
        self.presence.state(ALICE)
    }

    fn state(&self) -> PresenceState {
        self.user().state
    }
}

/// What another server says of a user of whom there is little to say.
fn update(state: PresenceState) -> RemoteUpdate<'static> {
    RemoteUpdate {
        state,
        last_active_ts: None,
        status_msg: None,
        currently_active: false,
    }
}

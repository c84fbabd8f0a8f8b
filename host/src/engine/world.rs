//! What changes: presence, who shares a room with whom, and the logs. One lock is around all of it.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use abi_stable::std_types::{ROption, RString};
use presence_router_api::{PresenceState, SharedRoomPresence, UserId, UserPresenceState};

use crate::config::Tracking;
use crate::delivery::{
    Because, Destinations, ModuleTag, PresenceContent, PresenceEvent, PresenceFilter, Streams, SyncToken,
};
use crate::directory::{Directory, Event, Joined, RoomKey};
use crate::engine::partings::Partings;
use crate::engine::strangers::Strangers;
use crate::metrics::Locality;
use crate::presence::{Origin, Presence, UserKey, UserPresence};
use crate::routing::SharedRooms;
use crate::storage::{StoredOutgoing, StoredPresence};

/// How long after somebody was last active they are still told of to people who come to share a room with them, although
/// they are offline. As Synapse has it: a week.
const RECENTLY: u64 = 7 * 24 * 60 * 60 * 1_000;

/// The state of a server.
#[derive(Debug)]
pub(super) struct World {
    pub(super) presence: Presence,
    /// How often presence may have changed, in ways worth telling or not.
    pub(super) version: u64,
    pub(super) directory: Directory,
    pub(super) streams: Streams,
    /// Users who are to get a full snapshot, and whoever of their devices has read less than this position.
    pub(super) snapshots: HashMap<UserKey, u64>,
    /// Whether shared rooms count.
    pub(super) room_presence: SharedRoomPresence,
    /// What is to be sent to other homeservers.
    pub(super) destinations: Destinations,
    pub(super) tracking: Tracking,
    /// Users of other homeservers of whom only these have told.
    pub(super) strangers: Strangers,
    pub(super) partings: Partings,
}

impl World {
    pub(super) fn shared_rooms(&self) -> SharedRooms<'_> {
        SharedRooms::new(&self.directory, self.room_presence)
    }

    /// The users of whose last change a reader was not told by a module, because it was in another form when it routed that, and
    /// will not be by what they were known by before: they have ceased to share a room since, or another module has forgotten
    /// it. The module that routes now is to be asked of them.
    pub(super) fn lost_sight_of<'a>(
        &'a self,
        module: ModuleTag,
        reader: UserKey,
        token: &'a SyncToken,
    ) -> impl Iterator<Item = UserKey> + 'a {
        let read = token.cursor(module).routed;
        let known_by_rooms = self
            .streams
            .routed_otherwise(module, reader, token)
            .filter(move |user| self.partings.are_after(read, reader, *user));
        known_by_rooms
            .chain(self.streams.forgotten_by_others(module, reader, token))
            .filter(move |user| !self.shared_rooms().shows(reader, *user))
    }

    /// A user's presence as clients see it.
    pub(super) fn content(&self, user: UserKey, now: u64) -> PresenceContent {
        PresenceContent::at(self.presence.state(user), now)
    }

    /// A user's state as it crosses to modules.
    pub(super) fn crossing(&self, user: UserKey) -> Option<UserPresenceState> {
        let id = self.directory.id(user)?;
        Some(crossing(id.as_str(), self.presence.state(user)))
    }

    /// A user's state as it crosses to modules, in the memory of another.
    pub(super) fn crossing_in(&self, user: UserKey, spare: UserPresenceState) -> Option<UserPresenceState> {
        let id = self.directory.id(user)?;
        Some(crossing_in(id.as_str(), self.presence.state(user), spare))
    }

    /// The events of users, as far as a filter admits them.
    pub(super) fn events(
        &self,
        filter: &PresenceFilter,
        users: impl Iterator<Item = UserKey>,
        now: u64,
    ) -> Vec<PresenceEvent> {
        // Most are admitted: a collection that is filtered would start small, and move its events again and again.
        let mut events = Vec::with_capacity(users.size_hint().0);
        events.extend(users.filter_map(|user| {
            let id = self.directory.id(user)?;
            filter.admits(id.as_str()).then(|| PresenceEvent {
                sender: id.clone(),
                content: self.content(user, now),
            })
        }));
        events
    }

    /// Of users whom a module showed by the states that they had at a position, those who still have them. The others' new
    /// states are on their way through the module, which may route them elsewhere.
    pub(super) fn unchanged_since<'a>(
        &'a self,
        users: &'a [UserKey],
        position: u64,
    ) -> impl Iterator<Item = UserKey> + 'a {
        let unchanged = move |user: &UserKey| self.streams.last_change(*user) <= position;
        users.iter().copied().filter(unchanged)
    }

    /// Whether there is something to say of a user to who has never heard of them.
    pub(super) fn is_worth_introducing(&self, user: UserKey, now: u64) -> bool {
        let UserPresence {
            state,
            last_active_ts,
            status_msg,
            ..
        } = self.presence.state(user);
        *state != PresenceState::Offline
            || status_msg.is_some()
            || (*last_active_ts > 0 && now.saturating_sub(*last_active_ts) < RECENTLY)
    }

    /// Looks at what is known of users who are about to be updated; see [`Presence::look_at`].
    pub(super) fn look_at(&self, users: &[UserKey]) {
        let look = |user: &UserKey| {
            self.presence.look_at(*user) ^ self.streams.last_change(*user) ^ self.directory.look_at(*user)
        };
        black_box(users.iter().map(look).fold(0, |seen, look| seen ^ look));
        let look = |user: &UserKey| self.presence.look_closer(*user) ^ self.directory.look_closer(*user);
        black_box(users.iter().map(look).fold(0, |seen, look| seen ^ look));
    }

    /// Notes a change worth telling, and that it is to be sent to homeservers with people who share a room.
    pub(super) fn changed(&mut self, user: UserKey) {
        self.streams.changed(user);
        self.queue_for_room_servers(user);
    }

    /// A user's state is to be sent to the homeservers of people who share a room. Only this homeserver's users' is.
    pub(super) fn queue_for_room_servers(&mut self, user: UserKey) {
        if !self.directory.has_servers() || !self.is_mine(user) {
            return;
        }
        let rooms = SharedRooms::new(&self.directory, self.room_presence);
        for server in rooms.remote_servers(user) {
            self.destinations.queue(server, user, Because::SharedRoom);
        }
    }

    /// A sign of life of a user of this homeserver is due to all others that know of them.
    pub(super) fn ping(&mut self, user: UserKey) {
        self.queue_for_room_servers(user);
        let newest = self.streams.last_change(user);
        self.destinations.queue_routed_again(user, newest);
    }

    /// What has come to wait for homeservers that are away.
    pub(super) fn outgoing_to_store(&mut self) -> Vec<StoredOutgoing> {
        let unsaved = self.destinations.take_unsaved().into_iter();
        unsaved
            .filter_map(|(server, user, because)| {
                Some(StoredOutgoing {
                    server: Arc::clone(self.directory.server(server)?),
                    user_id: self.directory.id(user)?.clone(),
                    change: because.stored(),
                })
            })
            .collect()
    }

    /// Where a user's presence comes from.
    pub(super) fn origin(&self, user: UserKey) -> Origin {
        if self.is_mine(user) {
            Origin::Local
        } else {
            Origin::Remote
        }
    }

    /// Whose a user is to the metrics.
    pub(super) fn locality(&self, user: UserKey) -> Locality {
        if self.directory.is_local(user) {
            Locality::Local
        } else {
            Locality::Remote
        }
    }

    /// Whether a user is not offline.
    pub(super) fn is_online(&self, user: UserKey) -> bool {
        self.presence.state(user).state != PresenceState::Offline
    }

    /// A user's presence as it is stored.
    pub(super) fn stored(&self, user: UserKey) -> Option<(UserKey, StoredPresence)> {
        let stored = StoredPresence {
            user_id: self.directory.id(user)?.clone(),
            presence: self.presence.state(user).clone(),
            change: self.streams.last_change(user),
        };
        Some((user, stored))
    }

    /// Whether a user is of this homeserver.
    pub(super) fn is_mine(&self, user: UserKey) -> bool {
        self.directory.is_ours(user)
    }

    /// Whether nothing is known of somebody, and they are of another homeserver.
    pub(super) fn is_stranger(&self, id: &UserId) -> bool {
        id.server_name() != &**self.directory.server_name() && self.directory.key(id.as_str()).is_none()
    }

    /// Applies a change of who is where, and returns the room if it has changed. Those who see each other only now, and whom
    /// to wake, are found by the position that it gets.
    pub(super) fn apply(&mut self, event: &Event, now: u64) -> Option<RoomKey> {
        let position = self.streams.position() + 1;
        let change = self.directory.apply(event, position)?;
        self.streams.advance();
        if change.joined == Joined::Left {
            self.partings.left(change.user, position);
        }
        if change.joined == Joined::Seen && self.room_presence == SharedRoomPresence::Additive {
            self.introduce(change.user, change.room, now);
        }
        Some(change.room)
    }

    /// Who joins a room is introduced to its other homeservers; or, when they are of one, the room's local people to it.
    fn introduce(&mut self, user: UserKey, room: RoomKey, now: u64) {
        if self.tracking == Tracking::Disabled {
            return;
        }
        if self.is_mine(user) {
            if self.is_worth_introducing(user, now) {
                for server in self.directory.remote_servers(room) {
                    self.destinations.queue(server, user, Because::SharedRoom);
                }
            }
            return;
        }
        let Some(server) = self.directory.remote_server_or_insert(user) else {
            return;
        };
        for member in self.directory.members(room) {
            if self.is_mine(*member) && self.is_worth_introducing(*member, now) {
                self.destinations.queue(server, *member, Because::SharedRoom);
            }
        }
    }
}

/// A state as it crosses to modules.
pub(super) fn crossing(user_id: &str, presence: &UserPresence) -> UserPresenceState {
    crossing_in(user_id, presence, UserPresenceState::offline(""))
}

/// The same, in the memory of another.
fn crossing_in(user_id: &str, presence: &UserPresence, spare: UserPresenceState) -> UserPresenceState {
    let write = |mut spare: RString, text: &str| {
        spare.clear();
        spare.push_str(text);
        spare
    };
    let status_msg = match (spare.status_msg, presence.status_msg.as_deref()) {
        (ROption::RSome(spare), Some(text)) => Some(write(spare, text)),
        (_, text) => text.map(Into::into),
    };
    UserPresenceState {
        user_id: write(spare.user_id, user_id),
        state: presence.state,
        last_active_ts: presence.last_active_ts,
        last_federation_update_ts: presence.last_federation_update_ts,
        last_user_sync_ts: presence.last_user_sync_ts,
        status_msg: status_msg.into(),
        currently_active: presence.currently_active,
    }
}

//! Begins where an earlier run ended.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use presence_router_api::{PresenceState, SharedRoomPresence, UserId};
use sha2::{Digest, Sha256};

use crate::config::Tracking;
use crate::delivery::{ModuleTag, Since, Streams};
use crate::directory::{Directory, RoomKey, Source};
use crate::engine::world::World;
use crate::presence::UserKey;
use crate::storage::{Restored, StoredModule, StoredPresence, StoredRoom, StoredRoute, Writes};

/// How many positions are noted in the database as in use, before they are.
const RESERVED: u64 = 60_000_000;
/// When fewer than these are left, more are noted.
const RESERVE_AT: u64 = RESERVED / 2;
/// Stands for the members of a room that does not count: when it does again, they are others than those who were there.
const UNCOUNTED: [u8; 32] = [0; 32];

/// What modules had routed in an earlier run, until they are attached.
#[derive(Debug, Default)]
pub(super) struct Routes {
    modules: HashMap<Arc<str>, StoredModule>,
    routes: HashMap<Arc<str>, Vec<StoredRoute>>,
}

/// Whether a client has synced in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Synced {
    Nobody,
    Somebody,
}

/// Positions that the database says may be in use.
#[derive(Debug)]
pub(super) struct Reserved(u64);

impl Reserved {
    /// What is to be noted now, if anything.
    pub(super) fn next(&mut self, position: u64) -> Option<u64> {
        if self.0.saturating_sub(position) >= RESERVE_AT {
            return None;
        }
        self.0 = position.saturating_add(RESERVED);
        Some(self.0)
    }
}

/// Where positions of this run start: they come from the clock in microseconds, so that a token of a database that was lost is
/// still one of the past, and are higher than those of earlier runs, so that a clock that was set back does no harm.
pub(super) fn start(now: u64, restored: &Restored) -> (u64, Reserved) {
    let start = now.saturating_mul(1_000).max(restored.reserved);
    (start, Reserved(start))
}

impl Routes {
    pub(super) fn new(modules: Vec<StoredModule>, routed: Vec<StoredRoute>) -> Self {
        let mut by_module: HashMap<_, Vec<_>> = HashMap::new();
        for route in routed {
            by_module
                .entry(Arc::clone(&route.module))
                .or_default()
                .push(route);
        }
        let named = |module: StoredModule| (Arc::clone(&module.name), module);
        Self {
            modules: modules.into_iter().map(named).collect(),
            routes: by_module,
        }
    }

    /// Attaches a module at the next position. One that is new, or has changed since the earlier run, has yet to route everybody
    /// who is not offline. Of who is offline a new one has nothing to say; one that has changed has, as far as the one before
    /// owed it to who has read less.
    ///
    /// One that comes when clients have synced already counts as changed: they have not been told what it had routed before.
    pub(super) fn attach(
        &mut self,
        world: &mut World,
        name: &str,
        fingerprint: &str,
        synced: Synced,
    ) -> Writes {
        let tag = ModuleTag::of(name);
        let attached = world.streams.advance();
        let before = self.modules.remove(name);
        let routes = self.routes.remove(name).unwrap_or_default();
        let is_new = before.is_none();
        let is_same = |before: &StoredModule| before.fingerprint == fingerprint && synced == Synced::Nobody;
        let same = before.filter(is_same);
        let changed = same.as_ref().map_or(attached, |same| same.since);
        world.streams.attach(tag, Since { attached, changed });
        let mut writes = Writes::default();
        if same.is_none() {
            writes.modules.push(StoredModule {
                name: Arc::from(name),
                fingerprint: fingerprint.to_owned(),
                since: changed,
            });
        }
        for route in routes {
            let user = world.directory.key(route.user_id.as_str());
            let is_its_own = route.position >= changed;
            let Some(user) = user.filter(|user| is_its_own || !world.is_online(*user)) else {
                continue;
            };
            world
                .streams
                .restore_settled(tag, user, route.change, route.position);
        }
        if is_new {
            writes.routed = settle_offline(world, name);
        }
        writes
    }
}

/// The users whose newest change a module is not done with.
pub(super) fn yet_to_route(world: &World, module: ModuleTag) -> Vec<UserKey> {
    let unsettled = |user: &UserKey| !world.streams.is_settled(module, *user);
    world.directory.users().filter(unsettled).collect()
}

/// A module that is new has nothing to do with changes of who was offline when it came.
fn settle_offline(world: &mut World, name: &str) -> Vec<StoredRoute> {
    let (tag, name) = (ModuleTag::of(name), Arc::<str>::from(name));
    let offline: Vec<_> = world
        .directory
        .users()
        .filter(|user| !world.is_online(*user))
        .collect();
    let settled = offline.into_iter().filter_map(|user| {
        let (change, position) = world.streams.pass_over(tag, user)?;
        Some(StoredRoute {
            module: Arc::clone(&name),
            user_id: world.directory.id(user)?.clone(),
            change,
            position,
        })
    });
    settled.collect()
}

/// Tells the directory how things stand. That comes in pieces: of millions of users not all is in memory at once.
pub(super) fn take_in(directory: &mut Directory, source: &dyn Source) {
    while let Some(events) = source.changes().now_or_never() {
        for event in events {
            directory.apply(&event, 0);
        }
    }
    directory.shrink_to_fit();
}

/// Has the directory know this homeserver's users by the ids that were stored, before it is told of them: otherwise it would have
/// other ones, and where these stood would stay empty between them.
pub(super) fn share_ids(directory: &mut Directory, restored: &Restored) {
    let server_name = Arc::clone(directory.server_name());
    for stored in &restored.presence {
        // Whether somebody else is a stranger is asked later, when rooms have been told of.
        if stored.user_id.server_name() == &*server_name {
            directory.key_or_insert(&stored.user_id);
        }
    }
}

/// Takes up the presence of all users, and the full snapshots that are still to be had. Returns what is to be stored.
///
/// While presence is disabled nobody says who is there, so everybody is offline; when it is enabled again, that is told, as
/// Synapse does.
pub(super) fn restore(
    world: &mut World,
    restored: &mut Restored,
    now: u64,
) -> Vec<(UserKey, StoredPresence)> {
    let mut to_store = Vec::new();
    for stored in restored.presence.drain(..) {
        if world.is_stranger(&stored.user_id) {
            world.strangers.restored(stored.user_id.server_name());
        }
        let user = world.directory.key_or_insert(&stored.user_id);
        let origin = world.origin(user);
        world.streams.restore(user, stored.change);
        let mut presence = stored.presence;
        let goes_offline = world.tracking == Tracking::Disabled && presence.state != PresenceState::Offline;
        if goes_offline {
            presence.state = PresenceState::Offline;
            presence.currently_active = false;
            world.streams.changed(user);
        }
        world.presence.restore(user, origin, presence, now);
        if goes_offline {
            to_store.extend(world.stored(user));
        }
    }
    for (user, mark) in restored.snapshots.drain(..) {
        let user = world.directory.key_or_insert(&user);
        world.snapshots.insert(user, mark);
    }
    to_store
}

/// Compares the rooms with those of the earlier run, and returns what is to be stored of them. Of a room whose members are
/// others than then it is not known who came, so all of them count as having come at the start.
pub(super) fn compare_rooms(
    directory: &mut Directory,
    streams: &mut Streams,
    restored: &Restored,
) -> Vec<StoredRoom> {
    let is_first_run = restored.reserved == 0;
    let known: HashMap<&str, &StoredRoom> = restored
        .rooms
        .iter()
        .map(|room| (room.room_id.as_str(), room))
        .collect();
    let mut to_store = Vec::new();
    let rooms: Vec<_> = directory.counted_rooms().collect();
    for room in rooms {
        let Some(mut stored) = describe(directory, SharedRoomPresence::Additive, room, 0) else {
            continue;
        };
        match known.get(stored.room_id.as_str()) {
            Some(known) if known.digest == stored.digest => {
                if known.changed > 0 {
                    directory.everybody_joined(room, known.changed);
                }
                continue;
            }
            None if is_first_run => {}
            Some(_) | None => {
                stored.changed = streams.advance();
                directory.everybody_joined(room, stored.changed);
            }
        }
        to_store.push(stored);
    }
    let counts = |room_id: &str| {
        let room = directory.room_key(room_id);
        room.is_some_and(|room| directory.counts(room))
    };
    let uncounted = restored.rooms.iter().filter(|room| !counts(&room.room_id));
    to_store.extend(
        uncounted
            .filter(|room| room.digest != UNCOUNTED)
            .map(|room| StoredRoom {
                digest: UNCOUNTED,
                ..room.clone()
            }),
    );
    to_store
}

/// All rooms, as they are stored from when on a module replaces them.
pub(super) fn uncount_rooms(directory: &Directory, changed: u64) -> Vec<StoredRoom> {
    let rooms = directory.counted_rooms();
    rooms
        .filter_map(|room| describe(directory, SharedRoomPresence::Replace, room, changed))
        .collect()
}

/// A room as it is stored.
pub(super) fn describe(
    directory: &Directory,
    presence: SharedRoomPresence,
    room: RoomKey,
    changed: u64,
) -> Option<StoredRoom> {
    let room_id = directory.room_id(room)?.to_owned();
    if presence == SharedRoomPresence::Replace || !directory.counts(room) {
        return Some(StoredRoom {
            room_id,
            digest: UNCOUNTED,
            changed,
        });
    }
    let mut members: Vec<&str> = directory
        .members(room)
        .iter()
        .filter_map(|member| directory.id(*member))
        .map(UserId::as_str)
        .collect();
    // The order of keys differs from run to run.
    members.sort_unstable();
    let mut digest = Sha256::new();
    for member in members {
        digest.update(member);
        digest.update([0]);
    }
    Some(StoredRoom {
        room_id,
        digest: digest.finalize().into(),
        changed,
    })
}

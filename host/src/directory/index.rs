//! What a source's events add up to, by dense numbers.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use presence_router_api::UserId;
use smallvec::SmallVec;

use crate::directory::joins::Joins;
use crate::directory::membership::{Joined, MembershipChange};
use crate::directory::room::Room;
use crate::directory::source::Event;
use crate::directory::user_ids::{Standing, UserIds};
use crate::presence::UserKey;

/// The number of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey(u32);

/// The number of another homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerKey(u32);

/// Users and rooms. Numbers are never used again: who was known once is known for as long as the server runs.
#[derive(Debug)]
pub struct Directory {
    server_name: Arc<str>,
    ids: UserIds,
    /// The rooms of each user, sorted; without those that are excluded from presence.
    rooms: Vec<SmallVec<[RoomKey; ROOMS_IN_PLACE]>>,
    room_keys: HashTable<RoomKey>,
    rooms_by_key: Vec<Room>,
    servers: Vec<Arc<str>>,
    server_keys: HashMap<Arc<str>, ServerKey>,
    excluded: Vec<String>,
    hasher: DefaultHashBuilder,
}

/// The numbers of so many rooms of a user take no more memory than where they would stand elsewhere.
const ROOMS_IN_PLACE: usize = 4;

impl Directory {
    /// Nobody and nothing yet. Sharing one of the `excluded` rooms shows nobody's presence.
    pub fn new(server_name: &str, excluded: &[String]) -> Self {
        let mut excluded = excluded.to_vec();
        excluded.sort_unstable();
        Self {
            server_name: Arc::from(server_name),
            ids: UserIds::default(),
            rooms: Vec::new(),
            room_keys: HashTable::new(),
            rooms_by_key: Vec::new(),
            servers: Vec::new(),
            server_keys: HashMap::new(),
            excluded,
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Applies an event that happened at a position of the stream; 0 for how things were from the start. `None` when no
    /// membership has changed.
    pub fn apply(&mut self, event: &Event, position: u64) -> Option<MembershipChange> {
        match event {
            Event::UserAdded(user) => {
                let key = self.key_or_insert(user);
                if let Some(standing) = self.ids.standing_mut(key) {
                    standing.local = true;
                }
                None
            }
            Event::UserRemoved(user) => {
                let key = self.key(user.as_str());
                if let Some(standing) = key.and_then(|key| self.ids.standing_mut(key)) {
                    standing.local = false;
                }
                None
            }
            Event::Joined { room_id, user_id } => {
                let (room, user) = (self.room_or_insert(room_id), self.key_or_insert(user_id));
                self.join(room, user, position)
            }
            Event::Left { room_id, user_id } => {
                self.leave(self.room_key(room_id)?, self.key(user_id.as_str())?)
            }
        }
    }

    fn join(&mut self, key: RoomKey, user: UserKey, position: u64) -> Option<MembershipChange> {
        let server = self.remote_server_or_insert(user);
        let room = &mut self.rooms_by_key[key.0 as usize];
        let place = room.members.binary_search(&user).err()?;
        room.members.insert(place, user);
        if position > 0 {
            room.joins.get_or_insert_default().joined(user, position);
        }
        if let Some(server) = server {
            match room.servers.iter_mut().find(|(other, _)| *other == server) {
                Some((_, members)) => *members += 1,
                None => room.servers.push((server, 1)),
            }
        }
        let joined = if room.excluded {
            Joined::Unseen
        } else {
            let rooms = &mut self.rooms[user.0 as usize];
            if let Err(place) = rooms.binary_search(&key) {
                rooms.insert(place, key);
            }
            Joined::Seen
        };
        Some(MembershipChange {
            user,
            room: key,
            joined,
        })
    }

    fn leave(&mut self, key: RoomKey, user: UserKey) -> Option<MembershipChange> {
        let server = self.remote_server(user);
        let room = &mut self.rooms_by_key[key.0 as usize];
        let place = room.members.binary_search(&user).ok()?;
        room.members.remove(place);
        if let Some(joins) = &mut room.joins {
            joins.left(user);
        }
        if let Some(place) = room.servers.iter().position(|(other, _)| Some(*other) == server) {
            room.servers[place].1 -= 1;
            if room.servers[place].1 == 0 {
                room.servers.swap_remove(place);
            }
        }
        self.rooms[user.0 as usize].retain(|other| *other != key);
        Some(MembershipChange {
            user,
            room: key,
            joined: Joined::Left,
        })
    }

    /// The key of a user, who is known from now on.
    pub fn key_or_insert(&mut self, id: &UserId) -> UserKey {
        if let Some(key) = self.key(id.as_str()) {
            return key;
        }
        let standing = Standing {
            ours: id.server_name() == &*self.server_name,
            local: false,
        };
        let key = self.ids.insert(id, standing);
        self.rooms.push(SmallVec::new());
        key
    }

    /// The keys of some users, who are known from now on. Where many users are known, it takes less than to look for one after
    /// the other.
    pub fn keys_or_insert(&mut self, ids: &[&UserId]) -> Vec<UserKey> {
        let found = self.ids.keys_of(ids).into_iter().zip(ids);
        // Who is not known may be there twice.
        found
            .map(|(key, id)| key.unwrap_or_else(|| self.key_or_insert(id)))
            .collect()
    }

    /// Looks at where the id of a user is, as [`Presence::look_at`](crate::presence::Presence::look_at) does at other things.
    pub fn look_at(&self, user: UserKey) -> u64 {
        self.ids.look_at(user)
    }

    /// The same of the id.
    pub fn look_closer(&self, user: UserKey) -> u64 {
        self.ids.look_closer(user)
    }

    fn room_or_insert(&mut self, id: &Arc<str>) -> RoomKey {
        if let Some(key) = self.room_key(id) {
            return key;
        }
        let key = RoomKey(number(self.rooms_by_key.len()));
        self.rooms_by_key.push(Room {
            id: Arc::clone(id),
            members: Vec::new(),
            joins: None,
            servers: Vec::new(),
            excluded: self
                .excluded
                .binary_search_by(|other| other.as_str().cmp(id))
                .is_ok(),
        });
        let (rooms, hasher) = (&self.rooms_by_key, &self.hasher);
        let hash = |key: &RoomKey| hasher.hash_one(&*rooms[key.0 as usize].id);
        self.room_keys.insert_unique(hash(&key), key, hash);
        key
    }

    fn remote_server(&self, user: UserKey) -> Option<ServerKey> {
        let server = self.id(user)?.server_name();
        self.server_keys.get(server).copied()
    }

    /// The homeserver of a user, when it is another than this.
    pub fn remote_server_or_insert(&mut self, user: UserKey) -> Option<ServerKey> {
        if self.is_ours(user) {
            return None;
        }
        let server = self.ids.id(user)?.server_name();
        if let Some(key) = self.server_keys.get(server) {
            return Some(*key);
        }
        let server = Arc::<str>::from(server);
        Some(self.server_key_or_insert(&server))
    }

    /// Gives back the memory that was taken for more to come.
    pub fn shrink_to_fit(&mut self) {
        self.ids.shrink_to_fit();
        self.rooms.shrink_to_fit();
        self.rooms_by_key.shrink_to_fit();
        for room in &mut self.rooms_by_key {
            room.members.shrink_to_fit();
            room.servers.shrink_to_fit();
        }
    }

    /// The key of another homeserver, known or not.
    pub fn server_key_or_insert(&mut self, server: &Arc<str>) -> ServerKey {
        if let Some(key) = self.server_keys.get(server) {
            return *key;
        }
        let key = ServerKey(number(self.servers.len()));
        self.servers.push(Arc::clone(server));
        self.server_keys.insert(Arc::clone(server), key);
        key
    }

    /// Whether any other homeserver is known.
    pub fn has_servers(&self) -> bool {
        !self.servers.is_empty()
    }

    /// The key of another homeserver that is known.
    pub fn server_key(&self, server: &str) -> Option<ServerKey> {
        self.server_keys.get(server).copied()
    }

    /// This homeserver's name.
    pub fn server_name(&self) -> &Arc<str> {
        &self.server_name
    }

    /// Another homeserver's name.
    pub fn server(&self, key: ServerKey) -> Option<&Arc<str>> {
        self.servers.get(key.0 as usize)
    }

    /// How many users are known; their keys are the numbers below.
    pub fn user_count(&self) -> u32 {
        number(self.ids.len())
    }

    /// The key of a user that is known.
    pub fn key(&self, id: &str) -> Option<UserKey> {
        self.ids.key(id)
    }

    /// The key of a user of this homeserver, who can sync.
    pub fn local_key(&self, id: &str) -> Option<UserKey> {
        self.key(id).filter(|key| self.is_local(*key))
    }

    /// Whether a user is this homeserver's, and can sync.
    pub fn is_local(&self, key: UserKey) -> bool {
        self.ids.standing(key).local
    }

    /// Whether the id of a user is of this homeserver.
    pub fn is_ours(&self, key: UserKey) -> bool {
        self.ids.standing(key).ours
    }

    /// The id of a user.
    pub fn id(&self, key: UserKey) -> Option<&UserId> {
        self.ids.id(key)
    }

    /// The rooms of a user that count for presence, sorted.
    pub fn rooms(&self, user: UserKey) -> &[RoomKey] {
        self.rooms.get(user.0 as usize).map_or(&[], SmallVec::as_slice)
    }

    /// The ids of all rooms of a user, those that do not count included.
    pub fn room_ids(&self, user: UserKey) -> Vec<&str> {
        let excluded = self
            .rooms_by_key
            .iter()
            .filter(|room| room.excluded && room.members.binary_search(&user).is_ok());
        let counted = self.rooms(user).iter().filter_map(|room| self.room(*room));
        counted.chain(excluded).map(|room| &*room.id).collect()
    }

    /// All users that are known.
    pub fn users(&self) -> impl Iterator<Item = UserKey> + use<> {
        (0..self.user_count()).map(UserKey)
    }

    /// All rooms that count for presence.
    pub fn counted_rooms(&self) -> impl Iterator<Item = RoomKey> + '_ {
        let counted = self.rooms_by_key.iter().enumerate();
        counted
            .filter(|(_, room)| !room.excluded)
            .map(|(index, _)| RoomKey(number(index)))
    }

    /// Whether a room counts for presence.
    pub fn counts(&self, room: RoomKey) -> bool {
        self.room(room).is_some_and(|room| !room.excluded)
    }

    /// The key of a room that is known.
    pub fn room_key(&self, room_id: &str) -> Option<RoomKey> {
        let is_it = |key: &RoomKey| &*self.rooms_by_key[key.0 as usize].id == room_id;
        self.room_keys.find(self.hasher.hash_one(room_id), is_it).copied()
    }

    /// The id of a room.
    pub fn room_id(&self, room: RoomKey) -> Option<&str> {
        self.room(room).map(|room| &*room.id)
    }

    /// The members of a room, sorted.
    pub fn members(&self, room: RoomKey) -> &[UserKey] {
        self.room(room).map_or(&[], |room| room.members.as_slice())
    }

    /// The other homeservers that have members in a room.
    pub fn remote_servers(&self, room: RoomKey) -> impl Iterator<Item = ServerKey> + '_ {
        let servers = self.room(room).map_or(&[][..], |room| &room.servers);
        servers.iter().map(|(server, _)| *server)
    }

    /// Whether two users have a room in common that counts.
    pub fn share_a_room(&self, one: UserKey, other: UserKey) -> bool {
        self.common_rooms(one, other).next().is_some()
    }

    fn common_rooms(&self, one: UserKey, other: UserKey) -> impl Iterator<Item = RoomKey> + '_ {
        let (mut one, mut other) = (self.rooms(one), self.rooms(other));
        if one.len() > other.len() {
            std::mem::swap(&mut one, &mut other);
        }
        one.iter()
            .copied()
            .filter(move |room| other.binary_search(room).is_ok())
    }

    /// All members of a room count as having come at a position: it is not known who did.
    pub fn everybody_joined(&mut self, room: RoomKey, position: u64) {
        self.rooms_by_key[room.0 as usize].joins = Some(Box::new(Joins::of_all_at(position)));
    }

    /// Whom `reader` shares a room with now, and did not at a position; sorted. Somebody with whom they shared a room that
    /// one of both has left since may be among them.
    pub fn newly_shared(&self, reader: UserKey, position: u64) -> Vec<UserKey> {
        let mut found = Vec::new();
        for room in self.rooms(reader).iter().filter_map(|room| self.room(*room)) {
            let Some(joins) = &room.joins else {
                continue;
            };
            if joins.none_after(position) {
                continue;
            }
            match joins.after(position) {
                Some(joined) if joins.of(reader) <= position => found.extend(joined),
                _ => found.extend_from_slice(&room.members),
            }
        }
        found.sort_unstable();
        found.dedup();
        let shared_before = |user: UserKey| {
            self.common_rooms(reader, user)
                .filter_map(|room| self.room(room))
                .any(|room| room.joined(reader) <= position && room.joined(user) <= position)
        };
        found.retain(|user| *user != reader && !shared_before(*user));
        found
    }

    fn room(&self, key: RoomKey) -> Option<&Room> {
        self.rooms_by_key.get(key.0 as usize)
    }
}

fn number(length: usize) -> u32 {
    u32::try_from(length).expect("fewer than 2^32 users, rooms and servers fit into memory")
}

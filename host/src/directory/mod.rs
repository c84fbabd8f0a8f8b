//! Who shares a room with whom, and whose token is this. Filled from `directory.static` of the config, and fixed
//! from then on. Knows no presence.

use std::collections::HashMap;
use std::sync::Arc;

use presence_router_api::UserId;

use crate::config;
use crate::presence::{DeviceId, UserKey};

/// The number of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey(u32);

/// Who stands behind an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOwner {
    /// The user.
    pub user: UserKey,
    /// Their device; each token is one.
    pub device: DeviceId,
}

/// Users, tokens and rooms.
pub struct Directory {
    server_name: Arc<str>,
    ids: Vec<UserId>,
    keys: HashMap<UserId, UserKey>,
    local: Vec<bool>,
    tokens: HashMap<String, TokenOwner>,
    members: Vec<Box<[UserKey]>>,
    rooms: Vec<Vec<RoomKey>>,
}

impl Directory {
    /// The users and rooms of the config.
    pub fn new(server_name: &str, config: &config::Directory) -> Self {
        let mut directory = Self {
            server_name: Arc::from(server_name),
            ids: Vec::new(),
            keys: HashMap::new(),
            local: Vec::new(),
            tokens: HashMap::new(),
            members: Vec::new(),
            rooms: Vec::new(),
        };
        for (id, user) in &config.users {
            let key = directory.key_or_insert(id);
            directory.local[key.0 as usize] = true;
            for (index, token) in user.access_tokens.iter().enumerate() {
                // Counted from 1 in the config's order: stable as long as tokens are appended.
                let device = DeviceId::from(format!("STATIC{}", index + 1).as_str());
                directory
                    .tokens
                    .insert(token.clone(), TokenOwner { user: key, device });
            }
        }
        for members in config.rooms.values() {
            directory.add_room(members.iter());
        }
        directory
    }

    fn add_room<'a>(&mut self, members: impl Iterator<Item = &'a UserId>) {
        let room = RoomKey(number(self.members.len()));
        let mut members: Vec<UserKey> = members.map(|id| self.key_or_insert(id)).collect();
        members.sort_unstable();
        members.dedup();
        for member in &members {
            // Rooms are numbered upwards, so each list stays sorted.
            self.rooms[member.0 as usize].push(room);
        }
        self.members.push(members.into());
    }

    fn key_or_insert(&mut self, id: &UserId) -> UserKey {
        if let Some(key) = self.keys.get(id) {
            return *key;
        }
        let key = UserKey(number(self.ids.len()));
        self.keys.insert(id.clone(), key);
        self.ids.push(id.clone());
        self.local.push(false);
        self.rooms.push(Vec::new());
        key
    }

    /// This homeserver's name.
    pub fn server_name(&self) -> &Arc<str> {
        &self.server_name
    }

    /// How many users are known; their keys are the numbers below.
    pub fn user_count(&self) -> u32 {
        number(self.ids.len())
    }

    /// The key of a user that is known.
    pub fn key(&self, id: &str) -> Option<UserKey> {
        self.keys.get(id).copied()
    }

    /// The key of a user of this homeserver, who can sync.
    pub fn local_key(&self, id: &str) -> Option<UserKey> {
        self.key(id)
            .filter(|key| self.local.get(key.0 as usize) == Some(&true))
    }

    /// The id of a user.
    pub fn id(&self, key: UserKey) -> Option<&UserId> {
        self.ids.get(key.0 as usize)
    }

    /// Who stands behind an access token.
    pub fn token_owner(&self, access_token: &str) -> Option<&TokenOwner> {
        self.tokens.get(access_token)
    }

    /// The rooms of a user, sorted.
    pub fn rooms(&self, user: UserKey) -> &[RoomKey] {
        self.rooms.get(user.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// The members of a room, sorted.
    pub fn members(&self, room: RoomKey) -> &[UserKey] {
        self.members.get(room.0 as usize).map_or(&[], |members| members)
    }

    /// Whether two users have a room in common.
    pub fn share_a_room(&self, one: UserKey, other: UserKey) -> bool {
        let (mut one, mut other) = (self.rooms(one), self.rooms(other));
        if one.len() > other.len() {
            std::mem::swap(&mut one, &mut other);
        }
        one.iter().any(|room| other.binary_search(room).is_ok())
    }
}

fn number(length: usize) -> u32 {
    u32::try_from(length).expect("a config of at most 64 MiB names fewer users and rooms than 2^32")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(format!("@{name}:example.org")).expect("a test's user id is valid")
    }

    fn directory() -> Directory {
        let tokens = |tokens: &[&str]| config::StaticUser {
            access_tokens: tokens.iter().map(ToString::to_string).collect(),
        };
        let config = config::Directory {
            users: BTreeMap::from([
                (user("alice"), tokens(&["a1", "a2"])),
                (user("bob"), tokens(&["b"])),
            ]),
            rooms: BTreeMap::from([
                ("!one:x".to_owned(), [user("alice"), user("remote")].into()),
                ("!two:x".to_owned(), [user("remote"), user("bob")].into()),
            ]),
        };
        Directory::new("example.org", &config)
    }

    #[test]
    fn each_token_is_a_device_of_its_own() {
        let directory = directory();
        let devices: Vec<_> = ["a1", "a2", "b"]
            .iter()
            .map(|token| {
                directory
                    .token_owner(token)
                    .expect("known")
                    .device
                    .as_str()
                    .to_owned()
            })
            .collect();
        assert_eq!(devices, ["STATIC1", "STATIC2", "STATIC1"]);
        assert_eq!(directory.token_owner("c"), None);
    }

    #[test]
    fn users_share_a_room_only_when_both_are_in_it() {
        let directory = directory();
        let key = |name: &str| directory.key(user(name).as_str()).expect("known");
        assert!(directory.share_a_room(key("alice"), key("remote")));
        assert!(directory.share_a_room(key("remote"), key("bob")));
        assert!(!directory.share_a_room(key("alice"), key("bob")));
    }

    #[test]
    fn a_member_who_is_no_declared_user_is_known_but_not_local() {
        let directory = directory();
        assert!(directory.key("@remote:example.org").is_some());
        assert_eq!(directory.local_key("@remote:example.org"), None);
    }
}

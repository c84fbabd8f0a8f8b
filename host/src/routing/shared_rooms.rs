//! Presence between people who share a room, unless a module replaces it.

use presence_router_api::SharedRoomPresence;

use crate::directory::{Directory, RoomKey, ServerKey};
use crate::presence::UserKey;

/// Room is made for so many contacts at once, before it is known how many are wanted.
const MANY: usize = 64;

/// Answers who sees whom for sharing a room. Everybody sees themselves, always.
#[derive(Clone, Copy)]
pub struct SharedRooms<'a> {
    directory: &'a Directory,
    presence: SharedRoomPresence,
}

impl<'a> SharedRooms<'a> {
    /// By a directory, and by what the modules say of shared rooms.
    pub fn new(directory: &'a Directory, presence: SharedRoomPresence) -> Self {
        Self { directory, presence }
    }

    /// Whether `reader` sees `user`.
    pub fn shows(&self, reader: UserKey, user: UserKey) -> bool {
        reader == user || (self.count() && self.directory.share_a_room(reader, user))
    }

    /// Everybody whom `user` sees, and who sees `user`: sorted, themselves included.
    pub fn contacts(&self, user: UserKey) -> Vec<UserKey> {
        self.contacts_of_whom(user, |_| true)
    }

    /// The contacts of `user` of whom something holds: sorted.
    pub fn contacts_of_whom(&self, user: UserKey, holds: impl Fn(UserKey) -> bool) -> Vec<UserKey> {
        let rooms = self.rooms(user);
        // Who is in a room is among its members.
        let alone = [user];
        let alone = if rooms.is_empty() { &alone[..] } else { &[] };
        let mut contacts = Vec::with_capacity(self.contacts_at_most(user).min(MANY));
        for members in self.circles(user).chain([alone]) {
            contacts.extend(members.iter().copied().filter(|contact| holds(*contact)));
        }
        if rooms.len() > 1 {
            contacts.sort_unstable();
            contacts.dedup();
        }
        contacts
    }

    /// The members of each room of `user`, each list sorted; none when rooms do not count.
    pub fn circles(&self, user: UserKey) -> impl Iterator<Item = &'a [UserKey]> {
        let directory = self.directory;
        self.rooms(user).iter().map(move |room| directory.members(*room))
    }

    /// The rooms of `user` that count, sorted.
    pub fn rooms(&self, user: UserKey) -> &'a [RoomKey] {
        if self.count() {
            self.directory.rooms(user)
        } else {
            &[]
        }
    }

    /// Whom `reader` sees now by a room, and did not at a position; sorted.
    pub fn newly_shown(&self, reader: UserKey, position: u64) -> Vec<UserKey> {
        if self.count() {
            self.directory.newly_shared(reader, position)
        } else {
            Vec::new()
        }
    }

    /// The other homeservers with members in rooms of `user`; one may come several times.
    pub fn remote_servers(&self, user: UserKey) -> impl Iterator<Item = ServerKey> {
        let directory = self.directory;
        // Where there is no other homeserver, no room need be looked at.
        let counts = self.count() && directory.has_servers();
        let rooms = if counts { directory.rooms(user) } else { &[] };
        rooms.iter().flat_map(move |room| directory.remote_servers(*room))
    }

    /// At least as many as [`contacts`](Self::contacts) has, without building it.
    pub fn contacts_at_most(&self, user: UserKey) -> usize {
        1 + self.circles(user).map(<[_]>::len).sum::<usize>()
    }

    fn count(self) -> bool {
        self.presence == SharedRoomPresence::Additive
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::UserId;

    use super::*;
    use crate::directory::Event;

    fn directory() -> Directory {
        let mut directory = Directory::new("x", &[]);
        for (room, members) in [
            ("!1:x", &["a", "b"][..]),
            ("!2:x", &["a", "b", "c"]),
            ("!3:x", &["d"]),
        ] {
            for name in members {
                let joined = Event::Joined {
                    room_id: room.into(),
                    user_id: UserId::parse(format!("@{name}:x")).expect("valid"),
                };
                directory.apply(&joined, 0);
            }
        }
        directory
    }

    #[test]
    fn contacts_are_counted_once_and_include_oneself() {
        let directory = directory();
        let key = |name: &str| directory.key(&format!("@{name}:x")).expect("known");
        let rooms = SharedRooms::new(&directory, SharedRoomPresence::Additive);
        assert_eq!(rooms.contacts(key("b")), [key("a"), key("b"), key("c")]);
        assert!(rooms.shows(key("c"), key("a")));
        assert!(!rooms.shows(key("d"), key("a")));
        assert!(rooms.contacts_at_most(key("b")) >= 3);
    }

    #[test]
    fn a_module_that_replaces_shared_rooms_leaves_oneself() {
        let directory = directory();
        let key = |name: &str| directory.key(&format!("@{name}:x")).expect("known");
        let rooms = SharedRooms::new(&directory, SharedRoomPresence::Replace);
        assert_eq!(rooms.contacts(key("b")), [key("b")]);
        assert!(rooms.shows(key("b"), key("b")));
        assert!(!rooms.shows(key("c"), key("a")));
    }
}

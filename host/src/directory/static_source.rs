//! The users and rooms of `directory.static` in the config. A config that is read again is compared with the one before, and
//! the differences are events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;
use presence_router_api::UserId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::directory::source::{Event, Source, TokenOwner, Told};
use crate::presence::DeviceId;

/// A source that says what the config says.
#[derive(Debug, Default)]
pub struct StaticSource {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    tokens: HashMap<String, TokenOwner>,
    users: BTreeSet<UserId>,
    rooms: BTreeMap<String, BTreeSet<UserId>>,
    /// Not yet taken.
    events: Vec<Event>,
}

/// What has changed by a config that was read again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replaced {
    /// How many users are new.
    pub users_added: usize,
    /// How many are gone.
    pub users_removed: usize,
    /// How many tokens are new.
    pub tokens_added: usize,
    /// How many are good no more.
    pub tokens_revoked: usize,
    /// How often somebody came into a room.
    pub joins: usize,
    /// How often somebody left one.
    pub leaves: usize,
}

impl StaticSource {
    /// The users and rooms of the config.
    pub fn new(config: &config::Directory) -> Self {
        let source = Self::default();
        source.replace(config);
        source
    }

    /// The config has been read again. A token that stays keeps its device.
    pub fn replace(&self, config: &config::Directory) -> Replaced {
        let mut state = self.state.lock();
        let before = state.events.len();
        let (tokens_added, tokens_revoked) = state.replace_tokens(config);
        state.replace_users(config);
        state.replace_rooms(config);
        let mut replaced = Replaced {
            tokens_added,
            tokens_revoked,
            ..Replaced::default()
        };
        for event in &state.events[before..] {
            match event {
                Event::UserAdded(_) => replaced.users_added += 1,
                Event::UserRemoved(_) => replaced.users_removed += 1,
                Event::Joined { .. } => replaced.joins += 1,
                Event::Left { .. } => replaced.leaves += 1,
            }
        }
        drop(state);
        self.changed.notify_one();
        replaced
    }
}

impl State {
    fn replace_tokens(&mut self, config: &config::Directory) -> (usize, usize) {
        let mut old = std::mem::take(&mut self.tokens);
        let mut added = 0;
        for (user_id, user) in &config.users {
            let mut kept: Vec<DeviceId> = Vec::new();
            let mut fresh: Vec<&String> = Vec::new();
            for token in &user.access_tokens {
                match old.remove(token) {
                    Some(owner) if owner.user_id == *user_id => {
                        kept.push(owner.device_id.clone());
                        self.tokens.insert(token.clone(), owner);
                    }
                    stale => {
                        if let Some(owner) = stale {
                            old.insert(token.clone(), owner);
                        }
                        fresh.push(token);
                    }
                }
            }
            added += fresh.len();
            // Counted from 1 in the config's order: stable as long as tokens are appended.
            let mut unused = (1_usize..)
                .map(|number| DeviceId::from(format!("STATIC{number}").as_str()))
                .filter(|device| !kept.contains(device));
            for token in fresh {
                let device_id = unused.next().expect("there is always a next number");
                let owner = TokenOwner {
                    user_id: user_id.clone(),
                    device_id,
                    revoked: CancellationToken::new(),
                };
                self.tokens.insert(token.clone(), owner);
            }
        }
        for owner in old.values() {
            owner.revoked.cancel();
        }
        (added, old.len())
    }

    fn replace_users(&mut self, config: &config::Directory) {
        let users: BTreeSet<UserId> = config.users.keys().cloned().collect();
        let removed = self.users.difference(&users).cloned().map(Event::UserRemoved);
        let added = users.difference(&self.users).cloned().map(Event::UserAdded);
        self.events.extend(removed.chain(added));
        self.users = users;
    }

    fn replace_rooms(&mut self, config: &config::Directory) {
        let nobody = BTreeSet::new();
        let rooms = &config.rooms;
        let all: BTreeSet<&String> = self.rooms.keys().chain(rooms.keys()).collect();
        for room_id in all {
            let (old, new) = (
                self.rooms.get(room_id).unwrap_or(&nobody),
                rooms.get(room_id).unwrap_or(&nobody),
            );
            let left = old.difference(new).map(|user_id| Event::Left {
                room_id: room_id.clone(),
                user_id: user_id.clone(),
            });
            let joined = new.difference(old).map(|user_id| Event::Joined {
                room_id: room_id.clone(),
                user_id: user_id.clone(),
            });
            self.events.extend(left.chain(joined));
        }
        self.rooms.clone_from(rooms);
    }
}

impl Source for StaticSource {
    fn token_owner<'a>(&'a self, access_token: &'a str) -> Told<'a, Option<TokenOwner>> {
        let owner = self.state.lock().tokens.get(access_token).cloned();
        Box::pin(std::future::ready(owner))
    }

    fn changes(&self) -> Told<'_, Vec<Event>> {
        Box::pin(async {
            loop {
                let events = std::mem::take(&mut self.state.lock().events);
                if !events.is_empty() {
                    return events;
                }
                self.changed.notified().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(format!("@{name}:x")).expect("a test's user id is valid")
    }

    fn config(users: &[(&str, &[&str])], rooms: &[(&str, &[&str])]) -> config::Directory {
        config::Directory {
            users: users
                .iter()
                .map(|(name, tokens)| {
                    let access_tokens = tokens.iter().map(ToString::to_string).collect();
                    (user(name), config::StaticUser { access_tokens })
                })
                .collect(),
            rooms: rooms
                .iter()
                .map(|(room, members)| {
                    let members = members.iter().map(|name| user(name)).collect();
                    ((*room).to_owned(), members)
                })
                .collect(),
        }
    }

    fn device(source: &StaticSource, token: &str) -> Option<String> {
        let owner = source.token_owner(token).now_or_never().expect("does not wait");
        owner.map(|owner| format!("{} {}", owner.user_id, owner.device_id.as_str()))
    }

    fn events(source: &StaticSource) -> Vec<Event> {
        source.changes().now_or_never().unwrap_or_default()
    }

    #[test]
    fn each_token_is_a_device_of_its_own() {
        let source = StaticSource::new(&config(&[("alice", &["a1", "a2"]), ("bob", &["b"])], &[]));
        assert_eq!(device(&source, "a1").as_deref(), Some("@alice:x STATIC1"));
        assert_eq!(device(&source, "a2").as_deref(), Some("@alice:x STATIC2"));
        assert_eq!(device(&source, "b").as_deref(), Some("@bob:x STATIC1"));
        assert_eq!(device(&source, "c"), None);
    }

    #[test]
    fn a_token_that_stays_keeps_its_device_and_one_that_goes_is_revoked() {
        let source = StaticSource::new(&config(&[("alice", &["a1", "a2"])], &[]));
        let owner = |token| source.token_owner(token).now_or_never().expect("does not wait");
        let (first, second) = (owner("a1").expect("known"), owner("a2").expect("known"));
        let replaced = source.replace(&config(&[("alice", &["a3", "a2"])], &[]));
        assert!(first.revoked.is_cancelled() && !second.revoked.is_cancelled());
        assert_eq!(device(&source, "a2").as_deref(), Some("@alice:x STATIC2"));
        assert_eq!(device(&source, "a3").as_deref(), Some("@alice:x STATIC1"));
        assert_eq!((replaced.tokens_added, replaced.tokens_revoked), (1, 1));
    }

    #[test]
    fn a_token_that_passes_to_another_user_is_revoked_for_the_first() {
        let source = StaticSource::new(&config(&[("alice", &["t"]), ("bob", &[])], &[]));
        let alice = source.token_owner("t").now_or_never().flatten().expect("known");
        source.replace(&config(&[("alice", &[]), ("bob", &["t"])], &[]));
        assert!(alice.revoked.is_cancelled());
        assert_eq!(device(&source, "t").as_deref(), Some("@bob:x STATIC1"));
    }

    #[test]
    fn the_differences_of_two_configs_are_events() {
        let source = StaticSource::new(&config(
            &[("alice", &[]), ("bob", &[])],
            &[("!1", &["alice", "bob"])],
        ));
        assert_eq!(events(&source).len(), 4);
        assert!(events(&source).is_empty());
        let replaced = source.replace(&config(
            &[("alice", &[]), ("carol", &[])],
            &[("!1", &["alice", "carol"]), ("!2", &["carol"])],
        ));
        let room = |room: &str| room.to_owned();
        assert_eq!(
            events(&source),
            [
                Event::UserRemoved(user("bob")),
                Event::UserAdded(user("carol")),
                Event::Left {
                    room_id: room("!1"),
                    user_id: user("bob")
                },
                Event::Joined {
                    room_id: room("!1"),
                    user_id: user("carol")
                },
                Event::Joined {
                    room_id: room("!2"),
                    user_id: user("carol")
                },
            ]
        );
        assert_eq!((replaced.joins, replaced.leaves, replaced.users_added), (2, 1, 1));
    }

    #[tokio::test]
    async fn who_waits_for_changes_is_told_of_the_next_ones() {
        let source = StaticSource::new(&config(&[], &[]));
        let (changes, ()) = tokio::join!(source.changes(), async {
            source.replace(&config(&[("alice", &[])], &[]));
        });
        assert_eq!(changes, [Event::UserAdded(user("alice"))]);
    }
}

//! The users and rooms of `directory` in the config. A config that is read again is compared with the one before, and the
//! differences are events.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config;
use crate::directory::roster_changes::{Change, RosterChanges};
use crate::directory::source::{Event, Source, TokenOwner, Told};
use crate::directory::tokens::Tokens;

/// About how many events are told at a time, so that those of millions of users are never all in memory, and changes of
/// presence have their turn between them.
const PIECE: usize = 8_192;

/// A source that says what the config says.
#[derive(Debug, Default)]
pub struct StaticSource {
    tokens: Mutex<Tokens>,
    /// Not yet told: what each config that was read changed.
    changes: Mutex<VecDeque<RosterChanges>>,
    changed: Notify,
    /// Configs are compared one after the other, while tokens are looked up.
    replacing: Mutex<()>,
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

    /// The config has been read again. A token that stays keeps its device. Takes as long as it takes to compare all that the
    /// two say: a second for a million users.
    pub fn replace(&self, config: &config::Directory) -> Replaced {
        let _turn = self.replacing.lock();
        let new = config.roster();
        let old = Arc::clone(self.tokens.lock().known());
        let next = old.next(Arc::clone(&new));
        let mut replaced = Replaced {
            tokens_added: next.added,
            tokens_revoked: next.revoked,
            ..Replaced::default()
        };
        let changes = RosterChanges::new(Arc::clone(old.roster()), new);
        changes.each(|change| match change {
            Change::UserAdded(_) => replaced.users_added += 1,
            Change::UserRemoved(_) => replaced.users_removed += 1,
            Change::Joined(_) => replaced.joins += 1,
            Change::Left(_) => replaced.leaves += 1,
        });
        self.tokens.lock().replace(next);
        self.changes.lock().push_back(changes);
        self.changed.notify_one();
        replaced
    }

    /// Empty when all has been told.
    fn next_piece(&self) -> Vec<Event> {
        let mut changes = self.changes.lock();
        while let Some(first) = changes.front_mut() {
            let events = first.take(PIECE);
            if !events.is_empty() {
                return events;
            }
            changes.pop_front();
        }
        Vec::new()
    }
}

impl Source for StaticSource {
    fn token_owner<'a>(&'a self, access_token: &'a str) -> Told<'a, Option<TokenOwner>> {
        let owner = self.tokens.lock().owner(access_token);
        Box::pin(std::future::ready(owner))
    }

    fn changes(&self) -> Told<'_, Vec<Event>> {
        Box::pin(async {
            loop {
                let events = self.next_piece();
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
    use presence_router_api::UserId;

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
            ..config::Directory::default()
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
        assert!(first.revoked.is_revoked() && !second.revoked.is_revoked());
        assert_eq!(device(&source, "a2").as_deref(), Some("@alice:x STATIC2"));
        assert_eq!(device(&source, "a3").as_deref(), Some("@alice:x STATIC1"));
        assert_eq!((replaced.tokens_added, replaced.tokens_revoked), (1, 1));
    }

    #[test]
    fn a_token_that_passes_to_another_user_is_revoked_for_the_first() {
        let source = StaticSource::new(&config(&[("alice", &["t"]), ("bob", &[])], &[]));
        let alice = source.token_owner("t").now_or_never().flatten().expect("known");
        source.replace(&config(&[("alice", &[]), ("bob", &["t"])], &[]));
        assert!(alice.revoked.is_revoked());
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
        let room = |room: &str| Arc::<str>::from(room);
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

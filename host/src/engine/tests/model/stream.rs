//! What one device was told, and what it may be told again.

use std::collections::{BTreeMap, BTreeSet};

use presence_router_api::PresenceState::Offline;

use crate::delivery::PresenceFilter;
use crate::engine::tests::kit::{Client, USERS, all_but, key};
use crate::engine::tests::model::case::Device;
use crate::engine::tests::model::sight::{Sight, Users, has, names, number_of};
use crate::engine::{Engine, SyncAnswer};

/// The sync stream of a device.
pub(super) struct Stream {
    device: Device,
    pub(super) client: Client,
    /// Of whom it does not want to hear.
    filter: Users,
    /// What it knows of those whom it sees or has seen; offline ones are left out.
    known: BTreeMap<usize, String>,
    /// Of whom it knows what it was told before it saw them no more.
    outdated: BTreeSet<usize>,
    /// The last change of each that it was told.
    told: BTreeMap<usize, u64>,
    /// Of whom it may be told once what it knows.
    pub(super) again: BTreeSet<usize>,
    /// Whom it saw by modules that are others now: what these had routed is still told.
    pub(super) seen_before: BTreeSet<usize>,
    /// Of whom its next answer must tell, as long as they are seen by a room.
    pub(super) due: BTreeSet<usize>,
    /// Whether its next answer is a full snapshot.
    pub(super) snapshot: bool,
    /// The rooms that have changed since it synced.
    pub(super) unread_rooms: BTreeSet<usize>,
}

/// What an answer may repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    Nothing,
    /// Those who are not offline.
    NotOffline,
    All,
}

impl Stream {
    pub(super) fn new(engine: &Engine, device: Device, filter: Users) -> Self {
        let mut stream = Self {
            device,
            client: client(engine, device),
            filter,
            known: BTreeMap::new(),
            outdated: BTreeSet::new(),
            told: BTreeMap::new(),
            again: BTreeSet::new(),
            seen_before: BTreeSet::new(),
            due: BTreeSet::new(),
            snapshot: false,
            unread_rooms: BTreeSet::new(),
        };
        stream.client.filter = stream.wanted();
        stream
    }

    pub(super) fn reader(&self) -> usize {
        self.device.0
    }

    /// It goes on with another server.
    pub(super) fn move_to(&mut self, engine: &Engine) {
        let since = self.client.since.take();
        self.client = client(engine, self.device);
        self.client.since = since;
        self.client.filter = self.wanted();
    }

    fn wanted(&self) -> PresenceFilter {
        all_but(names(self.filter))
    }

    pub(super) fn wants(&self, user: usize) -> bool {
        !has(self.filter, user)
    }

    /// What modules show is about to change.
    pub(super) fn note_seen(&mut self, sight: &Sight) {
        let seen = (0..USERS.len()).filter(|user| sight.sees(self.device.0, *user));
        self.seen_before.extend(seen);
    }

    /// What it knows of whom it sees. What is left of whom it has not seen for a while does not count when they have gone
    /// meanwhile, as a newcomer knows: nobody owed it to be told of that.
    pub(super) fn known(&self, newcomer: &Self, sight: &Sight) -> BTreeMap<usize, &str> {
        let counts = |user: &usize| !self.outdated.contains(user) || newcomer.known.contains_key(user);
        let seen = self
            .known
            .iter()
            .filter(|(user, _)| sight.sees(self.device.0, **user));
        seen.filter(|(user, _)| counts(user))
            .map(|(user, known)| (*user, known.as_str()))
            .collect()
    }

    /// Whoever is seen no more need not be told of, and may be told of when they are seen again.
    pub(super) fn forget_unseen(&mut self, sight: &Sight) {
        let sees = |user: &usize| sight.sees(self.device.0, *user);
        self.told.retain(|user, _| sees(user));
        self.outdated.extend(self.known.keys().filter(|user| !sees(user)));
        self.due.retain(|user| sight.sees_by_rooms(self.device.0, *user));
    }

    /// Takes an answer.
    pub(super) fn take(&mut self, engine: &Engine, answer: &SyncAnswer, repeats: Repeats, sight: &Sight) {
        self.client.since = Some(answer.next_batch.clone());
        self.unread_rooms.clear();
        let (reader, name) = (self.reader(), USERS[self.reader()]);
        let told: BTreeSet<_> = answer
            .events
            .iter()
            .map(|event| number_of(&event.sender))
            .collect();
        assert_eq!(
            told.len(),
            answer.events.len(),
            "{name} is told twice in one answer"
        );
        for user in std::mem::take(&mut self.due) {
            let expected = self.wants(user) && sight.sees_by_rooms(reader, user);
            assert!(
                !expected || told.contains(&user),
                "{name} is not told of {}",
                USERS[user]
            );
        }
        if std::mem::take(&mut self.snapshot) {
            let missing = self.missing_in_snapshot(engine, sight, &told);
            assert!(missing.is_empty(), "{name} gets a snapshot without {missing:?}");
        }
        let world = engine.0.world.read();
        for event in &answer.events {
            let user = number_of(&event.sender);
            let may_see = sight.sees(reader, user) || self.seen_before.contains(&user);
            assert!(may_see, "{name} sees {}", USERS[user]);
            assert!(self.wants(user), "{name} does not want {}", USERS[user]);
            let content = &event.content;
            let change = world
                .streams
                .last_change(world.directory.key(event.sender.as_str()).expect("known"));
            if change <= answer.next_batch.furthest() {
                let is_news = self.told.insert(user, change) < Some(change);
                let may_repeat = match repeats {
                    Repeats::Nothing => false,
                    Repeats::NotOffline => content.presence != Offline,
                    Repeats::All => true,
                };
                assert!(
                    is_news || may_repeat || self.again.remove(&user),
                    "{name}/{} was told twice of {}",
                    self.device.1,
                    USERS[user]
                );
            } else {
                // There has been another change since the answer was made.
                self.told.remove(&user);
            }
            // What a module has routed comes, although it is another by now that does not show them.
            if sight.sees(reader, user) {
                self.outdated.remove(&user);
            } else {
                self.outdated.insert(user);
            }
            if content.presence == Offline {
                self.known.remove(&user);
            } else {
                let text = format!(
                    "{} {:?} {:?}",
                    content.presence, content.status_msg, content.currently_active
                );
                self.known.insert(user, text);
            }
        }
    }

    fn missing_in_snapshot(
        &self,
        engine: &Engine,
        sight: &Sight,
        told: &BTreeSet<usize>,
    ) -> Vec<&'static str> {
        let is_online = |user: usize| {
            let user = key(engine, USERS[user]);
            engine.0.world.read().is_online(user)
        };
        (0..USERS.len())
            .filter(|user| sight.sees_by_rooms(self.reader(), *user) && self.wants(*user))
            .filter(|user| is_online(*user) && !told.contains(user))
            .map(|user| USERS[user])
            .collect()
    }
}

pub(super) fn client(engine: &Engine, (user, device): Device) -> Client {
    Client::new(engine, &format!("{}/{device}", USERS[user]))
}

//! Properties: whatever clients do, in whatever order, each of them knows in the end what a newcomer is told, has been told
//! nothing twice, and nothing of strangers.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use presence_router_api::PresenceState::{self, Busy, Offline, Online, Unavailable};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::Config;
use proptest::{collection, proptest, sample};

use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{Client, USERS, serve, serve_routed, up_to_date};
use crate::engine::{Engine, SetPresence, SyncAnswer};
use crate::modules::puppet::Mood;

/// The device of a user: `alice/2`.
type Device = (usize, usize);

#[derive(Debug, Clone)]
enum Step {
    Put(Device, PresenceState, &'static str),
    Sync(Device),
    /// A sync that sets presence.
    Show(Device),
    FullSync(Device),
    Wait(u64),
    /// For the module.
    Feel(Mood),
}

fn device() -> impl Strategy<Value = Device> {
    (0..USERS.len(), 1..=2_usize)
}

fn step() -> impl Strategy<Value = Step> {
    let state = sample::select(vec![Offline, Unavailable, Online, Busy]);
    let message = sample::select(vec!["", "hi"]);
    prop_oneof![
        4 => (device(), state, message).prop_map(|(device, state, message)| Step::Put(device, state, message)),
        4 => device().prop_map(Step::Sync),
        2 => device().prop_map(Step::Show),
        1 => device().prop_map(Step::FullSync),
        1 => sample::select(vec![1, 10_000, 30_001, 60_000, 300_001]).prop_map(Step::Wait),
    ]
}

fn steps_with_moods() -> impl Strategy<Value = Vec<Step>> {
    let mood = sample::select(vec![
        Mood::Answer,
        Mood::Answer,
        Mood::Fail,
        Mood::Lie,
        Mood::Hang,
    ]);
    let step = prop_oneof![6 => step(), 1 => mood.prop_map(Step::Feel)];
    collection::vec(step, 0..40)
}

/// Who is in which room, a bit for each user.
fn rooms() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(any::<u8>(), 0..3)
}

fn members(rooms: &[u8]) -> Vec<Vec<&'static str>> {
    let members = |room: &u8| {
        let is_in = |(bit, _): &(usize, &&str)| room >> bit & 1 == 1;
        USERS
            .iter()
            .enumerate()
            .filter(is_in)
            .map(|(_, name)| *name)
            .collect()
    };
    rooms.iter().map(members).collect()
}

/// What one device was told.
struct Stream {
    name: &'static str,
    client: Client,
    /// What it knows of others, offline ones left out.
    known: BTreeMap<String, String>,
    /// The last change of each that it was told.
    told: BTreeMap<String, u64>,
}

impl Stream {
    fn new(engine: &Engine, (user, device): Device) -> Self {
        Self {
            name: USERS[user],
            client: Client::new(engine, &format!("{}/{device}", USERS[user])),
            known: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Takes an answer. `again`: it may tell what is known.
    fn take(&mut self, engine: &Engine, answer: &SyncAnswer, again: bool, sees: impl Fn(&str, &str) -> bool) {
        self.client.since = Some(answer.next_batch.clone());
        let world = engine.0.world.read();
        for event in &answer.events {
            let sender = event.sender.as_str();
            let name = USERS.iter().find(|name| sender.starts_with(&format!("@{name}:")));
            let name = name.expect("known");
            assert!(sees(self.name, name), "{} sees {name}", self.name);
            let user = world.directory.key(sender).expect("known");
            let change = world.streams.last_change(user);
            if change <= answer.next_batch.furthest() {
                let before = self.told.insert(sender.to_owned(), change);
                assert!(
                    again || before < Some(change),
                    "{} was told twice of {name}",
                    self.name
                );
            } else {
                // There has been another change since the answer was made.
                self.told.remove(sender);
            }
            let content = &event.content;
            let text = format!(
                "{} {:?} {:?}",
                content.presence, content.status_msg, content.currently_active
            );
            if content.presence == Offline {
                self.known.remove(sender);
            } else {
                self.known.insert(sender.to_owned(), text);
            }
        }
    }
}

struct Play<'a, S> {
    engine: &'a Engine,
    sees: S,
    streams: BTreeMap<Device, Stream>,
}

impl<S: Fn(&str, &str) -> bool> Play<'_, S> {
    async fn step(&mut self, step: &Step) {
        match step {
            Step::Put((user, device), state, message) => {
                let client = Client::new(self.engine, &format!("{}/{device}", USERS[*user]));
                client.put(*state, message).await;
            }
            Step::Sync(device) => self.sync(*device, SetPresence::Offline, false).await,
            Step::Show(device) => self.sync(*device, SetPresence::Online, false).await,
            Step::FullSync(device) => self.sync(*device, SetPresence::Offline, true).await,
            Step::Wait(_) | Step::Feel(_) => {}
        }
    }

    async fn sync(&mut self, device: Device, set_presence: SetPresence, full_state: bool) {
        let stream = self
            .streams
            .entry(device)
            .or_insert_with(|| Stream::new(self.engine, device));
        stream.client.set_presence = set_presence;
        let answer = stream.client.answer(full_state).await;
        stream.take(self.engine, &answer, full_state, &self.sees);
    }

    /// When all has been told, each knows what a newcomer is told.
    async fn check(mut self) {
        let devices: Vec<_> = self.streams.keys().copied().collect();
        for device in devices {
            self.sync(device, SetPresence::Offline, false).await;
            let mut newcomer = Stream::new(self.engine, device);
            newcomer.client.set_presence = SetPresence::Offline;
            let answer = newcomer.client.answer(false).await;
            newcomer.take(self.engine, &answer, false, &self.sees);
            let stream = &self.streams[&device];
            assert_eq!(stream.known, newcomer.known, "of {}", stream.name);
        }
    }
}

/// Runs on a paused clock.
fn run(body: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("starts")
        .block_on(body);
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

const BROADCAST: Broadcast = Broadcast {
    to: &["dave", "eve"],
    but_of: &["bob"],
};

fn audience(kind: Audience) -> std::sync::Arc<crate::modules::puppet::Puppet> {
    match kind {
        Audience::Kept => BROADCAST.puppet(),
        Audience::PerBatch => BROADCAST.forgetful_puppet(),
    }
}

#[derive(Debug, Clone, Copy)]
enum Audience {
    Kept,
    PerBatch,
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn by_shared_rooms(rooms in rooms(), steps in collection::vec(step(), 0..60)) {
        run(async {
            let rooms = members(&rooms);
            let circles: Vec<&[&str]> = rooms.iter().map(Vec::as_slice).collect();
            let engine = serve(&circles);
            let share = |reader: &str, user: &str| {
                reader == user || rooms.iter().any(|room| room.contains(&reader) && room.contains(&user))
            };
            let mut play = Play { engine: &engine, sees: share, streams: BTreeMap::new() };
            for step in &steps {
                if let Step::Wait(ms) = step {
                    tokio::time::sleep(Duration::from_millis(*ms)).await;
                }
                play.step(step).await;
            }
            up_to_date(&engine).await;
            play.check().await;
        });
    }
}

proptest! {
    #![proptest_config(config(48))]

    /// The module's threads are real, so no two runs are the same; the properties hold in all of them.
    #[test]
    fn by_a_module_with_moods(
        rooms in rooms(),
        steps in steps_with_moods(),
        kind in prop_oneof![Just(Audience::Kept), Just(Audience::PerBatch)],
    ) {
        run(async {
            let rooms = members(&rooms);
            let circles: Vec<&[&str]> = rooms.iter().map(Vec::as_slice).collect();
            let puppet = audience(kind);
            let server = serve_routed(&circles, &[&puppet]).await;
            let may_see = |reader: &str, user: &str| {
                let routed = BROADCAST.to.contains(&reader) && !BROADCAST.but_of.contains(&user);
                reader == user || routed || rooms.iter().any(|room| room.contains(&reader) && room.contains(&user))
            };
            let mut play = Play { engine: &server.engine, sees: may_see, streams: BTreeMap::new() };
            for step in &steps {
                if let Step::Wait(ms) = step {
                    tokio::time::advance(Duration::from_millis(*ms)).await;
                }
                if let Step::Feel(mood) = step {
                    puppet.set_mood(mood.clone());
                }
                // A sync may wait for a module that hangs.
                let mut done = Box::pin(play.step(step));
                tokio::select! {
                    biased;
                    () = &mut done => {}
                    () = server.time.pass_until(|| false) => {}
                }
                drop(done);
            }
            puppet.set_mood(Mood::Answer);
            server.settle().await;
            play.check().await;
        });
    }
}

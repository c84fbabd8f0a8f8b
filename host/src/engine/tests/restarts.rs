//! What a server that is started again knows, and tells.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::{Busy, Offline, Online, Unavailable};
use tokio::time::advance;

use crate::clock::{Clock, StandStill};
use crate::config::Tracking;
use crate::directory::StaticSource;
use crate::engine::tests::kit::{CALL_TIMEOUT, Client, Routed, clock, directory, setup};
use crate::engine::{Engine, SetPresence, Setup};
use crate::modules::puppet::Puppet;
use crate::storage::{Location, Storage};

/// A database, and what does not change between two runs on it.
pub(super) struct Runs {
    folder: tempfile::TempDir,
    clock: Arc<dyn Clock>,
    time: StandStill,
}

impl Runs {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a directory"),
            clock: clock(),
            time: StandStill::begin(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn run(&self, rooms: &[&[&str]]) -> Engine {
        self.run_set(rooms, |_| {})
    }

    /// With a config that is not the usual one.
    pub(super) fn run_set(&self, rooms: &[&[&str]], set: impl FnOnce(&mut Setup)) -> Engine {
        let mut setup = setup(Arc::clone(&self.clock), rooms);
        set(&mut setup);
        let database = Location::File(self.path().join("presence.db"));
        setup.storage = Storage::open(&database).expect("opens");
        Engine::start(setup)
    }

    pub(super) async fn run_with(&self, rooms: &[&[&str]], modules: &[(&str, &Arc<Puppet>)]) -> Routed {
        let engine = self.run(rooms);
        for (fingerprint, puppet) in modules {
            let module = puppet.start(Arc::clone(&self.clock), CALL_TIMEOUT).await;
            engine.attach("puppet", fingerprint, module.expect("starts"));
        }
        let puppets = modules.iter().map(|(_, puppet)| Arc::clone(puppet)).collect();
        Routed::of(engine, puppets)
    }

    pub(super) async fn stop(&self, engine: &Engine) {
        engine.shutdown(Duration::from_secs(5)).await;
    }
}

/// The client's session goes on with another server.
pub(super) fn moved(client: &Client, to: &Engine, name: &str) -> Client {
    let mut moved = Client::new(to, name);
    moved.since.clone_from(&client.since);
    moved
}

#[tokio::test(start_paused = true)]
async fn presence_survives_and_an_old_token_tells_what_was_not_read() {
    let runs = Runs::new();
    let first = runs.run(&[&["alice", "bob", "carol"]]);
    let (alice, carol, mut bob) = (
        Client::new(&first, "alice"),
        Client::new(&first, "carol"),
        Client::new(&first, "bob"),
    );
    alice.put(Online, "hi").await;
    assert_eq!(bob.sync().await, ["alice online hi"]);
    carol.put(Busy, "").await;
    runs.stop(&first).await;

    let second = runs.run(&[&["alice", "bob", "carol"]]);
    let mut bob = moved(&bob, &second, "bob");
    assert_eq!(bob.sync().await, ["carol busy"]);
    assert!(bob.sync().await.is_empty());
    let mut newcomer = Client::new(&second, "bob/2");
    assert_eq!(newcomer.sync().await, ["alice online hi", "carol busy"]);
}

// Synapse tests/handlers/test_presence.py: test_stale_presence_flushed_offline_and_sent_on_sync, and design: a restored state
// lives as one device under the usual timeouts.
#[tokio::test(start_paused = true)]
async fn who_does_not_come_back_goes_offline_and_that_is_told_once() {
    let runs = Runs::new();
    let rooms: &[&[&str]] = &[&["alice", "bob", "carol"]];
    let first = runs.run(rooms);
    let (alice, mut bob) = (Client::new(&first, "alice"), Client::new(&first, "bob"));
    alice.put(Online, "hi").await;
    let mut carol = Client::new(&first, "carol");
    carol.put(Online, "").await;
    assert_eq!(bob.sync().await, ["alice online hi", "carol online"]);
    carol.sync().await;
    runs.stop(&first).await;

    let second = runs.run(rooms);
    let mut bob = moved(&bob, &second, "bob");
    let mut carol = moved(&carol, &second, "carol");
    carol.set_presence = SetPresence::Online;
    let syncing = carol.long_poll(Duration::from_mins(1));
    assert!(bob.sync().await.is_empty());
    let told = bob.long_poll(Duration::from_mins(5));
    runs.time.pass_until(|| told.is_finished()).await;
    assert_eq!(bob.read(&told.await.expect("ends")), ["alice offline hi"]);
    assert!(bob.sync().await.is_empty());
    syncing.abort();
}

#[tokio::test(start_paused = true)]
async fn who_was_put_offline_is_offline_after_a_restart() {
    let runs = Runs::new();
    let rooms: &[&[&str]] = &[&["alice", "bob"]];
    let first = runs.run(rooms);
    let (alice, mut bob) = (Client::new(&first, "alice"), Client::new(&first, "bob"));
    alice.put(Online, "").await;
    assert_eq!(bob.sync().await, ["alice online"]);
    alice.put(Offline, "gone").await;
    runs.stop(&first).await;
    let second = runs.run(rooms);
    assert_eq!(moved(&bob, &second, "bob").sync().await, ["alice offline gone"]);
    assert!(Client::new(&second, "bob").sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn people_whose_room_changed_while_the_server_was_down_hear_of_each_other() {
    let runs = Runs::new();
    let first = runs.run(&[&["alice"], &["bob", "carol"]]);
    let mut bob = Client::new(&first, "bob");
    Client::new(&first, "alice").put(Online, "").await;
    assert!(bob.sync().await.is_empty());
    runs.stop(&first).await;

    let second = runs.run(&[&["alice", "bob"], &["bob", "carol"]]);
    let mut bob = moved(&bob, &second, "bob");
    assert_eq!(bob.sync().await, ["alice online"]);
    assert!(bob.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_join_is_told_also_to_who_reads_only_after_a_restart() {
    let runs = Runs::new();
    let source = Arc::new(StaticSource::new(&directory(&[&["alice"], &["bob"]])));
    let mut setup = setup(Arc::clone(&runs.clock), &[]);
    setup.storage = Storage::open(&Location::File(runs.path().join("presence.db"))).expect("opens");
    setup.source = Arc::<StaticSource>::clone(&source);
    let first = Engine::start(setup);
    let mut bob = Client::new(&first, "bob");
    Client::new(&first, "alice").put(Online, "").await;
    assert!(bob.sync().await.is_empty());
    source.replace(&directory(&[&["alice", "bob"], &["bob"]]));
    let alices = || {
        let world = first.0.world.read();
        let room = world.directory.room_key("!0:example.org");
        room.map_or(0, |room| world.directory.members(room).len())
    };
    runs.time.until(|| alices() == 2).await;
    runs.stop(&first).await;

    let second = runs.run(&[&["alice", "bob"], &["bob"]]);
    let mut bob = moved(&bob, &second, "bob");
    assert_eq!(bob.sync().await, ["alice online"]);
    assert!(bob.sync().await.is_empty());
    runs.stop(&second).await;
    let third = runs.run(&[&["alice", "bob"], &["bob"]]);
    assert!(moved(&bob, &third, "bob").sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn positions_grow_although_the_clock_was_set_back() {
    let mut runs = Runs::new();
    advance(Duration::from_hours(1)).await;
    let first = runs.run(&[&["alice", "bob"]]);
    let (alice, mut bob) = (Client::new(&first, "alice"), Client::new(&first, "bob"));
    alice.put(Online, "one").await;
    assert_eq!(bob.sync().await, ["alice online one"]);
    runs.stop(&first).await;
    // An hour back.
    runs.clock = clock();
    let second = runs.run(&[&["alice", "bob"]]);
    let mut bob = moved(&bob, &second, "bob");
    assert!(bob.sync().await.is_empty());
    Client::new(&second, "alice").put(Online, "two").await;
    assert_eq!(bob.sync().await, ["alice online two"]);
}

#[tokio::test(start_paused = true)]
async fn who_syncs_while_presence_is_disabled_is_told_who_went_offline_when_it_is_enabled_again() {
    let runs = Runs::new();
    let rooms: &[&[&str]] = &[&["alice", "bob"]];
    let first = runs.run(rooms);
    let mut bob = Client::new(&first, "bob");
    Client::new(&first, "alice").put(Online, "").await;
    assert_eq!(bob.sync().await, ["alice online"]);
    runs.stop(&first).await;

    let second = runs.run_set(rooms, |setup| setup.presence.enabled = Tracking::Disabled);
    let mut bob = moved(&bob, &second, "bob");
    assert!(bob.sync().await.is_empty());
    assert!(bob.sync_full().await.is_empty());
    runs.stop(&second).await;

    let third = runs.run(rooms);
    let mut bob = moved(&bob, &third, "bob");
    assert_eq!(bob.sync().await, ["alice offline"]);
    assert!(bob.sync().await.is_empty());
}

/// Alice changes in a run in which the room that she shares with Bob does not count; Bob syncs, and hears of it in the next.
async fn check_a_run_without_the_room(between: impl AsyncFnOnce(&Runs) -> Engine) {
    let runs = Runs::new();
    let rooms: &[&[&str]] = &[&["alice", "bob"]];
    let first = runs.run(rooms);
    let mut bob = Client::new(&first, "bob");
    Client::new(&first, "alice").put(Online, "").await;
    assert_eq!(bob.sync().await, ["alice online"]);
    runs.stop(&first).await;

    let second = between(&runs).await;
    let mut bob = moved(&bob, &second, "bob");
    Client::new(&second, "alice").put(Unavailable, "").await;
    assert!(bob.sync().await.is_empty());
    runs.stop(&second).await;

    let third = runs.run(rooms);
    let mut bob = moved(&bob, &third, "bob");
    assert_eq!(bob.sync().await, ["alice unavailable"]);
    assert!(bob.sync().await.is_empty());
    runs.stop(&third).await;
    let fourth = runs.run(rooms);
    assert!(moved(&bob, &fourth, "bob").sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_room_that_was_gone_for_a_run_introduces_its_members_when_it_is_back() {
    check_a_run_without_the_room(async |runs| runs.run(&[])).await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_was_excluded_for_a_run_introduces_its_members_when_it_counts_again() {
    check_a_run_without_the_room(async |runs| {
        runs.run_set(&[&["alice", "bob"]], |setup| {
            setup.excluded_rooms = vec!["!0:example.org".to_owned()];
        })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rooms_that_a_module_replaced_for_a_run_introduce_their_members_when_they_count_again() {
    check_a_run_without_the_room(async |runs| {
        let puppet = Arc::new(Puppet::silent().replacing());
        let rooms: &[&[&str]] = &[&["alice", "bob"]];
        runs.run_with(rooms, &[("", &puppet)]).await.engine
    })
    .await;
}

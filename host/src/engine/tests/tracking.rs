//! Presence that is disabled, or set by modules alone; and rooms that do not count.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::{Busy, Offline, Online};
use presence_router_api::PresenceUpdate;

use crate::clock::{Clock, StandStill};
use crate::config::Tracking;
use crate::engine::Engine;
use crate::engine::tests::kit::{Client, clock, id, serve, setup};
use crate::storage::{Location, Storage};

const ROOMS: &[&[&str]] = &[&["alice", "bob"]];

/// A server on a database in a folder.
fn run(folder: &tempfile::TempDir, clock: &Arc<dyn Clock>, tracking: Tracking) -> Engine {
    let mut setup = setup(Arc::clone(clock), ROOMS);
    setup.presence.enabled = tracking;
    let database = Location::File(folder.path().join("presence.db"));
    setup.storage = Storage::open(&database).expect("opens");
    Engine::start(setup)
}

async fn stop(engine: Engine) {
    engine.shutdown(Duration::from_secs(5)).await;
}

fn moved(client: &Client, to: &Engine) -> Client {
    let mut moved = Client::new(to, "bob");
    moved.since.clone_from(&client.since);
    moved
}

// Synapse tests/handlers/test_presence.py: test_restored_presence_flushed_offline_when_presence_disabled, and
// test_stale_presence_flushed_offline_and_sent_on_sync.
#[tokio::test(start_paused = true)]
async fn who_was_online_when_presence_was_disabled_is_offline_and_that_is_told_once_when_it_is_enabled() {
    let (folder, clock, _still) = (
        tempfile::tempdir().expect("a directory"),
        clock(),
        StandStill::begin(),
    );
    let first = run(&folder, &clock, Tracking::Enabled);
    Client::new(&first, "alice").put(Online, "hi").await;
    let mut bob = Client::new(&first, "bob");
    assert_eq!(bob.sync().await, ["alice online hi"]);
    stop(first).await;

    // Twice, for it is stored by the first.
    for _ in 0..2 {
        let disabled = run(&folder, &clock, Tracking::Disabled);
        let mut waiting = moved(&bob, &disabled);
        assert!(waiting.sync().await.is_empty());
        assert!(Client::new(&disabled, "bob/2").sync().await.is_empty());
        assert_eq!(waiting.look_at("alice").await.as_deref(), Some("offline"));
        stop(disabled).await;
    }

    let enabled = run(&folder, &clock, Tracking::Enabled);
    let mut bob = moved(&bob, &enabled);
    assert_eq!(bob.sync().await, ["alice offline hi"]);
    assert!(bob.sync().await.is_empty());
    assert!(Client::new(&enabled, "bob/2").sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_presence_is_disabled_nothing_is_set() {
    let mut setup = setup(clock(), ROOMS);
    setup.presence.enabled = Tracking::Disabled;
    let server = Engine::start(setup);
    let (alice, mut bob) = (Client::new(&server, "alice"), Client::new(&server, "bob"));
    bob.sync().await;
    alice.put(Online, "hi").await;
    let services = server.services();
    let busy = PresenceUpdate::new(id("alice"), Busy);
    services
        .set_presence_for_users(vec![busy])
        .await
        .expect("ignored");
    let bobs = vec![id("bob")];
    services
        .send_local_online_presence_to(bobs)
        .await
        .expect("ignored");
    assert!(bob.sync().await.is_empty());
    assert_eq!(bob.look_at("alice").await.as_deref(), Some("offline"));
}

// Synapse tests/handlers/test_presence.py: test_untracked_does_not_idle; and tests/module_api/test_api.py:
// test_set_presence_for_users... of presence that is untracked.
#[tokio::test(start_paused = true)]
async fn untracked_presence_is_what_modules_set_and_stays_so() {
    let mut setup = setup(clock(), ROOMS);
    setup.presence.enabled = Tracking::Untracked;
    let server = Engine::start(setup);
    let (mut alice, mut bob) = (Client::new(&server, "alice"), Client::new(&server, "bob"));
    bob.sync().await;
    alice.put(Busy, "ignored").await;
    alice.set_presence = crate::engine::SetPresence::Online;
    alice.sync().await;
    assert!(bob.sync().await.is_empty());

    let services = server.services();
    let set = |message: &str| {
        let update = PresenceUpdate {
            status_msg: Some(message.to_owned()),
            ..PresenceUpdate::new(id("alice"), Online)
        };
        services.set_presence_for_users(vec![update])
    };
    set("by a module").await.expect("set");
    assert_eq!(bob.sync().await, ["alice online by a module"]);
    alice.put(Offline, "ignored").await;
    tokio::time::sleep(Duration::from_hours(48)).await;
    assert!(bob.sync().await.is_empty());
    assert_eq!(bob.look_at("alice").await.as_deref(), Some("online by a module"));
    // Told also when it changes nothing, once.
    set("by a module").await.expect("set");
    assert_eq!(bob.sync().await, ["alice online by a module"]);
    assert!(bob.sync().await.is_empty());
}

// Synapse tests/handlers/test_presence.py: test_is_visible_respects_excluded_rooms.
#[tokio::test(start_paused = true)]
async fn sharing_an_excluded_room_alone_shows_nobody() {
    let rooms: &[&[&str]] = &[&["alice", "bob"], &["alice", "carol"], &["alice", "bob", "carol"]];
    let mut setup = setup(clock(), rooms);
    setup.excluded_rooms = vec!["!0:example.org".to_owned(), "!2:example.org".to_owned()];
    let server = Engine::start(setup);
    Client::new(&server, "alice").put(Online, "").await;
    let looks = |name: &str| {
        let client = Client::new(&server, name);
        async move { client.look_at("alice").await }
    };
    assert_eq!(looks("bob").await, None);
    assert_eq!(looks("carol").await.as_deref(), Some("online"));
    assert_eq!(looks("alice").await.as_deref(), Some("online"));
    // Without the exclusion the room shows her.
    let server = serve(rooms);
    Client::new(&server, "alice").put(Online, "").await;
    let bob = Client::new(&server, "bob");
    assert_eq!(bob.look_at("alice").await.as_deref(), Some("online"));
}

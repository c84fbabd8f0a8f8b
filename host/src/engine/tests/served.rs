//! What the server does for its modules, asked as they ask.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::{self, Busy, Offline, Online};
use presence_router_api::{PresenceUpdate, UserId};

use crate::clock::StandStill;
use crate::config::{self, Tracking};
use crate::engine::Engine;
use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{Client, clock, id, serve_routed, setup};
use crate::modules::Services;
use crate::modules::puppet::Mood;

const ALL_TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &["bob"],
};

/// A server without modules, whose time stands still.
struct Served {
    engine: Engine,
    services: Arc<dyn Services>,
    time: StandStill,
}

fn serve(rooms: &[&[&str]], presence: config::Presence) -> Served {
    let mut setup = setup(clock(), rooms);
    setup.presence = presence;
    let engine = Engine::start(setup);
    Served {
        services: engine.services(),
        engine,
        time: StandStill::begin(),
    }
}

fn becomes(name: &str, state: PresenceState, status_msg: &str) -> PresenceUpdate {
    PresenceUpdate::new(id(name), state).with_status_msg(status_msg)
}

fn user(id: &str) -> UserId {
    UserId::parse(id).expect("a test's user id is valid")
}

#[tokio::test(start_paused = true)]
async fn a_state_that_crosses_is_the_same_in_whose_memory_it_may_be_written() {
    let served = serve(&[&["alice", "bob"]], config::Presence::default());
    for (name, state, status_msg) in [("alice", Online, "a long message"), ("bob", Busy, "hi")] {
        served
            .services
            .set_presence_for_users(vec![becomes(name, state, status_msg)])
            .await
            .expect("stored");
    }
    let world = served.engine.0.world.read();
    let users: Vec<_> = world.directory.users().collect();
    let crossing = |user| world.crossing(user).expect("known");
    for one in &users {
        for other in &users {
            assert_eq!(world.crossing_in(*one, crossing(*other)), Some(crossing(*one)));
        }
    }
}

// Synapse tests/module_api/test_api.py: test_send_local_online_presence_to: once a device, online users only.
#[tokio::test(start_paused = true)]
async fn a_full_snapshot_comes_to_each_device_once_and_has_nobody_who_is_offline() {
    let server = serve(&[&["alice", "bob", "carol"]], config::Presence::default());
    let (alice, carol) = (
        Client::new(&server.engine, "alice"),
        Client::new(&server.engine, "carol"),
    );
    let (mut phone, mut laptop) = (
        Client::new(&server.engine, "bob/1"),
        Client::new(&server.engine, "bob/2"),
    );
    alice.put(Online, "hi").await;
    carol.put(Online, "").await;
    carol.put(Offline, "").await;
    for device in [&mut phone, &mut laptop] {
        device.sync().await;
    }
    let waiting = phone.long_poll(Duration::from_mins(1));
    tokio::task::yield_now().await;
    let snapshot = server.services.send_local_online_presence_to(vec![id("bob")]);
    snapshot.await.expect("is done");
    assert_eq!(phone.read(&waiting.await.expect("ends")), ["alice online hi"]);
    assert!(phone.sync().await.is_empty());
    assert_eq!(laptop.sync().await, ["alice online hi"]);
    assert!(laptop.sync().await.is_empty());
    // Nobody's status message was touched.
    assert_eq!(phone.look_at("alice").await.as_deref(), Some("online hi"));
}

// The same test: "users that are routed to by a module are part of it".
#[tokio::test(start_paused = true)]
async fn a_full_snapshot_has_whom_modules_show() {
    let server = serve_routed(&[], &[&ALL_TO_EVE.puppet()]).await;
    let mut eve = server.client("eve");
    for name in ["alice", "bob"] {
        server.client(name).put(Online, "").await;
    }
    server.settle().await;
    assert_eq!(eve.sync().await, ["alice online"]);
    let services = server.engine.services();
    services
        .send_local_online_presence_to(vec![id("eve")])
        .await
        .expect("is done");
    assert_eq!(eve.sync().await, ["alice online"]);
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_module_owes_of_a_full_snapshot_comes_when_it_answers_again() {
    let puppet = ALL_TO_EVE.puppet();
    let server = serve_routed(&[&["eve", "carol"]], &[&puppet]).await;
    let mut eve = server.client("eve");
    for name in ["alice", "carol"] {
        server.client(name).put(Online, "").await;
    }
    server.settle().await;
    assert_eq!(eve.sync().await, ["alice online", "carol online"]);
    puppet.set_mood(Mood::Fail);
    let services = server.engine.services();
    services
        .send_local_online_presence_to(vec![id("eve")])
        .await
        .expect("is done");
    assert_eq!(eve.sync().await, ["carol online"]);
    assert!(eve.sync().await.is_empty());
    puppet.set_mood(Mood::Answer);
    assert_eq!(eve.sync().await, ["alice online"]);
    assert!(eve.sync().await.is_empty());
}

// Synapse tests/module_api/test_api.py: the same for a user of another homeserver; online users whom they may see, at once.
#[tokio::test(start_paused = true)]
async fn a_full_snapshot_for_a_user_of_another_homeserver_is_queued_for_it() {
    let server = serve(&[&["alice", "bob"]], config::Presence::default());
    Client::new(&server.engine, "alice").put(Online, "").await;
    let far = user("@far:remote.example");
    let snapshot = server.services.send_local_online_presence_to(vec![far]);
    snapshot.await.expect("is done");
    // They share no room with Alice, and no module shows her.
    assert!(server.engine.0.world.read().destinations.is_empty());
}

// Synapse: `set_presence_for_users` tells also when nothing changes.
#[tokio::test(start_paused = true)]
async fn a_module_sets_presence_and_it_is_told() {
    let server = serve(&[&["alice", "bob"]], config::Presence::default());
    let mut bob = Client::new(&server.engine, "bob");
    bob.sync().await;
    for _ in 0..2 {
        let set = server
            .services
            .set_presence_for_users(vec![becomes("alice", Busy, "on call")]);
        set.await.expect("is done");
        assert_eq!(bob.sync().await, ["alice busy on call"]);
    }
    assert!(bob.sync().await.is_empty());
    let mut states = server
        .services
        .current_state_for_users(vec![id("alice"), user("@nobody:x")])
        .await
        .expect("is done");
    assert_eq!(states.remove(0).state, Busy);
    assert_eq!(states.remove(0).state, Offline);
}

#[tokio::test(start_paused = true)]
async fn a_status_message_that_is_too_long_is_refused_and_nothing_is_set() {
    let server = serve(&[&["alice", "bob"]], config::Presence::default());
    let long = "x".repeat(config::Presence::default().max_status_msg_bytes + 1);
    let set = server
        .services
        .set_presence_for_users(vec![becomes("bob", Online, ""), becomes("alice", Online, &long)]);
    let error = set.await.expect_err("is too long").to_string();
    assert!(error.contains("@alice:example.org"), "{error}");
    assert_eq!(
        Client::new(&server.engine, "bob").look_at("bob").await.as_deref(),
        Some("offline")
    );
}

// Synapse's config manual: with `untracked`, "presence updates from clients are ignored, and those of modules are sent".
#[tokio::test(start_paused = true)]
async fn untracked_presence_is_what_modules_say_and_does_not_time_out() {
    let presence = config::Presence {
        enabled: Tracking::Untracked,
        ..config::Presence::default()
    };
    let server = serve(&[&["alice", "bob"]], presence);
    let mut bob = Client::new(&server.engine, "bob");
    Client::new(&server.engine, "alice").put(Busy, "").await;
    assert!(bob.sync().await.is_empty());
    let set = server
        .services
        .set_presence_for_users(vec![becomes("alice", Online, "by a module")]);
    set.await.expect("is done");
    assert_eq!(bob.sync().await, ["alice online by a module"]);
    tokio::time::advance(Duration::from_hours(3)).await;
    server.time.until(|| true).await;
    assert_eq!(bob.look_at("alice").await.as_deref(), Some("online by a module"));
}

#[tokio::test(start_paused = true)]
async fn rooms_are_told_as_they_are() {
    let server = serve(&[&["alice", "bob"], &["alice"]], config::Presence::default());
    let services = &server.services;
    let users = services.users_in_room("!0:example.org".to_owned()).await;
    assert_eq!(users, Ok(vec![id("alice"), id("bob")]));
    assert_eq!(
        services.users_in_room("!none:example.org".to_owned()).await,
        Ok(vec![])
    );
    let rooms = services.rooms_for_user(id("alice")).await;
    assert_eq!(
        rooms,
        Ok(vec!["!0:example.org".to_owned(), "!1:example.org".to_owned()])
    );
    let hosts = services.hosts_in_room("!0:example.org".to_owned()).await;
    assert_eq!(hosts, Ok(vec!["example.org".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_answers_so() {
    let server = serve(&[], config::Presence::default());
    let services = Arc::clone(&server.services);
    server.engine.shutdown(Duration::from_secs(1)).await;
    let set = services.set_presence_for_users(vec![becomes("alice", Online, "")]);
    assert!(set.await.is_err());
}

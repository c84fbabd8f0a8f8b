//! What other homeservers say of their users: who sees it, what is left out, and that it lasts.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::{self, Busy, Offline, Online, Unavailable};
use presence_router_api::UserId;
use tokio::time::advance;

use crate::clock::StandStill;
use crate::config::Tracking;
use crate::directory::StaticSource;
use crate::engine::strangers::MOST_OF_A_SERVER;
use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{Client, clock, directory, serve, serve_routed, setup, up_to_date};
use crate::engine::tests::restarts::{Runs, moved};
use crate::engine::{Engine, RemotePresence, Setup};

const OLGA: &str = "@olga:other.test";
const LONG: Duration = Duration::from_mins(50);

fn user(id: &str) -> UserId {
    UserId::parse(id).expect("valid")
}

fn says(id: &str, state: PresenceState, status_msg: &str) -> RemotePresence {
    RemotePresence {
        user_id: user(id),
        state,
        last_active_ago: None,
        status_msg: Some(status_msg.to_owned()).filter(|message| !message.is_empty()),
        currently_active: false,
    }
}

/// Alice shares a room with Olga of another homeserver.
fn with_olga(setup: &mut Setup) {
    let mut directory = directory(&[&["alice"]]);
    for members in directory.rooms.values_mut() {
        members.insert(user(OLGA));
    }
    setup.source = Arc::new(StaticSource::new(&directory));
}

fn start(set: impl FnOnce(&mut Setup)) -> Engine {
    let mut setup = setup(clock(), &[]);
    with_olga(&mut setup);
    set(&mut setup);
    Engine::start(setup)
}

async fn receive(engine: &Engine, updates: Vec<RemotePresence>) {
    // It waits for the disk, that is for a real thread.
    let _time = StandStill::begin();
    engine
        .receive_presence(updates)
        .await
        .expect("there is room for it");
}

fn knows(engine: &Engine, id: &str) -> bool {
    engine.0.world.read().directory.key(id).is_some()
}

#[tokio::test(start_paused = true)]
async fn who_shares_a_room_with_a_remote_user_hears_of_them_at_once() {
    let engine = start(|_| {});
    let (mut alice, mut bob) = (Client::new(&engine, "alice"), Client::new(&engine, "bob"));
    alice.sync().await;
    bob.sync().await;
    let poll = alice.long_poll(LONG);
    receive(&engine, vec![says(OLGA, Online, "hi")]).await;
    assert_eq!(alice.read(&poll.await.expect("ends")), ["olga online hi"]);
    assert!(bob.sync().await.is_empty());
    // The last word counts.
    receive(&engine, vec![says(OLGA, Busy, ""), says(OLGA, Unavailable, "")]).await;
    assert_eq!(alice.sync().await, ["olga unavailable"]);
    assert_eq!(alice.look_at("olga").await, None, "another server's");
}

#[tokio::test(start_paused = true)]
async fn a_module_routes_a_stranger_to_whom_it_likes() {
    let puppet = Broadcast {
        to: &["eve"],
        but_of: &[],
    }
    .puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    let mut eve = server.client("eve");
    eve.sync().await;
    let poll = eve.long_poll(LONG);
    receive(&server.engine, vec![says("@zoe:far.test", Online, "hi")]).await;
    assert_eq!(eve.read(&poll.await.expect("ends")), ["zoe online hi"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_speaks_for_this_homeservers_users() {
    let engine = start(|_| {});
    let mut alice = Client::new(&engine, "alice");
    alice.put(Online, "mine").await;
    alice.sync().await;
    let forged = ["@alice:example.org", "@nobody:example.org"].map(|id| says(id, Busy, "forged"));
    receive(&engine, forged.into()).await;
    assert!(alice.sync().await.is_empty());
    assert!(!knows(&engine, "@nobody:example.org"));
}

#[tokio::test(start_paused = true)]
async fn of_strangers_no_more_are_kept_than_there_is_room_for() {
    let engine = serve(&[]);
    receive(&engine, vec![says("@gone:far.test", Offline, "")]).await;
    assert!(!knows(&engine, "@gone:far.test"), "being offline is no news");
    receive(&engine, vec![says("@gone:far.test", Offline, "bye")]).await;
    assert!(knows(&engine, "@gone:far.test"));
    {
        let mut world = engine.0.world.write();
        for _ in 1..MOST_OF_A_SERVER {
            assert!(world.strangers.admit("far.test"));
        }
    }
    let more = [
        ("@new:far.test", false),
        ("@gone:far.test", true),
        ("@new:near.test", true),
    ];
    let updates = more.map(|(id, _)| says(id, Online, ""));
    receive(&engine, updates.into()).await;
    for (id, known) in more {
        assert_eq!(knows(&engine, id), known, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_of_an_earlier_run_are_counted_and_who_is_in_a_room_is_not() {
    let runs = Runs::new();
    let first = runs.run_set(&[], with_olga);
    receive(
        &first,
        vec![says(OLGA, Online, ""), says("@zoe:other.test", Online, "")],
    )
    .await;
    runs.stop(&first).await;
    let second = runs.run_set(&[], with_olga);
    let mut world = second.0.world.write();
    let admitted = (0..=MOST_OF_A_SERVER).filter(|_| world.strangers.admit("other.test"));
    assert_eq!(
        admitted.count(),
        MOST_OF_A_SERVER as usize - 1,
        "Zoe takes one place"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_long_is_left_out_and_the_state_counts() {
    let engine = start(|setup| setup.presence.max_status_msg_bytes = 8);
    let mut alice = Client::new(&engine, "alice");
    alice.sync().await;
    receive(&engine, vec![says(OLGA, Online, "ääää")]).await;
    assert_eq!(alice.sync().await, ["olga online ääää"]);
    receive(&engine, vec![says(OLGA, Online, "ääääa")]).await;
    assert_eq!(alice.sync().await, ["olga online"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_activity_counts_from_the_arrival() {
    let engine = start(|_| {});
    let now = engine.0.clock.now_ms();
    let last_active = || {
        let world = engine.0.world.read();
        let olga = world.directory.key(OLGA).expect("known");
        world.presence.state(olga).last_active_ts
    };
    for (ago, expected) in [
        (Some(40), now - 40),
        (None, now - 40),
        (Some(0), now),
        (Some(u64::MAX), 0),
    ] {
        let update = RemotePresence {
            last_active_ago: ago,
            ..says(OLGA, Online, "")
        };
        receive(&engine, vec![update]).await;
        assert_eq!(last_active(), expected, "{ago:?}");
    }
}

// Synapse tests/handlers/test_presence.py: test_federation_timeout.
#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_leaves_nobody_online_for_ever_over_a_restart_too() {
    let runs = Runs::new();
    let first = runs.run_set(&[], with_olga);
    let mut alice = Client::new(&first, "alice");
    alice.sync().await;
    receive(&first, vec![says(OLGA, Online, "hi")]).await;
    assert_eq!(alice.sync().await, ["olga online hi"]);
    advance(Duration::from_mins(20)).await;
    // Nothing that anybody sees has changed, but she is heard of.
    receive(&first, vec![says(OLGA, Online, "hi")]).await;
    assert!(alice.sync().await.is_empty());
    runs.stop(&first).await;

    let second = runs.run_set(&[], with_olga);
    let mut alice = moved(&alice, &second, "alice");
    advance(Duration::from_mins(20)).await;
    up_to_date(&second).await;
    assert!(alice.sync().await.is_empty());
    let poll = alice.long_poll(LONG);
    while !poll.is_finished() {
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(alice.read(&poll.await.expect("ends")), ["olga offline hi"]);
}

#[tokio::test(start_paused = true)]
async fn while_presence_is_not_tracked_all_is_ignored() {
    for tracking in [Tracking::Disabled, Tracking::Untracked] {
        let engine = start(|setup| setup.presence.enabled = tracking);
        receive(
            &engine,
            vec![says(OLGA, Online, "hi"), says("@zoe:far.test", Online, "")],
        )
        .await;
        assert!(
            Client::new(&engine, "alice").sync().await.is_empty(),
            "{tracking:?}"
        );
        assert!(!knows(&engine, "@zoe:far.test"), "{tracking:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_transactions_are_applied_at_a_time_and_the_next_is_refused() {
    let engine = serve(&[]);
    let permits = Arc::clone(&engine.0.receiving);
    let all = permits.acquire_many(16).await.expect("open");
    assert_eq!(engine.0.receiving.available_permits(), 0);
    let refused = engine.receive_presence(vec![says(OLGA, Online, "")]).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(!knows(&engine, OLGA));
    drop(all);
    receive(&engine, vec![says(OLGA, Online, "")]).await;
    assert!(knows(&engine, OLGA));
    assert_eq!(engine.0.receiving.available_permits(), 16);
}

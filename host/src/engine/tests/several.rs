//! Several routers: what they say is united, and what one of them does not say holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::{Offline, Online, Unavailable};

use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{id, serve_routed};
use crate::modules::puppet::{Mood, Puppet};

const ALL_TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &[],
};
const BUT_ALICE_TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &["alice"],
};
const ALL_TO_DAVE: Broadcast = Broadcast {
    to: &["dave"],
    but_of: &[],
};

// Synapse tests/events/test_presence_router.py: several modules' answers are united.
#[tokio::test(start_paused = true)]
async fn what_the_routers_say_is_united() {
    let (first, second) = (BUT_ALICE_TO_EVE.puppet(), ALL_TO_DAVE.puppet());
    let server = serve_routed(&[], &[&first, &second]).await;
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    let (mut dave, mut eve) = (server.client("dave"), server.client("eve"));
    assert!(dave.sync().await.is_empty() && eve.sync().await.is_empty());
    alice.put(Online, "").await;
    bob.put(Unavailable, "").await;
    server.routed("alice").await;
    server.routed("bob").await;
    assert_eq!(dave.sync().await, ["alice online", "bob unavailable"]);
    assert_eq!(eve.sync().await, ["bob unavailable"]);
    assert!(dave.sync().await.is_empty() && eve.sync().await.is_empty());
    assert_eq!(
        server.client("dave").sync().await,
        ["alice online", "bob unavailable"]
    );
    assert_eq!(server.client("eve").sync().await, ["bob unavailable"]);
    assert_eq!(eve.look_at("alice").await, None);
    assert_eq!(dave.look_at("alice").await.as_deref(), Some("online"));
}

#[tokio::test(start_paused = true)]
async fn what_two_routers_say_is_told_once_also_when_one_is_late() {
    let (first, second) = (ALL_TO_EVE.puppet(), ALL_TO_EVE.puppet());
    let server = serve_routed(&[], &[&first, &second]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    assert!(eve.sync().await.is_empty());
    alice.put(Online, "one").await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online one"]);
    assert!(eve.sync().await.is_empty());

    second.set_mood(Mood::Fail);
    alice.put(Online, "two").await;
    let told = eve.long_poll(Duration::from_secs(5));
    server.pass_until(|| told.is_finished()).await;
    assert_eq!(eve.read(&told.await.expect("ends")), ["alice online two"]);
    second.set_mood(Mood::Answer);
    server.settle().await;
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_router_that_fails_owes_its_part_alone() {
    let (good, bad) = (BUT_ALICE_TO_EVE.puppet(), ALL_TO_EVE.puppet());
    let server = serve_routed(&[], &[&good, &bad]).await;
    let (alice, bob, mut eve) = (server.client("alice"), server.client("bob"), server.client("eve"));
    alice.put(Online, "").await;
    bob.put(Online, "").await;
    server.settle().await;
    bad.set_mood(Mood::Fail);
    // Bob by the one that answers; the other owes Alice.
    assert_eq!(eve.sync().await, ["bob online"]);
    assert!(eve.sync().await.is_empty());
    bad.set_mood(Mood::Answer);
    // What both say of Bob was told already.
    let told = eve.long_poll(Duration::from_secs(5));
    server.pass_until(|| told.is_finished()).await;
    assert_eq!(eve.read(&told.await.expect("ends")), ["alice online"]);
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_replaces_shared_rooms_does_so_for_all() {
    let (first, second) = (BUT_ALICE_TO_EVE.puppet(), Arc::new(Puppet::silent().replacing()));
    let server = serve_routed(&[&["alice", "bob"]], &[&first, &second]).await;
    let (alice, mut bob) = (server.client("alice"), server.client("bob"));
    alice.put(Online, "").await;
    server.routed("alice").await;
    assert!(bob.sync().await.is_empty());
    assert_eq!(bob.look_at("alice").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_router_that_comes_later_shows_who_is_there_already() {
    let first = BUT_ALICE_TO_EVE.puppet();
    let server = serve_routed(&[], &[&first]).await;
    let (alice, bob, mut eve) = (server.client("alice"), server.client("bob"), server.client("eve"));
    alice.put(Online, "").await;
    bob.put(Online, "").await;
    server.settle().await;
    assert_eq!(eve.sync().await, ["bob online"]);
    let server = server.attach(&ALL_TO_EVE.puppet()).await;
    server.settle().await;
    // Bob was told of already.
    assert_eq!(eve.sync().await, ["alice online"]);
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_router_that_comes_instead_of_rooms_tells_who_has_gone_since_they_were_read() {
    let server = serve_routed(&[&["alice", "eve"]], &[]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    alice.put(Online, "").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    alice.put(Offline, "").await;
    let router = Arc::new(ALL_TO_EVE.plain_puppet().replacing());
    let server = server.attach(&router).await;
    server.settle().await;
    assert_eq!(eve.sync().await, ["alice offline"]);
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_snapshot_says_who_has_gone_when_a_router_came_instead_of_rooms_and_only_once() {
    let server = serve_routed(&[&["alice", "eve"]], &[]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    alice.put(Online, "").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    alice.put(Offline, "").await;
    let services = server.engine.services();
    let snapshot = services.send_local_online_presence_to(vec![id("eve")]);
    snapshot.await.expect("noted");
    let router = Arc::new(ALL_TO_EVE.plain_puppet().replacing());
    let server = server.attach(&router).await;
    server.settle().await;
    assert_eq!(eve.sync().await, ["alice offline"]);
    let services = server.engine.services();
    let again = services.send_local_online_presence_to(vec![id("eve")]);
    again.await.expect("noted");
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_snapshot_does_not_say_again_who_has_gone_though_that_was_routed_late() {
    let puppet = ALL_TO_EVE.puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    let alice = server.client("alice");
    alice.put(Online, "").await;
    server.routed("alice").await;
    let mut eve = server.client("eve");
    assert_eq!(eve.sync().await, ["alice online"]);
    puppet.set_mood(Mood::Fail);
    let asked = puppet.asked().len();
    alice.put(Offline, "").await;
    puppet.asked_until(|all| all.len() > asked).await;
    // By asking, before it is routed.
    puppet.set_mood(Mood::Answer);
    assert_eq!(eve.sync_full().await, ["alice offline"]);
    server.settle().await;
    let services = server.engine.services();
    let snapshot = services.send_local_online_presence_to(vec![id("eve")]);
    snapshot.await.expect("noted");
    assert!(eve.sync().await.is_empty());
}

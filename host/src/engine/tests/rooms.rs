//! Presence between people who share a room: no module, and nobody waits.

use std::time::Duration;

use presence_router_api::PresenceState::{Busy, Offline, Online, Unavailable};
use presence_router_api::PresenceUpdate;

use crate::clock::StandStill;
use crate::delivery::PresenceFilter;
use crate::engine::SetPresence;
use crate::engine::tests::kit::{Client, all_but, id, serve};

/// More than `sync_online_timeout`.
const AWAY: Duration = Duration::from_secs(31);

#[tokio::test(start_paused = true)]
async fn room_mates_and_oneself_are_seen_and_strangers_are_not() {
    let server = serve(&[&["alice", "bob"], &["bob", "carol"]]);
    let client = |name: &str| Client::new(&server, name);
    let (alice, mut bob, mut carol, mut dave) =
        (client("alice"), client("bob"), client("carol"), client("dave"));
    for client in [&mut bob, &mut carol, &mut dave] {
        assert!(client.sync().await.is_empty());
    }
    // The answer to a PUT means that syncs see it.
    alice.put(Online, "hi").await;
    assert_eq!(bob.sync().await, ["alice online hi"]);
    assert!(carol.sync().await.is_empty());
    assert!(dave.sync().await.is_empty());
    assert_eq!(client("bob").sync().await, ["alice online hi"]);
    assert_eq!(client("alice").sync().await, ["alice online hi"]);
    assert!(client("carol").sync().await.is_empty());

    bob.put(Unavailable, "").await;
    assert_eq!(bob.sync().await, ["bob unavailable"]);
    assert_eq!(carol.sync().await, ["bob unavailable"]);
    assert!(dave.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn presence_of_is_for_oneself_and_room_mates() {
    let server = serve(&[&["alice", "bob"]]);
    Client::new(&server, "alice").put(Busy, "hi").await;
    for (reader, seen) in [
        ("alice", Some("busy hi")),
        ("bob", Some("busy hi")),
        ("carol", None),
    ] {
        let reader = Client::new(&server, reader);
        assert_eq!(reader.look_at("alice").await.as_deref(), seen);
        assert_eq!(reader.look_at("nobody").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_is_told_once_and_only_the_newest_state() {
    let server = serve(&[&["alice", "bob"], &["alice", "bob", "carol"]]);
    let (alice, mut bob) = (Client::new(&server, "alice"), Client::new(&server, "bob"));
    assert!(bob.sync().await.is_empty());
    alice.put(Online, "one").await;
    alice.put(Unavailable, "two").await;
    let before = bob.since.clone();
    assert_eq!(bob.sync().await, ["alice unavailable two"]);
    assert!(bob.sync().await.is_empty());
    alice.put(Unavailable, "two").await;
    assert!(bob.sync().await.is_empty());
    // An answer that did not arrive can be had again.
    bob.since = before;
    assert_eq!(bob.sync().await, ["alice unavailable two"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_leaves_out_who_is_offline_and_a_later_one_does_not() {
    let server = serve(&[&["alice", "bob"]]);
    let (alice, mut bob) = (Client::new(&server, "alice"), Client::new(&server, "bob"));
    alice.put(Online, "").await;
    assert_eq!(bob.sync().await, ["alice online"]);
    alice.put(Offline, "bye").await;
    assert!(Client::new(&server, "bob").sync().await.is_empty());
    assert_eq!(bob.sync().await, ["alice offline bye"]);
    assert!(bob.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn full_state_is_all_that_one_sees_and_who_has_gone_since() {
    let server = serve(&[&["alice", "bob", "carol", "dave"]]);
    let client = |name: &str| Client::new(&server, name);
    let (alice, carol, dave, mut bob) = (client("alice"), client("carol"), client("dave"), client("bob"));
    alice.put(Online, "").await;
    carol.put(Online, "").await;
    dave.put(Offline, "never seen").await;
    assert_eq!(bob.sync().await, ["alice online", "carol online"]);
    carol.put(Offline, "").await;
    assert_eq!(bob.sync_full().await, ["alice online", "carol offline"]);
    assert!(bob.sync().await.is_empty());
    assert_eq!(bob.sync_full().await, ["alice online"]);
}

#[tokio::test(start_paused = true)]
async fn the_busiest_of_two_devices_counts() {
    let server = serve(&[&["alice", "bob"]]);
    let (phone, laptop) = (Client::new(&server, "alice/1"), Client::new(&server, "alice/2"));
    let mut bob = Client::new(&server, "bob");
    assert!(bob.sync().await.is_empty());
    phone.put(Unavailable, "").await;
    assert_eq!(bob.sync().await, ["alice unavailable"]);
    laptop.put(Online, "").await;
    assert_eq!(bob.sync().await, ["alice online"]);
    phone.put(Busy, "").await;
    assert_eq!(bob.sync().await, ["alice busy"]);
    phone.put(Offline, "").await;
    assert_eq!(bob.sync().await, ["alice online"]);
    // Each device of the reader has a stream of its own.
    let mut other = Client::new(&server, "bob/2");
    assert_eq!(other.sync().await, ["alice online"]);
    laptop.put(Unavailable, "").await;
    assert_eq!(bob.sync().await, ["alice unavailable"]);
    assert_eq!(other.sync().await, ["alice unavailable"]);
}

#[tokio::test(start_paused = true)]
async fn a_sync_sets_presence_as_it_says() {
    let server = serve(&[&["alice", "bob"]]);
    let (mut alice, mut bob) = (Client::new(&server, "alice"), Client::new(&server, "bob"));
    alice.sync().await;
    assert_eq!(bob.look_at("alice").await.as_deref(), Some("offline"));
    for (set_presence, seen) in [
        (SetPresence::Unavailable, "alice unavailable"),
        (SetPresence::Online, "alice online"),
    ] {
        bob.sync().await;
        alice.set_presence = set_presence;
        alice.sync().await;
        assert_eq!(bob.sync().await, [seen]);
    }
    alice.set_presence = SetPresence::Offline;
    alice.sync().await;
    assert!(bob.sync().await.is_empty());
    tokio::time::sleep(AWAY).await;
    assert_eq!(bob.sync().await, ["alice offline"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_filter_leaves_out_does_not_come_later() {
    let server = serve(&[&["alice", "bob", "carol"]]);
    let mut bob = Client::new(&server, "bob");
    bob.filter = all_but(["alice"]);
    Client::new(&server, "alice").put(Online, "").await;
    Client::new(&server, "carol").put(Online, "").await;
    assert_eq!(bob.sync().await, ["carol online"]);
    Client::new(&server, "alice").put(Unavailable, "").await;
    assert!(bob.sync().await.is_empty());
    bob.filter = PresenceFilter::default();
    assert!(bob.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_many_changes_that_come_at_once_the_newest_of_each_user_is_told_once() {
    let names: Vec<_> = (0..100).map(|number| format!("user{number}")).collect();
    let mut room: Vec<_> = names.iter().map(String::as_str).collect();
    room.extend(["alice", "bob", "carol"]);
    let engine = serve(&[&room]);
    let mut bob = Client::new(&engine, "bob");
    bob.sync().await;
    let told = |message: &str| {
        let mut told: Vec<_> = names
            .iter()
            .map(|name| format!("{name} online {message}"))
            .collect();
        told.sort_unstable();
        told
    };
    let says = |message: &'static str| {
        names.iter().map(move |name| PresenceUpdate {
            user_id: id(name),
            state: Online,
            status_msg: Some(message.to_owned()),
        })
    };
    // What is set waits for the disk, that is for a real thread.
    let _time = StandStill::begin();
    let updates = says("first").chain(says("second")).collect();
    let set = engine.services().set_presence_for_users(updates);
    set.await.expect("is done");
    let mut seen = bob.sync().await;
    seen.sort_unstable();
    assert_eq!(seen, told("second"));

    let clients = ["alice", "carol"].map(|name| Client::new(&engine, name));
    let put = |(client, message): (&Client, String)| {
        let client = client.clone();
        tokio::spawn(async move { client.put(Online, &message).await })
    };
    let puts = (0..100).flat_map(|number| clients.iter().map(move |client| (client, number.to_string())));
    let puts: Vec<_> = puts.map(put).collect();
    for put in puts {
        put.await.expect("is done");
    }
    let mut seen = bob.sync().await;
    seen.sort_unstable();
    assert_eq!(seen, ["alice online 99", "carol online 99"]);
    assert!(bob.sync().await.is_empty());
}

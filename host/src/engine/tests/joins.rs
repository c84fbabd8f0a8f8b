//! People who come into rooms and leave them while the server runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use presence_router_api::PresenceState::{Offline, Online, Unavailable};

use crate::config;
use crate::directory::StaticSource;
use crate::engine::Engine;
use crate::engine::tests::kit::{Client, USERS, clock, has_rooms, id, setup};

/// A server whose rooms a test changes.
struct Rooms {
    engine: Engine,
    source: Arc<StaticSource>,
}

const ROOMS: [&str; 2] = ["!one:example.org", "!two:example.org"];

fn directory(rooms: [&[&str]; 2], users: &[&str]) -> config::Directory {
    let user = |name: &&str| {
        let access_tokens = vec![format!("{name}/1"), format!("{name}/2")];
        (id(name), config::StaticUser { access_tokens })
    };
    let members = |members: &[&str]| members.iter().map(|name| id(name)).collect();
    config::Directory {
        users: users.iter().map(user).collect(),
        rooms: BTreeMap::from([
            (ROOMS[0].to_owned(), members(rooms[0])),
            (ROOMS[1].to_owned(), members(rooms[1])),
        ]),
        ..config::Directory::default()
    }
}

impl Rooms {
    fn serve(rooms: [&[&str]; 2]) -> Self {
        Self::serve_without(rooms, &[])
    }

    fn serve_without(rooms: [&[&str]; 2], excluded: &[&str]) -> Self {
        let source = Arc::new(StaticSource::new(&directory(rooms, &USERS)));
        let mut setup = setup(clock(), &[]);
        setup.source = Arc::<StaticSource>::clone(&source);
        setup.excluded_rooms = excluded.iter().map(ToString::to_string).collect();
        Self {
            engine: Engine::start(setup),
            source,
        }
    }

    fn client(&self, name: &str) -> Client {
        Client::new(&self.engine, name)
    }

    /// Returns when the server has applied it.
    async fn now_are(&self, rooms: [&[&str]; 2]) {
        self.replace(&directory(rooms, &USERS)).await;
    }

    async fn replace(&self, directory: &config::Directory) {
        self.source.replace(directory);
        while !has_rooms(&self.engine, directory) {
            tokio::task::yield_now().await;
        }
    }
}

// Synapse tests/handlers/test_presence.py: the cases of PresenceJoinTestCase, here for local users; and sytest "Newly joined
// room includes presence in incremental sync".
#[tokio::test(start_paused = true)]
async fn who_joins_a_room_sees_its_members_once_and_they_see_them_once() {
    let server = Rooms::serve([&["alice", "bob"], &[]]);
    let (alice, mut bob, mut carol) = (
        server.client("alice"),
        server.client("bob"),
        server.client("carol"),
    );
    alice.put(Online, "hi").await;
    carol.put(Unavailable, "away").await;
    assert_eq!(bob.sync().await, ["alice online hi"]);
    assert_eq!(carol.sync().await, ["carol unavailable away"]);

    let waiting = bob.long_poll(Duration::from_secs(10));
    server.now_are([&["alice", "bob", "carol"], &[]]).await;
    assert_eq!(
        bob.read(&waiting.await.expect("ends")),
        ["carol unavailable away"]
    );
    assert!(bob.sync().await.is_empty());
    // Bob has never been anything: there is nothing to say of him.
    assert_eq!(carol.sync().await, ["alice online hi"]);
    assert!(carol.sync().await.is_empty());
    assert_eq!(carol.look_at("alice").await.as_deref(), Some("online hi"));
}

#[tokio::test(start_paused = true)]
async fn who_is_seen_already_is_not_told_of_again_for_another_room() {
    let server = Rooms::serve([&["alice", "bob"], &["bob"]]);
    let (alice, mut bob) = (server.client("alice"), server.client("bob"));
    alice.put(Online, "").await;
    assert_eq!(bob.sync().await, ["alice online"]);
    server.now_are([&["alice", "bob"], &["alice", "bob"]]).await;
    assert!(bob.sync().await.is_empty());
    server.now_are([&[], &["alice", "bob"]]).await;
    assert!(bob.sync().await.is_empty());
    alice.put(Offline, "").await;
    assert_eq!(bob.sync().await, ["alice offline"]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_seen_no_more_and_who_comes_back_is_told_of() {
    let server = Rooms::serve([&["alice", "bob"], &[]]);
    let (alice, mut bob) = (server.client("alice"), server.client("bob"));
    alice.put(Online, "one").await;
    assert_eq!(bob.sync().await, ["alice online one"]);
    server.now_are([&["bob"], &[]]).await;
    alice.put(Online, "two").await;
    assert!(bob.sync().await.is_empty());
    assert_eq!(bob.look_at("alice").await, None);
    server.now_are([&["alice", "bob"], &[]]).await;
    assert_eq!(bob.sync().await, ["alice online two"]);
    assert!(bob.sync().await.is_empty());
}

// Synapse: `exclude_rooms_from_presence`.
#[tokio::test(start_paused = true)]
async fn an_excluded_room_shows_nobody_to_nobody_not_even_who_joins() {
    let server = Rooms::serve_without([&["alice", "bob"], &[]], &[ROOMS[0]]);
    let (alice, mut bob, mut carol) = (
        server.client("alice"),
        server.client("bob"),
        server.client("carol"),
    );
    assert!(carol.sync().await.is_empty());
    alice.put(Online, "").await;
    assert!(bob.sync().await.is_empty());
    assert_eq!(bob.look_at("alice").await, None);
    server.now_are([&["alice", "bob", "carol"], &[]]).await;
    assert!(carol.sync().await.is_empty());
    assert!(bob.sync().await.is_empty());
    // Another room that they share counts.
    server
        .now_are([&["alice", "bob", "carol"], &["alice", "carol"]])
        .await;
    assert_eq!(carol.sync().await, ["alice online"]);
    assert!(bob.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_good_no_more_and_ends_its_long_poll() {
    let server = Rooms::serve([&["alice", "bob"], &[]]);
    let mut bob = server.client("bob");
    bob.sync().await;
    let waiting = bob.long_poll(Duration::from_mins(10));
    tokio::task::yield_now().await;
    let mut without = directory([&["alice"], &[]], &["alice", "carol", "dave", "eve"]);
    without.users.insert(
        id("frank"),
        config::StaticUser {
            access_tokens: vec!["frank/1".into()],
        },
    );
    server.replace(&without).await;
    let before = tokio::time::Instant::now();
    assert!(waiting.await.expect("ends").events.is_empty());
    assert!(before.elapsed() < Duration::from_secs(1));
    assert!(server.engine.session("bob/1").await.is_none());
    let frank = || server.engine.session("frank/1").now_or_never().flatten();
    while frank().is_none() {
        tokio::task::yield_now().await;
    }
}

//! What modules route: to whom, once, and nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use presence_router_api::PresenceState::{Busy, Offline, Online, Unavailable};
use presence_router_api::Routes;

use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{id, key, serve_routed};
use crate::modules::puppet::{Asked, Gate, Mood, Puppet};

const LONG: Duration = Duration::from_mins(50);
/// Eve hears of everybody but Dave.
const TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &["dave"],
};

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_its_audience_alone_and_leaves_out_the_blacklisted() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    let client = |name: &str| server.client(name);
    let (alice, mut carol, mut eve) = (client("alice"), client("carol"), client("eve"));
    eve.sync().await;
    carol.sync().await;
    client("dave").put(Online, "").await;
    server.routed("dave").await;
    assert!(eve.sync().await.is_empty());

    let (of_eve, of_carol) = (eve.long_poll(LONG), carol.long_poll(LONG));
    alice.put(Online, "hi").await;
    assert_eq!(eve.read(&of_eve.await.expect("ends")), ["alice online hi"]);
    assert!(!of_carol.is_finished());
    assert!(eve.sync().await.is_empty());
    alice.put(Offline, "").await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice offline"]);

    assert_eq!(eve.look_at("alice").await.as_deref(), Some("offline"));
    assert_eq!(eve.look_at("dave").await, None);
    assert_eq!(carol.look_at("alice").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_asks_and_what_it_was_told_is_not_told_again() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    for (name, state) in [
        ("alice", Online),
        ("bob", Busy),
        ("carol", Offline),
        ("dave", Online),
    ] {
        server.client(name).put(state, "").await;
    }
    // Routed or not yet: the routing is no news to who has asked.
    let mut early = server.client("eve");
    assert_eq!(early.sync().await, ["alice online", "bob busy"]);
    server.routed("dave").await;
    let mut late = server.client("eve/2");
    assert_eq!(late.sync().await, ["alice online", "bob busy"]);
    server.client("alice").put(Unavailable, "").await;
    server.routed("alice").await;
    for mut eve in [early, late] {
        assert_eq!(eve.sync().await, ["alice unavailable"]);
        assert!(eve.sync().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn who_shares_a_room_and_is_routed_to_is_told_once() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[&["alice", "eve"]], &[&puppet]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    eve.sync().await;
    for message in ["one", "two", "three"] {
        alice.put(Online, message).await;
        // By the room, at once.
        assert_eq!(eve.sync().await, [format!("alice online {message}")]);
        server.routed("alice").await;
        assert!(eve.sync().await.is_empty());
    }
    assert_eq!(server.client("eve").sync().await, ["alice online three"]);
}

#[tokio::test(start_paused = true)]
async fn an_audience_that_is_registered_anew_for_each_batch_misses_nothing() {
    let puppet = TO_EVE.forgetful_puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    eve.sync().await;
    for message in ["one", "two", "three"] {
        let (gate, opener) = Gate::closed();
        puppet.set_mood(Mood::Block(gate));
        let asked = puppet.asked().len();
        alice.put(Online, message).await;
        puppet.asked_until(|all| all.len() > asked).await;
        puppet.set_mood(Mood::Answer);
        // It reads past the change, which is still on its way through the module.
        assert!(eve.sync().await.is_empty());
        let read = eve.since.clone().expect("synced").common().routed;
        drop(opener);
        let (world, reader) = (&server.engine.0.world, key(&server.engine, "eve"));
        server
            .time
            .until(|| {
                world
                    .read()
                    .streams
                    .routed_floor(server.engine.0.feeds()[0].tag(), reader)
                    > read
            })
            .await;
        assert_eq!(eve.sync().await, [format!("alice online {message}")]);
        assert!(eve.sync().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_module_that_replaces_shared_rooms_has_the_only_say() {
    let audience = OnceLock::new();
    let puppet = Puppet::new(
        move |api, updates| TO_EVE.route(updates, audience.get_or_init(|| TO_EVE.audience(api))),
        |user| TO_EVE.interested(user),
    );
    let puppet = Arc::new(puppet.replacing());
    let server = serve_routed(&[&["alice", "bob", "eve"], &["dave", "eve"]], &[&puppet]).await;
    let client = |name: &str| server.client(name);
    let (mut alice, mut bob, mut eve) = (client("alice"), client("bob"), client("eve"));
    for client in [&mut alice, &mut bob, &mut eve] {
        client.sync().await;
    }
    alice.put(Online, "").await;
    client("dave").put(Online, "").await;
    server.routed("alice").await;
    server.routed("dave").await;
    assert_eq!(alice.sync().await, ["alice online"]);
    assert!(bob.sync().await.is_empty());
    assert_eq!(eve.sync().await, ["alice online"]);
    assert!(client("bob").sync().await.is_empty());
    assert_eq!(client("eve").sync().await, ["alice online"]);
    assert_eq!(bob.look_at("alice").await, None);
    assert_eq!(eve.look_at("dave").await, None);
    assert_eq!(eve.look_at("alice").await.as_deref(), Some("online"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_with_a_list_of_friends_sees_these() {
    // Alice goes to Carol, by a list that comes with the answer.
    let puppet = Arc::new(Puppet::new(
        |_, updates| {
            let mut routes = Routes::new();
            let of_alice = updates
                .iter()
                .filter(|update| update.user_id() == id("alice").as_str());
            routes.send_to_users(of_alice, [&id("carol")]);
            routes
        },
        |user| {
            let friends = (*user == id("carol")).then(|| id("alice"));
            friends.into_iter().collect()
        },
    ));
    let server = serve_routed(&[], &[&puppet]).await;
    let (alice, bob, mut carol) = (
        server.client("alice"),
        server.client("bob"),
        server.client("carol"),
    );
    alice.put(Online, "").await;
    bob.put(Online, "").await;
    assert_eq!(carol.sync().await, ["alice online"]);
    assert!(server.client("dave").sync().await.is_empty());
    alice.put(Unavailable, "").await;
    bob.put(Unavailable, "").await;
    server.routed("alice").await;
    server.routed("bob").await;
    assert_eq!(carol.sync().await, ["alice unavailable"]);
    assert!(carol.sync().await.is_empty());
    assert_eq!(carol.look_at("alice").await.as_deref(), Some("unavailable"));
    assert_eq!(carol.look_at("bob").await, None);
    assert_eq!(bob.look_at("alice").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_look_is_not_answered_with_a_state_that_the_module_was_not_asked_about() {
    // It shows Alice when it is first asked, and nobody later.
    let times = AtomicUsize::new(0);
    let puppet = Arc::new(Puppet::new(
        |_, _| Routes::new(),
        move |_| {
            let first = times.fetch_add(1, Ordering::Relaxed) == 0;
            first.then(|| id("alice")).into_iter().collect()
        },
    ));
    let server = serve_routed(&[], &[&puppet]).await;
    let (gate, opener) = Gate::closed();
    puppet.set_mood(Mood::Block(gate));
    let carol = server.client("carol");
    let looking = tokio::spawn(async move { carol.look_at("alice").await });
    puppet.asked_until(|all| !all.is_empty()).await;
    puppet.set_mood(Mood::Answer);
    server.client("alice").put(Online, "new").await;
    drop(opener);
    assert_eq!(looking.await.expect("ends"), None);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_routed_once_though_it_is_marked_twice() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    server.client("alice").put(Online, "").await;
    server.routed("alice").await;
    // As when a change is made after its user was taken and before their state is read.
    server.engine.0.feeds()[0].mark(&[key(&server.engine, "alice")]);
    server.client("bob").put(Online, "").await;
    server.routed("bob").await;
    let route = |name: &str| Asked::Route(vec![id(name).as_str().to_owned()], None);
    assert_eq!(puppet.asked(), [route("alice"), route("bob")]);
}

#[tokio::test(start_paused = true)]
async fn incremental_syncs_ask_no_module() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[&["alice", "bob"]], &[&puppet]).await;
    let mut readers = [server.client("eve"), server.client("bob")];
    for reader in &mut readers {
        reader.sync().await;
    }
    let first_syncs = puppet.asked().len();
    for message in ["one", "two"] {
        server.client("alice").put(Online, message).await;
        server.routed("alice").await;
        for reader in &mut readers {
            assert_eq!(reader.sync().await, [format!("alice online {message}")]);
        }
    }
    assert_eq!(puppet.asked().len(), first_syncs + 2);
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_shows_no_state_that_came_while_it_asked() {
    // Carol may see Alice, but nothing is routed to her.
    let puppet = Arc::new(Puppet::new(
        |_, _| Routes::new(),
        |_| [id("alice")].into_iter().collect(),
    ));
    let server = serve_routed(&[], &[&puppet]).await;
    let (alice, mut carol) = (server.client("alice"), server.client("carol"));
    alice.put(Online, "one").await;
    server.routed("alice").await;
    assert_eq!(carol.sync().await, ["alice online one"]);

    let (gate, opener) = Gate::closed();
    puppet.set_mood(Mood::Block(gate));
    let asked = puppet.asked().len();
    let mut late = server.client("carol/2");
    let first = late.long_poll(LONG);
    puppet.asked_until(|all| all.len() > asked).await;
    puppet.set_mood(Mood::Answer);
    alice.put(Online, "two").await;
    drop(opener);
    assert!(late.read(&first.await.expect("ends")).is_empty());
    server.routed("alice").await;
    assert!(late.sync().await.is_empty());
}

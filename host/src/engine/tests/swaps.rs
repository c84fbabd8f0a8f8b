//! Another generation of a module takes over: nothing that was routed is lost, and nobody waits.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::{Busy, Offline, Online, Unavailable};

use tokio::task::JoinHandle;

use crate::delivery::ModuleTag;
use crate::directory::Event;
use crate::engine::SyncAnswer;
use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{Client, Routed, id, key, serve_routed};
use crate::engine::writer::Command;
use crate::modules::puppet::{Asked, Gate, Mood, Puppet};

const TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &[],
};
const TO_NOBODY: Broadcast = Broadcast { to: &[], but_of: &[] };

impl Routed {
    /// Has another module take over from the first.
    async fn swap(&mut self, fingerprint: &str, puppet: &Arc<Puppet>) {
        self.swap_module(0, fingerprint, puppet).await;
    }

    /// Has somebody leave the room of this number.
    async fn leave(&self, room: usize, name: &str) {
        let left = Event::Left {
            room_id: format!("!{room}:example.org").into(),
            user_id: id(name),
        };
        let sent = self.engine.0.commands.send(Command::Directory(vec![left]));
        assert!(sent.await.is_ok());
    }

    /// The first module is asked no more.
    fn detach(&self) {
        self.detach_module(0);
    }

    /// Lets time pass until the logs of what is detached are put aside.
    async fn pass_until_parked(&self) {
        let modules = || self.engine.0.world.read().streams.modules().count();
        self.time.pass_until(|| modules() == 0).await;
    }

    /// Lets time pass until a sync is answered.
    async fn pass_until_done(&self, waiting: JoinHandle<SyncAnswer>) -> SyncAnswer {
        self.time.pass_until(|| waiting.is_finished()).await;
        waiting.await.expect("it is answered")
    }
}

fn routes(puppet: &Puppet) -> Vec<Vec<String>> {
    let asked = puppet.asked().into_iter();
    asked
        .filter_map(|asked| match asked {
            Asked::Route(users, None) => Some(users),
            _ => None,
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_shown_by_the_next_generation_alone_is_told_without_a_change() {
    let mut server = serve_routed(&[], &[&TO_NOBODY.puppet()]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    eve.sync().await;
    alice.put(Online, "").await;
    server.routed("alice").await;
    assert!(eve.sync().await.is_empty());
    let waiting = eve.long_poll(Duration::from_secs(20));
    server.swap("other", &TO_EVE.puppet()).await;
    let told = server.pass_until_done(waiting).await;
    assert_eq!(eve.read(&told), ["alice online"]);
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_routed_and_not_read_is_told_although_the_next_generation_shows_it_to_nobody() {
    let mut server = serve_routed(&[], &[&TO_EVE.puppet()]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    eve.sync().await;
    alice.put(Online, "").await;
    server.routed("alice").await;
    server.swap("other", &TO_NOBODY.puppet()).await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    alice.put(Busy, "").await;
    server.routed("alice").await;
    assert!(eve.sync().await.is_empty());
    assert_eq!(eve.look_at("alice").await, None);
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_is_told_by_the_next_generation_to_who_knew_them_by_a_room_that_they_left() {
    for leaves in ["alice", "eve"] {
        let mut server = serve_routed(&[&["alice", "eve"]], &[&TO_NOBODY.puppet()]).await;
        let (alice, mut eve) = (server.client("alice"), server.client("eve"));
        alice.put(Online, "").await;
        server.routed("alice").await;
        assert_eq!(eve.sync().await, ["alice online"]);
        alice.put(Offline, "").await;
        server.routed("alice").await;
        let next = TO_EVE.puppet();
        server.swap("other", &next).await;
        server.leave(0, leaves).await;
        assert_eq!(eve.sync().await, ["alice offline"], "{leaves} has left");
        assert!(eve.sync().await.is_empty());
        assert!(routes(&next).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_routed_to_who_has_left_a_room_is_told_although_the_module_has_gone() {
    let mut server = serve_routed(&[&["alice", "eve"]], &[&TO_NOBODY.puppet()]).await;
    let (alice, bob, mut eve) = (server.client("alice"), server.client("bob"), server.client("eve"));
    alice.put(Online, "").await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    alice.put(Offline, "").await;
    server.routed("alice").await;
    server.swap("other", &TO_EVE.puppet()).await;
    server.leave(0, "eve").await;
    bob.put(Online, "").await;
    server.routed("bob").await;
    server.detach();
    assert_eq!(eve.sync().await, ["bob online"]);
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_sight_of_nobody_does_not_ask_the_next_generation() {
    let mut server = serve_routed(&[&["alice", "bob"]], &[&TO_NOBODY.puppet()]).await;
    let (alice, mut bob, mut eve) = (server.client("alice"), server.client("bob"), server.client("eve"));
    alice.put(Online, "").await;
    server.routed("alice").await;
    assert_eq!(bob.sync().await, ["alice online"]);
    assert!(eve.sync().await.is_empty());
    alice.put(Offline, "").await;
    server.routed("alice").await;
    let next = TO_EVE.puppet();
    server.swap("other", &next).await;
    assert_eq!(bob.sync().await, ["alice offline"]);
    assert!(eve.sync().await.is_empty());
    let asked = next.asked();
    assert!(
        asked.iter().all(|asked| matches!(asked, Asked::Route(..))),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_one_is_being_asked_when_the_next_takes_over_is_delivered_and_asked_of_the_next_too() {
    let first = TO_EVE.puppet();
    let mut server = serve_routed(&[], &[&first]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    eve.sync().await;
    let (gate, opener) = Gate::closed();
    first.set_mood(Mood::Block(gate));
    alice.put(Online, "").await;
    first
        .asked_until(|asked| {
            asked
                .iter()
                .any(|asked| matches!(asked, Asked::Route(users, _) if !users.is_empty()))
        })
        .await;
    let second = TO_NOBODY.puppet();
    server.swap("other", &second).await;
    drop(opener);
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    assert!(
        routes(&second)
            .iter()
            .any(|users| users == &["@alice:example.org"])
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_twice_by_generations_that_route_alike() {
    let mut server = serve_routed(&[], &[&TO_EVE.puppet()]).await;
    let (alice, bob, mut eve) = (server.client("alice"), server.client("bob"), server.client("eve"));
    bob.put(Unavailable, "").await;
    server.routed("bob").await;
    assert_eq!(eve.sync().await, ["bob unavailable"]);
    alice.put(Online, "").await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    for fingerprint in ["two", "three", "four"] {
        server.swap(fingerprint, &TO_EVE.puppet()).await;
        server.routed("alice").await;
        server.routed("bob").await;
        assert!(eve.sync().await.is_empty(), "{fingerprint}");
    }
    let mut new = server.client("eve/2");
    assert_eq!(new.sync().await, ["alice online", "bob unavailable"]);
}

#[tokio::test(start_paused = true)]
async fn who_first_synced_under_one_that_shows_nothing_is_told_by_the_next_that_does() {
    let mut server = serve_routed(&[], &[&TO_EVE.puppet()]).await;
    let alice = server.client("alice");
    alice.put(Online, "").await;
    server.routed("alice").await;
    server.swap("other", &TO_NOBODY.puppet()).await;
    server.routed("alice").await;
    let mut eve = server.client("eve");
    assert!(eve.sync().await.is_empty());
    // By the same users as the first, whose logs are kept.
    server.swap("third", &TO_EVE.puppet()).await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_file_and_config_need_not_route_again_but_what_was_not_routed() {
    let first = TO_EVE.puppet();
    let mut server = serve_routed(&[], &[&first]).await;
    let (alice, bob, mut eve) = (server.client("alice"), server.client("bob"), server.client("eve"));
    alice.put(Online, "").await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    first.set_mood(Mood::Fail);
    bob.put(Online, "").await;
    first.asked_until(|asked| asked.len() > 1).await;
    let second = TO_EVE.puppet();
    server.swap("", &second).await;
    server.routed("bob").await;
    assert_eq!(eve.sync().await, ["bob online"]);
    assert_eq!(routes(&second), [["@bob:example.org"]]);
}

#[tokio::test(start_paused = true)]
async fn the_successor_of_one_that_hangs_is_asked_at_once() {
    let first = TO_EVE.puppet();
    let mut server = serve_routed(&[], &[&first]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    eve.sync().await;
    first.set_mood(Mood::Hang);
    alice.put(Online, "").await;
    server
        .time
        .pass_until(|| server.engine.0.feeds()[0].lease().quarantined_for().is_some())
        .await;
    server.swap("", &TO_EVE.puppet()).await;
    // No time passes.
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_module_that_is_detached_has_routed_is_told_and_nothing_more_until_it_comes_back() {
    let mut server = serve_routed(&[], &[&TO_EVE.puppet()]).await;
    let (alice, bob, mut eve) = (server.client("alice"), server.client("bob"), server.client("eve"));
    eve.sync().await;
    alice.put(Online, "").await;
    server.routed("alice").await;
    server.detach();
    assert!(server.engine.detach("puppet0").is_none());
    bob.put(Online, "").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    let mut new = server.client("eve/2");
    assert!(new.sync().await.is_empty());
    assert_eq!(eve.look_at("alice").await, None);
    server.pass_until_parked().await;
    bob.put(Busy, "").await;
    alice.put(Offline, "").await;
    server.puppets.clear();
    let back = TO_EVE.puppet();
    server = server.attach(&back).await;
    server.routed("bob").await;
    assert_eq!(eve.sync().await, ["alice offline", "bob busy"]);
    assert_eq!(new.sync().await.last().map(String::as_str), Some("bob busy"));
}

#[tokio::test(start_paused = true)]
async fn rooms_count_again_when_a_module_that_replaced_them_is_gone() {
    let replacing = Arc::new(TO_NOBODY.plain_puppet().replacing());
    let mut server = serve_routed(&[&["alice", "bob"]], &[&replacing]).await;
    let (alice, mut bob) = (server.client("alice"), server.client("bob"));
    alice.put(Online, "").await;
    server.routed("alice").await;
    assert!(bob.sync().await.is_empty());
    let waiting = bob.long_poll(Duration::from_secs(20));
    server.swap("other", &TO_NOBODY.puppet()).await;
    let told = server.pass_until_done(waiting).await;
    assert_eq!(bob.read(&told), ["alice online"]);
    assert_eq!(bob.look_at("alice").await.as_deref(), Some("online"));

    let replacing = Arc::new(TO_NOBODY.plain_puppet().replacing());
    server.swap("third", &replacing).await;
    assert_eq!(bob.look_at("alice").await, None);
    alice.put(Busy, "").await;
    server.routed("alice").await;
    assert!(bob.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_generations_have_routed_is_kept_for_a_minute() {
    let mut server = serve_routed(&[], &[&TO_EVE.puppet()]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    eve.sync().await;
    alice.put(Online, "").await;
    server.routed("alice").await;
    server.swap("other", &TO_NOBODY.puppet()).await;
    server.routed("alice").await;
    let eve_key = key(&server.engine, "eve");
    let floor = || {
        let world = server.engine.0.world.read();
        world.streams.routed_floor(ModuleTag::of("puppet0"), eve_key)
    };
    let before = floor();
    server.time.pass_until(|| floor() > before).await;
    // She is too late, and the one that serves is asked.
    assert!(eve.sync().await.is_empty());
}

/// Alice is busy, which the module has routed to Eve. Eve first syncs when it is not asked any more.
async fn serve_who_syncs_while_the_module_is_away() -> (Routed, Client) {
    let mut server = serve_routed(&[], &[&TO_EVE.puppet()]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    alice.put(Busy, "").await;
    server.routed("alice").await;
    go_for_long(&mut server, &mut eve).await;
    (server, eve)
}

/// The module is detached, and what it had routed is put aside. Eve syncs, and is told nothing.
async fn go_for_long(server: &mut Routed, eve: &mut Client) {
    server.detach();
    server.pass_until_parked().await;
    assert!(eve.sync().await.is_empty());
    server.puppets.clear();
}

#[tokio::test(start_paused = true)]
async fn who_first_synced_while_a_module_was_away_is_told_by_it_what_it_had_routed() {
    let (mut server, mut eve) = serve_who_syncs_while_the_module_is_away().await;
    server = server.attach(&TO_EVE.puppet()).await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice busy"]);
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_first_synced_while_a_module_was_away_and_again_at_once_is_told_what_it_routes_again() {
    let (mut server, mut eve) = serve_who_syncs_while_the_module_is_away().await;
    let back = TO_EVE.puppet();
    let (gate, opener) = Gate::closed();
    back.set_mood(Mood::Block(gate));
    server = server.attach(&back).await;
    // It has not routed anything again.
    assert!(eve.sync().await.is_empty());
    drop(opener);
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice busy"]);
}

#[tokio::test(start_paused = true)]
async fn who_did_not_read_what_a_module_had_routed_before_it_went_is_told_when_it_is_back() {
    let mut server = serve_routed(&[], &[&TO_EVE.puppet()]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    assert!(eve.sync().await.is_empty());
    alice.put(Busy, "").await;
    server.routed("alice").await;
    go_for_long(&mut server, &mut eve).await;
    server = server.attach(&TO_EVE.puppet()).await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice busy"]);
    assert!(eve.sync().await.is_empty());
}

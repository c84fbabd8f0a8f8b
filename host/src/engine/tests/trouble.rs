//! Modules that fail, panic, lie, hang or block: shared rooms go on meanwhile, and what was missed comes later, once.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::{Busy, Offline, Online, Unavailable};
use tokio::time::{Instant, advance};

use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{CALL_TIMEOUT, Client, Routed, all_but, id, serve_routed};
use crate::modules::puppet::{Asked, Gate, Mood, Puppet};

const LONG: Duration = Duration::from_mins(50);
const TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &["dave"],
};

/// Alice and Bob share a room; Eve hears of everybody but Dave, by the module, and has synced.
struct Scene {
    server: Routed,
    puppet: Arc<Puppet>,
    alice: Client,
    bob: Client,
    eve: Client,
}

async fn scene() -> Scene {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[&["alice", "bob"]], &[&puppet]).await;
    let (alice, mut bob, mut eve) = (server.client("alice"), server.client("bob"), server.client("eve"));
    bob.sync().await;
    eve.sync().await;
    Scene {
        server,
        puppet,
        alice,
        bob,
        eve,
    }
}

impl Scene {
    /// Alice says so, and Bob sees it, whatever the module does.
    async fn alice_says(&mut self, message: &str) {
        let asked = self.puppet.asked().len();
        self.alice.put(Online, message).await;
        assert_eq!(self.bob.sync().await, [format!("alice online {message}")]);
        self.puppet.asked_until(|all| all.len() > asked).await;
    }

    /// So many users wait until the module, which has failed, is asked again.
    fn is_failed(&self, users: usize) -> bool {
        let feeds = self.server.engine.0.feeds();
        let dirty = feeds[0].dirty.lock();
        dirty.len() == users && dirty.due(Instant::now()).is_some_and(|at| at > Instant::now())
    }

    /// The module's answer was an error.
    async fn failed(&self, users: usize) {
        self.server.pass_until(|| self.is_failed(users)).await;
    }

    /// The module's call has overrun.
    async fn overrun(&self, users: usize) {
        self.server.time.pass_until(|| self.is_failed(users)).await;
    }

    /// The module is back, and after a while it has routed a user's newest state.
    async fn recovered(&self, name: &str) {
        self.puppet.set_mood(Mood::Answer);
        self.server.pass_until(|| self.server.is_routed(name)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn newest_states_are_routed_after_errors_panics_and_wrong_answers() {
    for mood in [Mood::Fail, Mood::Panic, Mood::Lie] {
        let mut scene = scene().await;
        scene.puppet.set_mood(mood);
        scene.alice_says("one").await;
        scene.failed(1).await;
        scene.alice_says("two").await;
        scene.failed(1).await;
        scene.server.client("carol").put(Busy, "").await;
        scene.server.client("dave").put(Busy, "").await;
        scene.failed(3).await;
        assert!(scene.eve.sync().await.is_empty());
        scene.recovered("alice").await;
        scene.recovered("carol").await;
        scene.recovered("dave").await;
        assert_eq!(scene.eve.sync().await, ["alice online two", "carol busy"]);
        assert!(scene.eve.sync().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_module_that_hangs_holds_up_nothing_and_catches_up() {
    let (gate, _opener) = Gate::closed();
    for mood in [Mood::Hang, Mood::Block(gate)] {
        let mut scene = scene().await;
        let poll = scene.eve.long_poll(LONG);
        scene.puppet.set_mood(mood);
        scene.alice_says("one").await;
        scene.alice.put(Online, "two").await;
        assert_eq!(scene.bob.sync().await, ["alice online two"]);
        scene.overrun(1).await;
        scene.alice.put(Online, "three").await;
        assert_eq!(scene.bob.sync().await, ["alice online three"]);
        assert!(!poll.is_finished());
        scene.recovered("alice").await;
        assert_eq!(scene.eve.read(&poll.await.expect("ends")), ["alice online three"]);
        assert!(scene.eve.sync().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_is_served_without_a_module_that_hangs_and_gets_its_part_later() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[&["bob", "eve"]], &[&puppet]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    server.client("bob").put(Online, "").await;
    alice.put(Online, "").await;
    server.client("carol").put(Online, "").await;
    server.routed("carol").await;
    puppet.set_mood(Mood::Hang);
    let first = eve.long_poll(Duration::ZERO);
    server.time.pass_until(|| first.is_finished()).await;
    assert_eq!(eve.read(&first.await.expect("ends")), ["bob online"]);
    let module = server.engine.0.feeds()[0].tag();
    let since = eve.since.as_ref().expect("synced");
    assert!(since.cursor(module).was_never_answered(), "{since}");

    // In quarantine it is not asked; rooms go on.
    let asked = puppet.asked().len();
    server.client("bob").put(Busy, "").await;
    assert_eq!(eve.sync().await, ["bob busy"]);
    assert!(eve.sync().await.is_empty());
    assert_eq!(puppet.asked().len(), asked);

    puppet.set_mood(Mood::Answer);
    alice.put(Unavailable, "").await;
    server.client("carol").put(Offline, "").await;
    let (poll, before) = (eve.long_poll(LONG), Instant::now());
    server.pass_until(|| poll.is_finished()).await;
    assert!(before.elapsed() < CALL_TIMEOUT * 2);
    // That Carol has gone is told, for Eve may know of her by a room that she has left since.
    let told = eve.read(&poll.await.expect("ends"));
    assert_eq!(told, ["alice unavailable", "carol offline"]);
    server
        .pass_until(|| server.is_routed("alice") && server.is_routed("carol"))
        .await;
    assert!(eve.sync().await.is_empty());
    alice.put(Offline, "").await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice offline"]);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_asks_again_when_the_quarantine_is_over_though_nothing_else_happens() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    server.client("alice").put(Busy, "").await;
    server.routed("alice").await;
    puppet.set_mood(Mood::Hang);
    let mut eve = server.client("eve");
    let first = eve.long_poll(Duration::ZERO);
    server.time.pass_until(|| first.is_finished()).await;
    assert!(eve.read(&first.await.expect("ends")).is_empty());
    puppet.set_mood(Mood::Answer);
    let (poll, before) = (eve.long_poll(LONG), Instant::now());
    server.pass_until(|| poll.is_finished()).await;
    assert!(before.elapsed() < CALL_TIMEOUT * 2);
    assert_eq!(eve.read(&poll.await.expect("ends")), ["alice busy"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_is_served_without_a_module_that_fails() {
    for mood in [Mood::Fail, Mood::Panic] {
        let Scene {
            server,
            puppet,
            alice,
            mut bob,
            ..
        } = scene().await;
        alice.put(Online, "").await;
        server.routed("alice").await;
        puppet.set_mood(mood);
        let mut eve = server.client("eve");
        assert!(eve.sync().await.is_empty());
        assert!(eve.sync().await.is_empty());
        assert_eq!(eve.look_at("alice").await, None);
        assert_eq!(bob.sync().await, ["alice online"]);
        puppet.set_mood(Mood::Answer);
        assert_eq!(eve.sync().await, ["alice online"]);
        assert!(eve.sync().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn catching_up_goes_on_while_other_news_come() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[&["bob", "eve"]], &[&puppet]).await;
    let mut eve = server.client("eve");
    eve.filter = all_but(["bob"]);
    puppet.set_mood(Mood::Fail);
    eve.sync().await;
    server.client("alice").put(Online, "").await;
    puppet
        .asked_until(|asked| matches!(asked.last(), Some(Asked::Route(_, None))))
        .await;

    let (gate, opener) = Gate::closed();
    puppet.set_mood(Mood::Block(gate));
    let of_eve = Asked::Interested(id("eve").as_str().to_owned());
    let times = |asked: &[Asked]| asked.iter().filter(|asked| **asked == of_eve).count();
    let before = times(&puppet.asked());
    let poll = eve.long_poll(LONG);
    puppet.asked_until(|asked| times(asked) > before).await;
    puppet.set_mood(Mood::Answer);
    for message in ["one", "two", "three"] {
        // Each wakes Eve's long-poll, which has nothing to tell.
        server.client("bob").put(Online, message).await;
        tokio::task::yield_now().await;
    }
    drop(opener);
    assert_eq!(eve.read(&poll.await.expect("ends")), ["alice online"]);
    assert_eq!(times(&puppet.asked()), before + 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_something_to_tell_waits_for_a_module_but_a_moment() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[&["bob", "eve"]], &[&puppet]).await;
    let mut eve = server.client("eve");
    puppet.set_mood(Mood::Fail);
    eve.sync().await;
    puppet.set_mood(Mood::Hang);
    server.client("bob").put(Online, "").await;
    let (poll, before) = (eve.long_poll(LONG), Instant::now());
    server.time.pass_until(|| poll.is_finished()).await;
    assert!(before.elapsed() < Duration::from_millis(50));
    assert_eq!(eve.read(&poll.await.expect("ends")), ["bob online"]);
}

#[tokio::test(start_paused = true)]
async fn a_module_that_hangs_holds_up_no_other_module() {
    let (hanging, serving) = (Arc::new(Puppet::silent()), TO_EVE.puppet());
    let server = serve_routed(&[], &[&hanging, &serving]).await;
    let mut eve = server.client("eve");
    eve.sync().await;
    hanging.set_mood(Mood::Hang);
    for message in ["one", "two"] {
        server.client("alice").put(Online, message).await;
        assert_eq!(eve.sync_for(LONG).await, [format!("alice online {message}")]);
    }
    // A first sync has the part of those who answer.
    let mut late = server.client("eve/2");
    let first = late.long_poll(Duration::ZERO);
    let of_eve = |asked: &Asked| matches!(asked, Asked::Route(_, Some(_)));
    serving.asked_until(|asked| asked.iter().any(of_eve)).await;
    server
        .time
        .until(|| server.engine.0.feeds()[1].lease().running_calls() == 0)
        .await;
    advance(CALL_TIMEOUT).await;
    server.time.pass_until(|| first.is_finished()).await;
    assert_eq!(late.read(&first.await.expect("ends")), ["alice online two"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_module_did_not_say_for_a_full_snapshot_comes_later_once() {
    let mut scene = scene().await;
    scene.alice_says("one").await;
    scene.server.routed("alice").await;
    assert_eq!(scene.eve.sync().await, ["alice online one"]);
    scene.puppet.set_mood(Mood::Fail);
    let services = scene.server.engine.services();
    services
        .send_local_online_presence_to(vec![id("eve")])
        .await
        .expect("noted");
    assert!(scene.eve.sync().await.is_empty());
    scene.puppet.set_mood(Mood::Answer);
    let told = scene.eve.long_poll(LONG);
    scene.server.pass_until(|| told.is_finished()).await;
    assert_eq!(scene.eve.read(&told.await.expect("ends")), ["alice online one"]);
    assert!(scene.eve.sync().await.is_empty());
}

//! What modules have to do with what was before a restart.

use presence_router_api::PresenceState::{Offline, Online, Unavailable};

use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{Client, id};
use crate::engine::tests::restarts::{Runs, moved};
use crate::modules::puppet::{Asked, Gate, Mood};

const ALL_TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &[],
};

#[tokio::test(start_paused = true)]
async fn what_a_module_has_routed_is_not_routed_again_and_what_was_not_read_comes_once() {
    let runs = Runs::new();
    let puppet = ALL_TO_EVE.puppet();
    let first = runs.run_with(&[], &[("same", &puppet)]).await;
    let (alice, bob, mut eve) = (first.client("alice"), first.client("bob"), first.client("eve"));
    alice.put(Online, "").await;
    first.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    bob.put(Unavailable, "").await;
    first.routed("bob").await;
    runs.stop(&first.engine).await;

    let puppet = ALL_TO_EVE.puppet();
    let second = runs.run_with(&[], &[("same", &puppet)]).await;
    let mut eve = moved(&eve, &second.engine, "eve");
    assert_eq!(eve.sync().await, ["bob unavailable"]);
    assert!(eve.sync().await.is_empty());
    let routed_again = puppet
        .asked()
        .iter()
        .any(|asked| matches!(asked, Asked::Route(users, None) if !users.is_empty()));
    assert!(!routed_again, "{:?}", puppet.asked());
}

#[tokio::test(start_paused = true)]
async fn a_module_that_is_another_after_a_restart_shows_what_the_one_before_did_not() {
    let runs = Runs::new();
    let but_alice = Broadcast {
        to: &["eve"],
        but_of: &["alice"],
    };
    let first = runs.run_with(&[], &[("one", &but_alice.puppet())]).await;
    let mut eve = first.client("eve");
    first.client("alice").put(Online, "").await;
    first.routed("alice").await;
    assert!(eve.sync().await.is_empty());
    runs.stop(&first.engine).await;

    let second = runs.run_with(&[], &[("two", &ALL_TO_EVE.puppet())]).await;
    second.settle().await;
    let mut eve = moved(&eve, &second.engine, "eve");
    assert_eq!(eve.sync().await, ["alice online"]);
    assert!(eve.sync().await.is_empty());
    runs.stop(&second.engine).await;

    // A token of before all runs asks, and is told by the module that is there now.
    let third = runs.run_with(&[], &[("two", &ALL_TO_EVE.puppet())]).await;
    let mut late = third.client("eve/2");
    late.since = Some(format!("s{0}_{0}_{0}", 1).parse().expect("a token"));
    assert_eq!(late.sync().await, ["alice online"]);
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_offline_is_told_of_also_when_the_module_is_another_after_a_restart() {
    for mood in [Mood::Answer, Mood::Fail] {
        let runs = Runs::new();
        let puppet = ALL_TO_EVE.puppet();
        let first = runs.run_with(&[], &[("one", &puppet)]).await;
        let (alice, mut eve) = (first.client("alice"), first.client("eve"));
        alice.put(Online, "").await;
        first.routed("alice").await;
        assert_eq!(eve.sync().await, ["alice online"]);
        // The module of before has routed it, or has not; Eve has not read it in any case.
        puppet.set_mood(mood.clone());
        alice.put(Offline, "").await;
        puppet.asked_until(|all| all.len() > 2).await;
        if matches!(mood, Mood::Answer) {
            first.routed("alice").await;
        }
        runs.stop(&first.engine).await;

        // Another two times, without Eve.
        for form in ["two", "three"] {
            let next = runs.run_with(&[], &[(form, &ALL_TO_EVE.puppet())]).await;
            runs.stop(&next.engine).await;
        }
        let last = runs.run_with(&[], &[("four", &ALL_TO_EVE.puppet())]).await;
        last.settle().await;
        let mut eve = moved(&eve, &last.engine, "eve");
        assert_eq!(eve.sync().await, ["alice offline"], "{mood:?}");
        assert!(eve.sync().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_seen_by_a_room_and_has_gone_is_told_of_by_a_module_that_failed_the_first_sync() {
    let runs = Runs::new();
    let puppet = ALL_TO_EVE.puppet();
    let first = runs.run_with(&[&["alice", "eve"]], &[("same", &puppet)]).await;
    let (alice, mut eve) = (first.client("alice"), first.client("eve"));
    alice.put(Online, "").await;
    first.settle().await;
    puppet.set_mood(Mood::Fail);
    assert_eq!(eve.sync().await, ["alice online"]);
    puppet.set_mood(Mood::Answer);
    alice.put(Offline, "").await;
    first.settle().await;
    runs.stop(&first.engine).await;

    let second = runs
        .run_with(&[&["alice"]], &[("same", &ALL_TO_EVE.puppet())])
        .await;
    let mut eve = moved(&eve, &second.engine, "eve");
    assert_eq!(eve.sync().await, ["alice offline"]);
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_was_shown_by_a_module_and_has_gone_is_told_of_also_when_a_room_shows_them_now() {
    let runs = Runs::new();
    let first = runs.run_with(&[], &[("same", &ALL_TO_EVE.puppet())]).await;
    let (alice, mut eve) = (first.client("alice"), first.client("eve"));
    // Never online, and without a message: nothing to introduce her with.
    alice.put(Unavailable, "").await;
    first.settle().await;
    assert_eq!(eve.sync().await, ["alice unavailable"]);
    let (gate, opener) = Gate::closed();
    first.puppets[0].set_mood(Mood::Block(gate));
    alice.put(Offline, "").await;
    // Read before it is routed.
    assert!(eve.sync().await.is_empty());
    drop(opener);
    first.settle().await;
    runs.stop(&first.engine).await;

    // By the next sync, and by a full snapshot.
    let together: &[&[&str]] = &[&["alice", "eve"]];
    let second = runs.run_with(together, &[("same", &ALL_TO_EVE.puppet())]).await;
    let (mut by_sync, mut by_snapshot) = (
        moved(&eve, &second.engine, "eve"),
        moved(&eve, &second.engine, "eve"),
    );
    assert_eq!(by_sync.sync().await, ["alice offline"]);
    assert!(by_sync.sync().await.is_empty());
    let services = second.engine.services();
    let snapshot = services.send_local_online_presence_to(vec![id("eve")]);
    snapshot.await.expect("noted");
    assert_eq!(by_snapshot.sync().await, ["alice offline"]);
    assert!(by_snapshot.sync().await.is_empty());
    assert!(by_sync.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_module_has_nothing_to_do_with_who_was_offline_before_it() {
    let runs = Runs::new();
    let first = runs.run(&[]);
    Client::new(&first, "alice").put(Offline, "long gone").await;
    runs.stop(&first).await;
    for _ in 0..2 {
        let puppet = ALL_TO_EVE.puppet();
        let next = runs.run_with(&[], &[("one", &puppet)]).await;
        next.settle().await;
        assert!(puppet.asked().is_empty(), "{:?}", puppet.asked());
        runs.stop(&next.engine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_successor_of_a_module_that_failed_tells_who_went_offline_meanwhile() {
    let runs = Runs::new();
    let broken = ALL_TO_EVE.puppet();
    let first = runs.run_with(&[], &[("one", &broken)]).await;
    let (alice, mut eve) = (first.client("alice"), first.client("eve"));
    alice.put(Online, "").await;
    first.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    broken.set_mood(Mood::Fail);
    alice.put(Offline, "").await;
    assert!(eve.sync().await.is_empty());
    runs.stop(&first.engine).await;

    // The first successor is broken as well.
    let broken = ALL_TO_EVE.puppet();
    broken.set_mood(Mood::Fail);
    let second = runs.run_with(&[], &[("two", &broken)]).await;
    let mut eve = moved(&eve, &second.engine, "eve");
    assert!(eve.sync().await.is_empty());
    runs.stop(&second.engine).await;

    let third = runs.run_with(&[], &[("three", &ALL_TO_EVE.puppet())]).await;
    third.settle().await;
    let mut eve = moved(&eve, &third.engine, "eve");
    assert_eq!(eve.sync().await, ["alice offline"]);
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_successor_of_a_module_tells_who_went_offline_and_was_not_read() {
    let runs = Runs::new();
    let first = runs.run_with(&[], &[("one", &ALL_TO_EVE.puppet())]).await;
    let (alice, mut eve) = (first.client("alice"), first.client("eve"));
    let mut ahead = first.client("eve/2");
    alice.put(Online, "").await;
    first.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    assert_eq!(ahead.sync().await, ["alice online"]);
    alice.put(Offline, "").await;
    first.routed("alice").await;
    assert_eq!(ahead.sync().await, ["alice offline"]);
    runs.stop(&first.engine).await;

    let second = runs.run_with(&[], &[("two", &ALL_TO_EVE.puppet())]).await;
    second.settle().await;
    let mut eve = moved(&eve, &second.engine, "eve");
    assert_eq!(eve.sync().await, ["alice offline"]);
    assert!(eve.sync().await.is_empty());
    let mut ahead = moved(&ahead, &second.engine, "eve/2");
    assert!(ahead.sync().await.is_empty());
}

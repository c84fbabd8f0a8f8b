//! Long-polls and tokens, without modules: what wakes a sync, what does not, and how long it waits.

use std::time::Duration;

use presence_router_api::PresenceState::{Busy, Online};
use tokio::time::{Instant, sleep};

use crate::delivery::SyncToken;
use crate::engine::tests::kit::{Client, all_but, clock, only, serve, setup};
use crate::engine::{Engine, SetPresence, SyncAnswer, SyncError};

const LONG: Duration = Duration::from_mins(50);
/// Enough for everything to come to rest.
const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_long_poll_wakes_for_those_whom_its_user_sees_alone() {
    let server = serve(&[&["alice", "bob"]]);
    let client = |name: &str| Client::new(&server, name);
    let (alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    bob.sync().await;
    carol.sync().await;
    let (of_bob, of_carol) = (bob.long_poll(LONG), carol.long_poll(LONG));
    sleep(MOMENT).await;
    alice.put(Online, "hi").await;
    sleep(MOMENT).await;
    assert!(of_bob.is_finished());
    assert!(!of_carol.is_finished());
    assert_eq!(bob.read(&of_bob.await.expect("ends")), ["alice online hi"]);

    client("dave").put(Online, "").await;
    sleep(MOMENT).await;
    assert!(!of_carol.is_finished());
    client("carol/2").put(Busy, "me").await;
    assert_eq!(carol.read(&of_carol.await.expect("ends")), ["carol busy me"]);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_empty_when_its_time_is_over() {
    let server = serve(&[&["alice", "bob"]]);
    let mut bob = Client::new(&server, "bob");
    bob.sync().await;
    let before = Instant::now();
    assert!(bob.sync_for(Duration::from_secs(30)).await.is_empty());
    assert_eq!(before.elapsed(), Duration::from_secs(30));
    assert_eq!(server.0.waiting.user_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_filter_leaves_out_wakes_nobody() {
    let server = serve(&[&["alice", "bob", "carol"]]);
    let mut bob = Client::new(&server, "bob");
    bob.filter = only(["carol"]);
    bob.sync().await;
    let poll = bob.long_poll(LONG);
    sleep(MOMENT).await;
    Client::new(&server, "alice").put(Online, "").await;
    sleep(MOMENT).await;
    assert!(!poll.is_finished());
    Client::new(&server, "carol").put(Online, "").await;
    assert_eq!(bob.read(&poll.await.expect("ends")), ["carol online"]);
}

#[tokio::test(start_paused = true)]
async fn timeouts_reach_a_long_poll() {
    let server = serve(&[&["alice", "bob"]]);
    let (mut alice, mut bob) = (Client::new(&server, "alice"), Client::new(&server, "bob"));
    alice.sync().await;
    // Alice's own news end her long-poll, so she waits for none.
    alice.filter = only([]);
    alice.set_presence = SetPresence::Online;
    bob.sync().await;
    let started = Instant::now();
    let syncing = alice.long_poll(LONG);
    assert_eq!(bob.sync_for(LONG).await, ["alice online"]);
    assert_eq!(started.elapsed(), Duration::ZERO);
    // No longer currently active.
    assert_eq!(bob.sync_for(LONG).await, ["alice online"]);
    assert_eq!(started.elapsed(), Duration::from_mins(1));
    // She syncs, but does nothing else.
    assert_eq!(bob.sync_for(LONG).await, ["alice unavailable"]);
    assert_eq!(started.elapsed(), Duration::from_mins(5) + MOMENT);
    // While the sync runs she is not offline.
    assert!(bob.sync_for(LONG / 2).await.is_empty());
    // Her connection breaks.
    let broken = Instant::now();
    syncing.abort();
    assert_eq!(bob.sync_for(LONG).await, ["alice offline"]);
    assert_eq!(broken.elapsed(), Duration::from_secs(30) + MOMENT);
}

#[tokio::test(start_paused = true)]
async fn a_device_is_there_as_long_as_one_of_its_syncs_runs() {
    let server = serve(&[&["alice", "bob"]]);
    let (mut alice, mut bob) = (Client::new(&server, "alice"), Client::new(&server, "bob"));
    alice.sync().await;
    bob.sync().await;
    alice.filter = only([]);
    alice.set_presence = SetPresence::Unavailable;
    let (short, long) = (alice.long_poll(LONG / 10), alice.long_poll(LONG));
    assert_eq!(bob.sync_for(LONG).await, ["alice unavailable"]);
    short.await.expect("ends");
    assert!(bob.sync_for(LONG / 2).await.is_empty());
    long.await.expect("ends");
    assert_eq!(bob.sync_for(LONG).await, ["alice offline"]);
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_room_share_nothing_that_is_not_so_any_more() {
    let server = serve(&[&["alice", "bob", "carol", "dave"]]);
    let [alice, mut bob, mut carol, dave] =
        ["alice", "bob", "carol", "dave"].map(|name| Client::new(&server, name));
    bob.sync().await;
    carol.since.clone_from(&bob.since);
    alice.put(Online, "").await;
    sleep(Duration::from_secs(10)).await;
    let ago = |answer: &SyncAnswer| {
        answer
            .events
            .iter()
            .map(|event| event.content.last_active_ago)
            .collect::<Vec<_>>()
    };
    let now = Instant::now();
    assert_eq!(ago(&bob.answer(false).await), [Some(10_000)]);
    assert_eq!(ago(&carol.answer(false).await), [Some(10_000)]);
    // Not worth telling, so it has no position.
    alice.put(Online, "").await;
    assert_eq!(ago(&carol.answer(false).await), [Some(0)]);
    dave.put(Online, "").await;
    assert_eq!(ago(&bob.answer(false).await), [Some(0), Some(0)]);
    assert_eq!(now.elapsed(), Duration::ZERO);
    // Who wants less, and who has read more, gets less.
    bob.filter = all_but(["dave"]);
    assert_eq!(bob.sync().await, ["alice online"]);
    assert_eq!(carol.sync().await, ["alice online", "dave online"]);
    assert!(carol.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_of_the_future_is_refused() {
    let server = serve(&[&["alice", "bob"]]);
    let mut bob = Client::new(&server, "bob");
    bob.sync().await;
    let good = bob.since.clone().expect("synced").stream;
    for token in [
        format!("s{}_{good}_{good}", good + 1),
        format!("s{good}_{}_{good}", good + 1),
        format!("s{good}_{good}_{}", u64::MAX),
        format!("s{good}_{good}_{good}_00000000.{}.0", good + 1),
    ] {
        let token: SyncToken = token.parse().expect("well formed");
        bob.since = Some(token.clone());
        let session = server.session("bob/1").await.expect("known");
        let answer = server.sync(&session, bob.request(LONG)).await;
        assert!(matches!(answer, Err(SyncError::UnknownToken)), "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_an_earlier_run_goes_on_working() {
    let (clock, rooms): (_, &[&[&str]]) = (clock(), &[&["alice", "bob"]]);
    let earlier = Engine::start(setup(clock.clone(), rooms));
    Client::new(&earlier, "alice").put(Online, "before").await;
    let mut bob = Client::new(&earlier, "bob");
    assert_eq!(bob.sync().await, ["alice online before"]);
    earlier.shutdown(MOMENT).await;
    sleep(Duration::from_secs(1)).await;

    let later = Engine::start(setup(clock, rooms));
    let mut again = Client::new(&later, "bob");
    again.since = bob.since;
    assert!(again.sync().await.is_empty());
    Client::new(&later, "alice").put(Busy, "after").await;
    assert_eq!(again.sync().await, ["alice busy after"]);
    assert!(again.sync().await.is_empty());
}

//! What happens when the server has too much to do, and when it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use presence_router_api::PresenceState::{self, Online};
use tokio::time::{Instant, sleep};

use crate::clock::{Clock, StandStill};
use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{Client, clock, key, serve, serve_routed, setup};
use crate::engine::writer::{self, Command, QUEUE};
use crate::engine::{Engine, NotApplied, QUEUE_WAIT, SetPresence, SyncError};
use crate::metrics::Exposition;
use crate::modules::puppet::{Asked, Gate, Mood};
use crate::presence::DeviceId;

const LONG: Duration = Duration::from_mins(50);
const DEADLINE: Duration = Duration::from_secs(5);
const TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &[],
};

async fn try_put(engine: &Engine, state: PresenceState) -> Result<(), NotApplied> {
    let session = engine.session("alice/1").await.expect("known");
    engine.set_presence(&session, state, None).await
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_waited_for_a_second_and_then_refused() {
    let (engine, writer) = Engine::assemble(setup(clock(), &[]));
    let command = || Command::SyncEnded {
        user: key(&engine, "bob"),
        device: DeviceId::from("D"),
    };
    for _ in 0..QUEUE {
        engine.0.commands.try_send(command()).expect("there is room");
    }
    let before = Instant::now();
    let Err(NotApplied::Overloaded(refused)) = try_put(&engine, Online).await else {
        panic!("the queue is full");
    };
    assert_eq!(before.elapsed(), QUEUE_WAIT);
    assert_eq!(refused.retry_after, Duration::from_secs(1));
    let mut request = Client::new(&engine, "alice").request(LONG);
    request.set_presence = SetPresence::Online;
    let session = engine.session("alice/1").await.expect("known");
    let refused_sync = engine.sync(&session, request.clone()).await;
    let Err(SyncError::NotApplied(NotApplied::Overloaded(sync_refused))) = refused_sync else {
        panic!("the queue is full");
    };
    assert_eq!(sync_refused, refused);
    // A sync that leaves presence alone needs no place.
    request.set_presence = SetPresence::Offline;
    assert!(engine.sync(&session, request).await.is_ok());

    let waiting = engine.clone();
    // From here on a real thread writes.
    let _time = StandStill::begin();
    let put = tokio::spawn(async move { try_put(&waiting, Online).await });
    tokio::task::yield_now().await;
    tokio::spawn(writer::run(writer, engine.0.clone()));
    assert!(put.await.expect("ends").is_ok());
    assert_eq!(Client::new(&engine, "alice").sync().await, ["alice online"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_sync_waits_for_a_place_in_a_full_queue() {
    let (engine, writer) = Engine::assemble(setup(clock(), &[]));
    let mut alice = Client::new(&engine, "alice");
    alice.set_presence = SetPresence::Online;
    let sync = alice.long_poll(LONG);
    while engine.0.commands.is_empty() {
        tokio::task::yield_now().await;
    }
    let command = || Command::SyncEnded {
        user: key(&engine, "bob"),
        device: DeviceId::from("D"),
    };
    while engine.0.commands.try_send(command()).is_ok() {}
    sync.abort();
    assert!(sync.await.expect_err("was aborted").is_cancelled());
    tokio::spawn(writer::run(writer, engine.0.clone()));

    alice.set_presence = SetPresence::Offline;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(alice.sync().await, ["alice online"]);
    let before = Instant::now();
    assert_eq!(alice.sync_for(LONG).await, ["alice offline"]);
    assert!(before.elapsed() < Duration::from_secs(31));
}

/// Changes of which each is at hand when the one before is brought.
fn put_one_after_the_other(engine: Engine, left: usize) -> BoxFuture<'static, ()> {
    async move {
        let rest = (left > 0).then(|| tokio::spawn(put_one_after_the_other(engine.clone(), left - 1)));
        assert!(try_put(&engine, Online).await.is_ok());
        if let Some(rest) = rest {
            rest.await.expect("no panic");
        }
    }
    .boxed()
}

#[tokio::test(start_paused = true)]
async fn changes_that_are_at_hand_are_made_and_stored_together() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    // The database is written by a real thread.
    let _time = StandStill::begin();
    let engine = serve(&[]);
    put_one_after_the_other(engine, 20).await;
    let text = exposition.render();
    // One is of what is stored at the start, if that was not written with it.
    let commits =
        |number: u64| format!("\npresence_router_storage_commits_total{{outcome=\"ok\"}} {number}\n");
    assert!(text.contains(&commits(1)) || text.contains(&commits(2)), "{text}");
}

/// A clock that panics once, when it is asked after that was set.
#[derive(Debug, Default)]
struct Panics(AtomicBool);

impl Clock for Panics {
    fn now_ms(&self) -> u64 {
        assert!(!self.0.swap(false, Ordering::Relaxed), "as the test wants");
        1_000_000
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_panics_is_answered_and_the_next_is_made() {
    let _time = StandStill::begin();
    let clock = Arc::new(Panics::default());
    let engine = Engine::start(setup(Arc::<Panics>::clone(&clock), &[]));
    assert!(try_put(&engine, Online).await.is_ok());
    clock.0.store(true, Ordering::Relaxed);
    assert!(matches!(try_put(&engine, Online).await, Err(NotApplied::Stopped)));
    assert!(try_put(&engine, Online).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_long_polls() {
    let server = serve(&[]);
    let mut alice = Client::new(&server, "alice");
    alice.sync().await;
    let poll = alice.long_poll(LONG);
    sleep(Duration::from_secs(1)).await;
    // The database is closed by a real thread.
    let _time = StandStill::begin();
    let before = Instant::now();
    server.shutdown(DEADLINE).await;
    assert!(alice.read(&poll.await.expect("ends")).is_empty());
    assert_eq!(before.elapsed(), Duration::ZERO);
    // It is over: what cannot be done is not answered as if it had been.
    assert!(try_put(&server, Online).await.is_err());
    assert!(alice.sync_for(LONG).await.is_empty());
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_applied_when_the_server_stops() {
    // Which of two things that are ready goes first is left to chance.
    for _ in 0..20 {
        let (engine, writer) = Engine::assemble(setup(clock(), &[]));
        let putting = engine.clone();
        let put = tokio::spawn(async move { try_put(&putting, Online).await });
        while engine.0.commands.is_empty() {
            tokio::task::yield_now().await;
        }
        engine.0.stop.cancel();
        writer::run(writer, engine.0.clone()).await;
        assert!(put.await.expect("ends").is_ok());
        assert_eq!(Client::new(&engine, "alice").sync().await, ["alice online"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_shuts_modules_down_and_waits_for_no_call() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    let (api, mut eve) = (puppet.api(), server.client("eve"));
    puppet.set_mood(Mood::Fail);
    eve.sync().await;
    puppet.set_mood(Mood::Hang);
    let (first, later) = (server.client("eve/2").long_poll(LONG), eve.long_poll(LONG));
    server.client("alice").put(Online, "").await;
    // Two syncs and the feed wait for it.
    puppet.asked_until(|asked| asked.len() == 4).await;
    // No time passes.
    server.engine.shutdown(DEADLINE).await;
    assert!(first.await.expect("ends").events.is_empty());
    assert!(later.await.expect("ends").events.is_empty());
    let shut_down = puppet
        .asked()
        .iter()
        .filter(|asked| **asked == Asked::ShutDown)
        .count();
    assert_eq!(shut_down, 1);
    let refused = api.register_audience([]).expect_err("it is shut down");
    assert_eq!(refused, presence_router_api::ApiError::ShutDown);
    assert_eq!(eve.look_at("alice").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_module_that_blocks_no_longer_than_the_deadline() {
    let puppet = TO_EVE.puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    let (gate, _opener) = Gate::closed();
    puppet.set_mood(Mood::Block(gate));
    server.client("alice").put(Online, "").await;
    puppet.asked_until(|asked| !asked.is_empty()).await;
    let (engine, before, short) = (server.engine.clone(), Instant::now(), Duration::from_millis(500));
    let stopping = tokio::spawn(async move { engine.stop(short).await });
    server.time.pass_until(|| stopping.is_finished()).await;
    assert!(before.elapsed() < short * 2);
}

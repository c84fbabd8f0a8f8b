//! What calls to a module cost when it misbehaves, and how it ends. The module's threads are real; time passes only when a
//! test says so.

mod crashes;
mod queue;

use tokio::task::JoinHandle;
use tokio::time::advance;

use super::call::{ABORT_GRACE, MAX_LEFT_BEHIND};
use super::*;
use crate::clock::{StandStill, TokioClock};
use crate::modules::puppet::{Asked, Gate, Mood, Puppet};
use crate::modules::turns::LOOKUPS_AT_ONCE;

const TIMEOUT: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(5);

/// A call that goes on by itself.
type Asking = JoinHandle<Result<InterestedUsers, CallError>>;

struct Bench {
    time: StandStill,
    puppet: Arc<Puppet>,
    module: Arc<Running>,
}

async fn bench() -> Bench {
    let (time, puppet) = (StandStill::begin(), Arc::new(Puppet::silent()));
    let clock = Arc::new(TokioClock::starting_at(1_000));
    let module = Arc::new(puppet.start(clock, TIMEOUT).await.expect("starts"));
    Bench { time, puppet, module }
}

fn user(name: &str) -> UserId {
    UserId::parse(format!("@{name}:example.org")).expect("valid")
}

impl Bench {
    async fn ask(&self) -> Result<InterestedUsers, CallError> {
        self.module.get_interested_users(&user("a")).await
    }

    /// A call that goes on by itself.
    fn ask_meanwhile(&self) -> Asking {
        let module = Arc::clone(&self.module);
        tokio::spawn(async move { module.get_interested_users(&user("a")).await })
    }

    async fn asked_times(&self, times: usize) {
        self.puppet.asked_until(|asked| asked.len() >= times).await;
    }

    fn queue(&self) -> usize {
        self.module.stats().queue
    }

    /// So many calls that go on by themselves, and have come to the queue.
    async fn ask_times(&self, times: usize) -> Vec<Asking> {
        let queue = self.queue() + times;
        let calls = (0..times).map(|_| self.ask_meanwhile()).collect();
        self.time.until(|| self.queue() == queue).await;
        calls
    }

    fn left_behind(&self) -> usize {
        self.module.shared.runtime.left_behind()
    }

    /// A call blocks the module's thread until the gate opens, and has overrun.
    async fn block(&self, gate: &Arc<Gate>) {
        let asked = self.puppet.asked().len();
        self.puppet.set_mood(Mood::Block(Arc::clone(gate)));
        let blocked = self.ask_meanwhile();
        self.asked_times(asked + 1).await;
        self.time.pass_until(|| blocked.is_finished()).await;
        assert_eq!(
            blocked.await.expect("does not panic"),
            Err(CallError::TimedOut(TIMEOUT))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn errors_panics_and_wrong_answers_fail_the_call_alone() {
    let bench = bench().await;
    let states = || vec![UserPresenceState::offline("@x:example.org")];
    bench.puppet.set_mood(Mood::Fail);
    assert_eq!(bench.ask().await, Err(CallError::Failed("told to fail".into())));
    bench.puppet.set_mood(Mood::Panic);
    let error = bench.ask().await.expect_err("panics").to_string();
    assert!(
        error.starts_with("panicked in get_interested_users") && error.ends_with(": told to panic"),
        "{error}"
    );
    bench.puppet.set_mood(Mood::Lie);
    let error = bench.module.get_users_for_states(states(), None).await;
    assert!(
        matches!(error, Err(CallError::Wrong(WrongAnswer::BadUserId(_)))),
        "{error:?}"
    );
    bench.puppet.set_mood(Mood::Answer);
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
    assert_eq!(bench.module.quarantined_for(), None);
    assert_eq!(bench.left_behind(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_routed_is_spare_unless_it_is_large() {
    let bench = bench().await;
    let batch = |bytes: usize| vec![UserPresenceState::offline("@a:x").with_status_msg("a".repeat(bytes))];
    for (bytes, spare) in [(10, 1), (SPARE_BYTES + 1, 0)] {
        let routed = bench.module.get_users_for_states(batch(bytes), None).await;
        routed.expect("it answers");
        assert_eq!(bench.module.take_spare().len(), spare);
        assert!(bench.module.take_spare().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_ended_and_the_module_left_alone_for_a_while() {
    let bench = bench().await;
    bench.puppet.set_mood(Mood::Hang);
    let hung = bench.ask_meanwhile();
    bench.asked_times(1).await;
    advance(TIMEOUT).await;
    // No time passes, so the grace is not over: it is the thread that ended the call.
    assert_eq!(
        hung.await.expect("does not panic"),
        Err(CallError::TimedOut(TIMEOUT))
    );
    assert_eq!(bench.left_behind(), 0);
    bench.puppet.set_mood(Mood::Answer);
    let rest = bench.module.quarantined_for().expect("in quarantine");
    assert_eq!(bench.ask().await, Err(CallError::Quarantined(rest)));
    assert_eq!(bench.puppet.asked().len(), 1);
    advance(rest).await;
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_thread_is_replaced_once_and_what_waited_for_it_is_cut_off() {
    let bench = bench().await;
    let (gate, opener) = Gate::closed();
    bench.puppet.set_mood(Mood::Block(gate));
    let blocked = bench.ask_meanwhile();
    bench.asked_times(1).await;
    let mut queued = Vec::new();
    for _ in 0..10 {
        advance(ABORT_GRACE * 2).await;
        queued.push(bench.ask_meanwhile());
    }
    bench.puppet.set_mood(Mood::Answer);
    bench.time.pass_until(|| blocked.is_finished()).await;
    for call in queued {
        assert_eq!(call.await.expect("does not panic"), Err(CallError::CutOff));
    }
    assert_eq!(bench.puppet.asked().len(), 1);

    advance(bench.module.quarantined_for().expect("in quarantine")).await;
    let fresh = bench.module.shared.runtime.thread();
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
    bench.time.until(|| bench.left_behind() == 1).await;
    // Those that were cut off have long overrun, and the fresh thread is still there.
    advance(TIMEOUT * 2).await;
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
    assert!(timeout(Duration::ZERO, fresh.left_behind()).await.is_err());
    assert_eq!(bench.module.quarantined_for(), None);

    drop(opener);
    bench.time.until(|| bench.left_behind() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_could_not_be_replaced_is_at_the_next_call() {
    let bench = bench().await;
    let (gate, _opener) = Gate::closed();
    bench.puppet.set_mood(Mood::Block(gate));
    let blocked = bench.ask_meanwhile();
    bench.asked_times(1).await;
    bench.puppet.set_mood(Mood::Answer);
    bench.module.shared.runtime.thread().set_stuck();
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
    assert_eq!(blocked.await.expect("does not panic"), Err(CallError::CutOff));
}

#[tokio::test(start_paused = true)]
async fn a_thread_is_replaced_by_the_first_who_says_so() {
    let bench = bench().await;
    let runtime = &bench.module.shared.runtime;
    let thread = runtime.thread();
    assert!(runtime.replace(&thread).expect("starts"));
    assert!(!runtime.replace(&thread).expect("need not start"));
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_by_its_caller_still_counts() {
    let bench = bench().await;
    bench.puppet.set_mood(Mood::Hang);
    let hung = bench.ask_meanwhile();
    bench.asked_times(1).await;
    hung.abort();
    assert!(hung.await.expect_err("was aborted").is_cancelled());
    assert_eq!(bench.module.quarantined_for(), None);
    bench
        .time
        .pass_until(|| bench.module.quarantined_for().is_some())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_blocked_thread_is_replaced_though_the_caller_goes_after_the_deadline() {
    let bench = bench().await;
    let (gate, _opener) = Gate::closed();
    bench.puppet.set_mood(Mood::Block(gate));
    let blocked = bench.ask_meanwhile();
    bench.asked_times(1).await;
    bench
        .time
        .pass_until(|| bench.module.quarantined_for().is_some())
        .await;
    // In the grace that the call has to end.
    blocked.abort();
    assert!(blocked.await.expect_err("was aborted").is_cancelled());
    bench.puppet.set_mood(Mood::Answer);
    bench
        .time
        .pass_until(|| bench.module.quarantined_for().is_none())
        .await;
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
}

#[tokio::test(start_paused = true)]
async fn a_module_that_blocks_again_and_again_costs_a_bounded_number_of_threads() {
    let bench = bench().await;
    let (gate, opener) = Gate::closed();
    for _ in 0..MAX_LEFT_BEHIND {
        bench.block(&gate).await;
        advance(bench.module.quarantined_for().expect("in quarantine")).await;
    }
    bench.time.until(|| bench.left_behind() == MAX_LEFT_BEHIND).await;
    assert_eq!(bench.ask().await, Err(CallError::Blocked(MAX_LEFT_BEHIND)));
    assert_eq!(bench.puppet.asked().len(), MAX_LEFT_BEHIND);
    bench.puppet.set_mood(Mood::Answer);
    drop(opener);
    bench.time.until(|| bench.left_behind() == 0).await;
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
}

#[test]
fn a_host_that_ends_while_a_call_runs_does_not_stumble_over_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("starts");
    runtime.block_on(async {
        let puppet = Arc::new(Puppet::silent());
        let clock = Arc::new(crate::clock::SystemClock);
        let module = puppet.start(clock, TIMEOUT * 100).await.expect("starts");
        puppet.set_mood(Mood::Hang);
        tokio::spawn(async move { module.get_interested_users(&user("a")).await });
        puppet.asked_until(|asked| asked.len() == 1).await;
    });
    drop(runtime);
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_neither_side_can_be_asked() {
    let bench = bench().await;
    let api = bench.puppet.api();
    let (alive, ended) = tokio::sync::oneshot::channel::<()>();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let sleep = api.sleep(Duration::from_hours(1));
    api.spawn(async move {
        let _alive = alive;
        let _ = started.send(());
        sleep.await;
    })
    .expect("spawns");
    has_started.await.expect("the task runs");

    assert!(bench.module.shutdown(DEADLINE).await);
    assert_eq!(bench.puppet.asked(), [Asked::ShutDown]);
    // It slept, and is dropped.
    assert!(ended.await.is_err());
    assert_eq!(bench.ask().await, Err(CallError::ShutDown));
    let api_error = api.register_audience([]).expect_err("it is shut down");
    assert_eq!(api_error, presence_router_api::ApiError::ShutDown);
    assert_eq!(api.spawn(async {}), Err(presence_router_api::ApiError::ShutDown));
    assert!(bench.module.shutdown(DEADLINE).await);
    assert_eq!(bench.puppet.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_module_that_does_not_end_by_the_deadline_is_left_behind() {
    let bench = bench().await;
    let (gate, _opener) = Gate::closed();
    bench.puppet.set_mood(Mood::Block(gate));
    let _blocked = bench.ask_meanwhile();
    bench.asked_times(1).await;
    let module = Arc::clone(&bench.module);
    let short = Duration::from_millis(100);
    let ending = tokio::spawn(async move { module.shutdown(short).await });
    bench.time.pass_until(|| ending.is_finished()).await;
    assert!(!ending.await.expect("does not panic"));
    assert_eq!(bench.ask().await, Err(CallError::ShutDown));
}

#[tokio::test(start_paused = true)]
async fn a_sleep_is_as_long_as_the_hosts_clock_says() {
    let bench = bench().await;
    let api = bench.puppet.api();
    let before = api.now();
    let sleep = api.sleep(Duration::from_secs(7));
    let (done, mut is_done) = tokio::sync::oneshot::channel();
    api.spawn(async move {
        sleep.await;
        let _ = done.send(());
    })
    .expect("spawns");
    bench.time.pass_until(|| is_done.try_recv().is_ok()).await;
    assert!(api.now() >= before + 7_000);
}

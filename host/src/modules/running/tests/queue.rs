//! What becomes of calls when more come than the module's thread takes.

use tokio::time::Instant;

use super::*;
use crate::modules::puppet::Opener;
use crate::modules::turns::{MAX_BATCHES, MAX_LOOKUPS, MAX_WAIT};

/// A millisecond more, and a call overruns.
const NEARLY: Duration = TIMEOUT.saturating_sub(Duration::from_millis(1));

impl Bench {
    /// A call that blocks the thread, and the gate that ends it. The next call is answered.
    async fn occupy(&self) -> (Asking, Opener) {
        let (gate, opener) = Gate::closed();
        let asked = self.puppet.asked().len();
        self.puppet.set_mood(Mood::Block(gate));
        let call = self.ask_meanwhile();
        self.asked_times(asked + 1).await;
        self.puppet.set_mood(Mood::Answer);
        (call, opener)
    }

    /// The call that blocks the thread ends when it has nearly overrun, and the next one blocks it.
    async fn end_late_and_occupy(&self, opener: Opener) -> Opener {
        let (gate, next) = Gate::closed();
        let asked = self.puppet.asked().len();
        self.puppet.set_mood(Mood::Block(gate));
        advance(NEARLY).await;
        drop(opener);
        self.asked_times(asked + 1).await;
        next
    }

    fn route_meanwhile(&self) -> JoinHandle<Result<Routed, CallError>> {
        let module = Arc::clone(&self.module);
        let states = vec![UserPresenceState::offline("@x:example.org")];
        tokio::spawn(async move { module.get_users_for_states(states, None).await })
    }

    /// How many batches the module was asked, and how many lookups before the first of them.
    fn batches(&self) -> (usize, usize) {
        let asked = self.puppet.asked();
        let is_batch = |asked: &Asked| matches!(asked, Asked::Route(_, None));
        let batches = asked.iter().filter(|asked| is_batch(asked)).count();
        (batches, asked.iter().take_while(|asked| !is_batch(asked)).count())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_has_its_whole_time_from_when_the_module_begins_with_it() {
    let bench = bench().await;
    let (first, mut opener) = bench.occupy().await;
    let waiting = bench.ask_times(4).await;
    // By the time that they came, all of them are late; the last has waited for four others.
    for _ in 0..4 {
        opener = bench.end_late_and_occupy(opener).await;
    }
    advance(NEARLY).await;
    assert_eq!(bench.module.quarantined_for(), None);
    drop(opener);
    for call in waiting.into_iter().chain([first]) {
        assert_eq!(call.await.expect("does not panic"), Ok(InterestedUsers::none()));
    }
    assert_eq!(bench.left_behind(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_overruns_as_any_other() {
    let bench = bench().await;
    let (first, opener) = bench.occupy().await;
    bench.puppet.set_mood(Mood::Hang);
    let hangs = bench.ask_meanwhile();
    bench.time.until(|| bench.queue() == 2).await;
    advance(TIMEOUT / 2).await;
    drop(opener);
    assert!(first.await.expect("does not panic").is_ok());
    bench.asked_times(2).await;
    advance(NEARLY).await;
    assert_eq!(bench.module.quarantined_for(), None);
    advance(Duration::from_millis(1)).await;
    let error = hangs.await.expect("does not panic");
    assert_eq!(error, Err(CallError::TimedOut(TIMEOUT)));
    assert_eq!(bench.queue(), 0);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_lookups_are_refused_at_once_and_batches_have_places_of_their_own() {
    let bench = bench().await;
    let (blocked, opener) = bench.occupy().await;
    let waiting = bench.ask_times(MAX_LOOKUPS - 1).await;
    assert_eq!(bench.ask().await, Err(CallError::Busy(MAX_LOOKUPS)));
    let reader = user("a");
    let part = bench.module.get_users_for_states(Vec::new(), Some(&reader));
    assert_eq!(part.await.expect_err("is refused"), CallError::Busy(MAX_LOOKUPS));

    let batches: Vec<_> = (0..MAX_BATCHES).map(|_| bench.route_meanwhile()).collect();
    let full = MAX_LOOKUPS + MAX_BATCHES;
    bench.time.until(|| bench.queue() == full).await;
    let refused = bench.route_meanwhile().await.expect("does not panic");
    assert_eq!(refused.expect_err("is refused"), CallError::Busy(full));
    assert_eq!(bench.puppet.asked().len(), 1);

    drop(opener);
    for call in waiting.into_iter().chain([blocked]) {
        assert_eq!(call.await.expect("does not panic"), Ok(InterestedUsers::none()));
    }
    for batch in batches {
        assert!(batch.await.expect("does not panic").is_ok());
    }
    // One that came while others waited is behind those that were with the thread alone.
    let (asked, before) = bench.batches();
    assert_eq!(asked, MAX_BATCHES);
    assert!(before <= 2 * LOOKUPS_AT_ONCE, "{before}");
    assert_eq!(bench.queue(), 0);
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
    let counts = bench.module.stats().counts;
    assert_eq!((counts.total, counts.failed()), ((full + 1) as u64, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_bounded_time() {
    let bench = bench().await;
    let (first, mut opener) = bench.occupy().await;
    // Half of them are given to the thread, half wait for their turn.
    let waiting = bench.ask_times(2 * LOOKUPS_AT_ONCE - 1).await;
    let began = Instant::now();
    while began.elapsed() < MAX_WAIT.saturating_sub(TIMEOUT) {
        opener = bench.end_late_and_occupy(opener).await;
    }
    let asked = bench.puppet.asked().len();
    advance(NEARLY).await;
    assert_eq!(bench.module.quarantined_for(), None);
    // The call that runs goes on, and ends in time.
    bench.time.until(|| bench.queue() == 1).await;
    drop(opener);
    assert!(first.await.expect("does not panic").is_ok());
    let mut not_reached = 0;
    for call in waiting {
        match call.await.expect("does not panic") {
            Ok(_) => {}
            Err(CallError::NotReached(MAX_WAIT)) => not_reached += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(not_reached, 2 * LOOKUPS_AT_ONCE - asked);
    bench.puppet.set_mood(Mood::Answer);
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
    // Those that have gone are not asked of the module.
    assert_eq!(bench.puppet.asked().len(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn who_goes_before_the_module_begins_is_not_asked_for() {
    let bench = bench().await;
    let (first, opener) = bench.occupy().await;
    let going = bench.ask_times(2 * LOOKUPS_AT_ONCE).await;
    for call in &going {
        call.abort();
    }
    bench.time.until(|| bench.queue() == 1).await;
    drop(opener);
    assert!(first.await.expect("does not panic").is_ok());
    assert_eq!(bench.ask().await, Ok(InterestedUsers::none()));
    assert_eq!(bench.puppet.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_turn_behind_a_blocked_thread_or_one_that_hung_gets_none() {
    let bench = bench().await;
    let (gate, _opener) = Gate::closed();
    bench.puppet.set_mood(Mood::Block(gate));
    let waiting = bench.ask_times(2 * LOOKUPS_AT_ONCE).await;
    bench.asked_times(1).await;
    bench
        .time
        .pass_until(|| waiting.iter().all(JoinHandle::is_finished))
        .await;
    let mut ends = Vec::new();
    for call in waiting {
        ends.push(call.await.expect("does not panic"));
    }
    let cut_off = ends.iter().filter(|end| **end == Err(CallError::CutOff));
    assert_eq!(cut_off.count(), 2 * LOOKUPS_AT_ONCE - 1);

    advance(bench.module.quarantined_for().expect("in quarantine")).await;
    bench.puppet.set_mood(Mood::Hang);
    let asked = bench.puppet.asked().len();
    let waiting = bench.ask_times(2 * LOOKUPS_AT_ONCE).await;
    bench.asked_times(asked + LOOKUPS_AT_ONCE).await;
    advance(TIMEOUT).await;
    let mut quarantined = 0;
    for call in waiting {
        let end = call.await.expect("does not panic");
        quarantined += usize::from(matches!(end, Err(CallError::Quarantined(_))));
    }
    assert_eq!(quarantined, LOOKUPS_AT_ONCE);
    assert_eq!(bench.queue(), 0);
}

//! What becomes of a module that crashes again and again.

use super::*;
use crate::modules::limits::CrashBudget;

const HOUR: Duration = Duration::from_hours(1);

async fn bench_with(crashes: u32) -> Bench {
    let (time, puppet) = (StandStill::begin(), Arc::new(Puppet::silent()));
    let clock = Arc::new(TokioClock::starting_at(1_000));
    let facts = HostFacts::without_services("example.org", clock, tokio::runtime::Handle::current());
    let limits = Limits {
        call_timeout: TIMEOUT,
        crash_budget: Some(CrashBudget {
            crashes,
            within: HOUR,
        }),
    };
    let module = Arc::new(puppet.start_within(facts, limits).await.expect("starts"));
    Bench { time, puppet, module }
}

impl Bench {
    async fn panic(&self) {
        self.puppet.set_mood(Mood::Panic);
        let error = self.ask().await.expect_err("panics");
        assert!(matches!(error, CallError::Panicked(_)), "{error}");
    }

    fn crashes(&self) -> (u32, bool) {
        let stats = self.module.stats();
        assert_eq!(stats.is_off, self.module.is_off());
        (stats.crashes, stats.is_off)
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_too_often_is_not_asked_until_an_operator_wants_it() {
    let bench = bench_with(3).await;
    assert_eq!(bench.module.stats().crash_budget, Some(3));
    bench.panic().await;
    bench.panic().await;
    // Errors and wrong answers are no crashes.
    for mood in [Mood::Fail, Mood::Lie] {
        bench.puppet.set_mood(mood);
        let states = vec![UserPresenceState::offline("@x:example.org")];
        assert!(bench.module.get_users_for_states(states, None).await.is_err());
    }
    assert_eq!(bench.crashes(), (2, false));
    bench.panic().await;
    assert_eq!(bench.crashes(), (3, true));

    let asked = bench.puppet.asked().len();
    bench.puppet.set_mood(Mood::Answer);
    advance(HOUR * 2).await;
    assert_eq!(bench.ask().await, Err(CallError::Off));
    assert_eq!(bench.puppet.asked().len(), asked);
    let counts = bench.module.stats().counts;
    assert_eq!((counts.total, counts.panics, counts.failed()), (5, 3, 5));
}

#[tokio::test(start_paused = true)]
async fn panics_are_counted_though_nobody_waits_for_the_answer() {
    let bench = bench_with(1).await;
    let (gate, opener) = Gate::closed();
    bench.puppet.set_mood(Mood::BlockAndPanic(gate));
    let call = bench.ask_meanwhile();
    bench.asked_times(1).await;
    call.abort();
    assert!(call.await.expect_err("was aborted").is_cancelled());
    drop(opener);
    bench.time.until(|| bench.module.is_off()).await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_overrun_together_are_one_crash() {
    let bench = bench_with(2).await;
    bench.puppet.set_mood(Mood::Hang);
    for crashes in 1..=2 {
        let asked = bench.puppet.asked().len();
        let calls: Vec<_> = (0..10).map(|_| bench.ask_meanwhile()).collect();
        bench.asked_times(asked + 10).await;
        advance(TIMEOUT).await;
        for call in calls {
            let error = call.await.expect("does not panic");
            assert_eq!(error, Err(CallError::TimedOut(TIMEOUT)));
        }
        assert_eq!(bench.crashes(), (crashes, crashes == 2));
        advance(bench.module.quarantined_for().expect("in quarantine")).await;
    }
    assert_eq!(bench.ask().await, Err(CallError::Off));
    let counts = bench.module.stats().counts;
    assert_eq!((counts.total, counts.timeouts), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_turn_when_the_module_goes_off_gets_none() {
    let bench = bench_with(1).await;
    let (gate, opener) = Gate::closed();
    bench.puppet.set_mood(Mood::BlockAndPanic(gate));
    let first = bench.ask_meanwhile();
    bench.asked_times(1).await;
    bench.puppet.set_mood(Mood::Answer);
    let waiting = bench.ask_times(2 * LOOKUPS_AT_ONCE).await;
    drop(opener);
    assert!(matches!(
        first.await.expect("does not panic"),
        Err(CallError::Panicked(_))
    ));
    let mut off = 0;
    for call in waiting {
        off += usize::from(call.await.expect("does not panic") == Err(CallError::Off));
    }
    assert!(off > 0);
    assert_eq!(bench.puppet.asked().len(), 1 + 2 * LOOKUPS_AT_ONCE - off);
}

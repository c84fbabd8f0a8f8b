//! What calls to a module are counted by.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use tokio::time::Instant;

use crate::metrics::names::{
    MODULE_BLOCKED, MODULE_CALL_SECONDS, MODULE_CALLS, MODULE_DIRTY, MODULE_GENERATION, MODULE_OFF,
    MODULE_QUARANTINED, MODULE_QUEUE,
};
use crate::metrics::process::number;

/// A method of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `get_users_for_states`.
    GetUsersForStates,
    /// `get_interested_users`.
    GetInterestedUsers,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Ok,
    /// With an error of the module's.
    Error,
    /// With a panic.
    Panic,
    /// Not by its deadline.
    Timeout,
    /// With an answer that is wrong.
    Wrong,
    /// It was not made, as the module is left alone after a call that overran.
    Quarantined,
    /// It was not made, as the module blocks too many threads.
    Blocked,
    /// It was not made, as the module is off.
    Off,
    /// It was not made, as too many calls came before it.
    Busy,
    /// Another call blocked the thread that it ran on.
    CutOff,
    /// It was not made, as the module has been shut down.
    ShutDown,
    /// Whoever wanted the answer went away.
    Abandoned,
}

impl Outcome {
    /// Whether there was a call at all.
    pub fn was_made(self) -> bool {
        !matches!(
            self,
            Self::Quarantined | Self::Blocked | Self::Off | Self::Busy | Self::ShutDown
        )
    }
}

const METHODS: [(Method, &str); 2] = [
    (Method::GetUsersForStates, "get_users_for_states"),
    (Method::GetInterestedUsers, "get_interested_users"),
];

const OUTCOMES: [(Outcome, &str); 12] = [
    (Outcome::Ok, "ok"),
    (Outcome::Error, "error"),
    (Outcome::Panic, "panic"),
    (Outcome::Timeout, "timeout"),
    (Outcome::Wrong, "wrong"),
    (Outcome::Quarantined, "quarantined"),
    (Outcome::Blocked, "blocked"),
    (Outcome::Off, "off"),
    (Outcome::Busy, "busy"),
    (Outcome::CutOff, "cut_off"),
    (Outcome::ShutDown, "shut_down"),
    (Outcome::Abandoned, "abandoned"),
];

/// How a module is at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Health {
    /// Which generation serves; 0 when none does.
    pub generation: u64,
    /// Whether it is left alone after a call that overran.
    pub quarantined: bool,
    /// Whether it is off, as it has crashed too often.
    pub off: bool,
    /// How many threads it blocks.
    pub blocked_threads: usize,
    /// How many calls wait for their turn, or run.
    pub queue: usize,
}

/// The handles of one module.
pub struct ModuleMetrics {
    generation: Gauge,
    methods: [MethodMetrics; METHODS.len()],
    quarantined: Gauge,
    off: Gauge,
    blocked: Gauge,
    queue: Gauge,
    dirty: Gauge,
}

struct MethodMetrics {
    outcomes: [Counter; OUTCOMES.len()],
    seconds: Histogram,
}

impl ModuleMetrics {
    /// Fetches those of the module of this name. Nothing is set yet: another generation may serve.
    pub fn new(module: &str) -> Self {
        Self {
            generation: MODULE_GENERATION.gauge([module]),
            methods: METHODS.map(|(_, method)| MethodMetrics {
                outcomes: OUTCOMES.map(|(_, outcome)| MODULE_CALLS.counter([module, method, outcome])),
                seconds: MODULE_CALL_SECONDS.histogram([module, method]),
            }),
            quarantined: MODULE_QUARANTINED.gauge([module]),
            off: MODULE_OFF.gauge([module]),
            blocked: MODULE_BLOCKED.gauge([module]),
            queue: MODULE_QUEUE.gauge([module]),
            dirty: MODULE_DIRTY.gauge([module]),
        }
    }

    /// A call begins. Dropped without an [`end`](RunningCall::end), it counts as [`Outcome::Abandoned`].
    pub fn begin(&self, method: Method) -> RunningCall<'_> {
        RunningCall {
            metrics: &self.methods[method as usize],
            began: Instant::now(),
            outcome: Outcome::Abandoned,
        }
    }

    /// How the module is.
    pub fn health(&self, health: &Health) {
        let Health {
            generation,
            quarantined,
            off,
            blocked_threads,
            queue,
        } = *health;
        self.generation.set(number(generation));
        self.quarantined.set(f64::from(u8::from(quarantined)));
        self.off.set(f64::from(u8::from(off)));
        self.blocked.set(number(blocked_threads as u64));
        self.queue.set(number(queue as u64));
    }

    /// How many users the module has yet to route.
    pub fn dirty(&self, users: usize) {
        self.dirty.set(number(users as u64));
    }
}

impl fmt::Debug for ModuleMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleMetrics").finish_non_exhaustive()
    }
}

/// A call that runs.
pub struct RunningCall<'a> {
    metrics: &'a MethodMetrics,
    began: Instant,
    outcome: Outcome,
}

impl RunningCall<'_> {
    /// How long it has run.
    pub fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// The call has ended.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        self.metrics.outcomes[self.outcome as usize].increment(1);
        if self.outcome.was_made() {
            self.metrics.seconds.record(self.began.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Exposition;

    #[tokio::test(start_paused = true)]
    async fn each_end_is_counted_under_its_own_name_and_only_calls_that_were_made_have_a_duration() {
        let (recorder, exposition) = Exposition::for_test();
        let metrics = metrics::with_local_recorder(&recorder, || ModuleMetrics::new("m"));
        for (number, (method, outcome)) in METHODS
            .iter()
            .flat_map(|method| OUTCOMES.iter().map(move |outcome| (method, outcome)))
            .enumerate()
        {
            for _ in 0..=number {
                metrics.begin(method.0).end(outcome.0);
            }
            let text = exposition.render();
            let line = format!(
                "presence_router_module_calls_total{{module=\"m\",method=\"{}\",outcome=\"{}\"}} {}",
                method.1,
                outcome.1,
                number + 1
            );
            assert!(text.contains(&line), "{line}\n{text}");
        }
        let call = metrics.begin(Method::GetInterestedUsers);
        tokio::time::advance(Duration::from_secs(2)).await;
        call.end(Outcome::Timeout);
        let text = exposition.render();
        // 1 + 2 + ... + 12, without the 6th to the 9th and the 11th.
        let of = "{module=\"m\",method=\"get_users_for_states\"}";
        assert!(
            text.contains(&format!("_seconds_count{of} {}\n", 78 - 6 - 7 - 8 - 9 - 11)),
            "{text}"
        );
        let of = "{module=\"m\",method=\"get_interested_users\"}";
        assert!(text.contains(&format!("_seconds_sum{of} 2\n")), "{text}");
    }

    #[test]
    fn what_is_read_is_told_under_its_own_name() {
        let (recorder, exposition) = Exposition::for_test();
        let metrics = metrics::with_local_recorder(&recorder, || ModuleMetrics::new("m"));
        metrics.health(&Health {
            generation: 7,
            quarantined: true,
            off: false,
            blocked_threads: 3,
            queue: 5,
        });
        metrics.dirty(4);
        let text = exposition.render();
        for line in [
            "presence_router_module_generation{module=\"m\"} 7",
            "presence_router_module_quarantined{module=\"m\"} 1",
            "presence_router_module_off{module=\"m\"} 0",
            "presence_router_module_blocked_threads{module=\"m\"} 3",
            "presence_router_module_queue{module=\"m\"} 5",
            "presence_router_module_dirty_users{module=\"m\"} 4",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
        metrics.health(&Health {
            off: true,
            ..Health::default()
        });
        let text = exposition.render();
        assert!(text.contains("quarantined{module=\"m\"} 0"), "{text}");
        assert!(text.contains("off{module=\"m\"} 1"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_nobody_waits_for_any_more_is_counted_too() {
        let (recorder, exposition) = Exposition::for_test();
        let metrics = metrics::with_local_recorder(&recorder, || ModuleMetrics::new("m"));
        drop(metrics.begin(Method::GetUsersForStates));
        assert!(exposition.render().contains("outcome=\"abandoned\"} 1"));
    }
}

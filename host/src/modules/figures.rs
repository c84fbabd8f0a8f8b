//! What the calls to one instance have come to since it started: how many, how they ended, how long they took.
//!
//! The metrics count by the module's name, over all its generations; this is of one generation, for `modules list`
//! and for the decision to roll back.

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

use crate::metrics::Outcome;

/// What the figures of one instance are at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CallStats {
    /// How often it was called since it started, by outcome.
    pub counts: Counts,
    /// How long its calls took since it started, with the wait for their turn; nothing before the first.
    pub latency: Option<Latency>,
    /// Calls that wait for their turn, or run.
    pub queue: usize,
    /// How much longer it is left alone after a call that overran.
    pub quarantined_for: Option<Duration>,
    /// Threads that it blocks, each left behind.
    pub blocked_threads: usize,
    /// Panics and overrun calls in the window of the crash budget; 0 without a budget.
    pub crashes: u32,
    /// With so many, it is off; nothing when it may crash without end.
    pub crash_budget: Option<u32>,
    /// Whether its crash budget is spent: it is not asked until an operator acts.
    pub is_off: bool,
}

/// Calls, by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All that have ended. Calls that were not made are not among them.
    pub total: u64,
    /// With an error of the module's.
    pub errors: u64,
    /// With a panic.
    pub panics: u64,
    /// Not by their deadline.
    pub timeouts: u64,
    /// With an answer that was wrong.
    pub wrong: u64,
}

impl Counts {
    /// What has come since an earlier reading of the same instance.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            errors: self.errors.saturating_sub(earlier.errors),
            panics: self.panics.saturating_sub(earlier.panics),
            timeouts: self.timeouts.saturating_sub(earlier.timeouts),
            wrong: self.wrong.saturating_sub(earlier.wrong),
        }
    }

    /// Calls whose end is the module's fault.
    pub fn failed(self) -> u64 {
        self.errors + self.panics + self.timeouts + self.wrong
    }

    /// The share of calls that failed, from 0 to 1; nothing without a call.
    #[expect(
        clippy::cast_precision_loss,
        reason = "beyond 2^52 calls, a share of them need not be exact"
    )]
    pub fn failure_rate(self) -> Option<f64> {
        (self.total > 0).then(|| self.failed() as f64 / self.total as f64)
    }

    fn count(&mut self, outcome: Outcome) {
        self.total += 1;
        match outcome {
            Outcome::Error => self.errors += 1,
            Outcome::Panic => self.panics += 1,
            Outcome::Timeout => self.timeouts += 1,
            Outcome::Wrong => self.wrong += 1,
            _ => {}
        }
    }
}

/// How long calls took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
}

/// Counts the calls of one instance. Its size is bounded: durations are kept as how many of them were within 1 % of
/// which length.
pub(super) struct Figures(Mutex<State>);

struct State {
    counts: Counts,
    /// In milliseconds.
    durations: DDSketch,
}

impl Default for Figures {
    fn default() -> Self {
        Self(Mutex::new(State {
            counts: Counts::default(),
            durations: DDSketch::new(Config::defaults()),
        }))
    }
}

impl Figures {
    /// A call has ended. One that was not made does not count.
    pub(super) fn count(&self, outcome: Outcome, took: Duration) {
        if !outcome.was_made() {
            return;
        }
        let mut state = self.0.lock();
        state.counts.count(outcome);
        state.durations.add(took.as_secs_f64() * 1_000.0);
    }

    pub(super) fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    pub(super) fn latency(&self) -> Option<Latency> {
        let state = self.0.lock();
        let quantile = |share| state.durations.quantile(share).ok().flatten();
        Some(Latency {
            p50_ms: quantile(0.5)?,
            p99_ms: quantile(0.99)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn each_end_is_counted_as_what_it_is() {
        let figures = Figures::default();
        assert_eq!(figures.counts().failure_rate(), None);
        let ends = [
            (Outcome::Ok, 5),
            (Outcome::Error, 1),
            (Outcome::Panic, 2),
            (Outcome::Timeout, 3),
            (Outcome::Wrong, 4),
            (Outcome::CutOff, 1),
            (Outcome::Abandoned, 4),
            (Outcome::Quarantined, 10),
            (Outcome::Blocked, 10),
            (Outcome::ShutDown, 10),
        ];
        for (outcome, times) in ends {
            for _ in 0..times {
                figures.count(outcome, SOON);
            }
        }
        let expected = Counts {
            total: 20,
            errors: 1,
            panics: 2,
            timeouts: 3,
            wrong: 4,
        };
        assert_eq!(figures.counts(), expected);
        assert_eq!(expected.failed(), 10);
        assert_eq!(expected.failure_rate(), Some(0.5));
    }

    #[test]
    fn two_readings_tell_of_the_time_between_them() {
        let figures = Figures::default();
        figures.count(Outcome::Error, SOON);
        let before = figures.counts();
        assert_eq!(figures.counts().since(before).failure_rate(), None);
        for outcome in [Outcome::Ok, Outcome::Panic, Outcome::Ok, Outcome::Ok] {
            figures.count(outcome, SOON);
        }
        let between = figures.counts().since(before);
        assert_eq!((between.total, between.errors, between.panics), (4, 0, 1));
        assert_eq!(between.failure_rate(), Some(0.25));
        assert_eq!(before.since(figures.counts()), Counts::default());
    }

    #[test]
    fn quantiles_are_within_a_hundredth_of_what_was_measured() {
        let figures = Figures::default();
        assert_eq!(figures.latency(), None);
        figures.count(Outcome::Blocked, Duration::from_mins(1));
        assert_eq!(figures.latency(), None);
        for ms in 1..=100 {
            figures.count(Outcome::Ok, Duration::from_millis(ms));
        }
        let latency = figures.latency().expect("calls were made");
        assert!((latency.p50_ms - 50.0).abs() <= 1.0, "{latency:?}");
        assert!((latency.p99_ms - 99.0).abs() <= 1.5, "{latency:?}");
    }

    #[test]
    fn durations_of_any_length_take_bounded_room() {
        let figures = Figures::default();
        figures.count(Outcome::Ok, Duration::ZERO);
        figures.count(Outcome::Timeout, Duration::MAX);
        let mut took = Duration::from_nanos(1);
        for _ in 0..10_000 {
            figures.count(Outcome::Ok, took);
            took = took.saturating_mul(2).max(Duration::from_nanos(1));
        }
        assert!(figures.0.lock().durations.length() <= 2_048);
    }
}

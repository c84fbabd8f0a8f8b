//! What all connections of a run share, and what they count.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::http::Authority;
use crate::stamp::Tag;
use crate::targets::Targets;

/// How many different errors are told apart. A server that puts a number into each must not fill our memory.
const MAX_ERRORS: usize = 50;

/// How long a run may be.
const LONGEST: Duration = Duration::from_hours(24);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) targets: Targets,
    pub(crate) authority: Authority,
    pub(crate) tag: Tag,
    pub(crate) window: Window,
    /// When the first update is due: the zero of all times.
    pub(crate) started: OnceLock<Instant>,
    /// The path of `/sync` with its query, up to the value of `since`.
    pub(crate) sync_path: String,
}

impl Run {
    /// Starts its time, which starts once.
    pub(crate) fn begin(&self) {
        self.started.get_or_init(Instant::now);
    }

    /// Nanoseconds since the start; 0 before.
    pub(crate) fn now(&self) -> u64 {
        let elapsed = self.started.get().map_or(Duration::ZERO, Instant::elapsed);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// What the clock shows `after` the start.
    pub(crate) fn at(&self, after: Duration) -> Instant {
        self.started
            .get()
            .map_or_else(Instant::now, |started| *started + after)
    }
}

/// The part of the run that is measured, as times since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

impl Window {
    /// The window behind a warm-up, both in seconds. `None` when they are no durations, or end after [`LONGEST`].
    pub(crate) fn after(warmup: f64, measured: f64) -> Option<Self> {
        let from = Duration::try_from_secs_f64(warmup).ok()?;
        let to = from.checked_add(Duration::try_from_secs_f64(measured).ok()?)?;
        (to > from && to <= LONGEST).then_some(Self { from, to })
    }

    /// How long it is, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.to.saturating_sub(self.from).as_secs_f64()
    }

    pub(crate) fn holds(&self, at: u64) -> bool {
        let at = Duration::from_nanos(at);
        at >= self.from && at < self.to
    }
}

/// What went wrong, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Errors(BTreeMap<String, u64>);

impl Errors {
    pub(crate) fn add(&mut self, what: String) {
        self.count(what, 1);
    }

    pub(crate) fn merge(&mut self, other: Errors) {
        for (what, count) in other.0 {
            self.count(what, count);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(what, count)| (what.as_str(), *count))
    }

    fn count(&mut self, what: String, count: u64) {
        let known = self.0.len() < MAX_ERRORS || self.0.contains_key(&what);
        let what = if known { what } else { "others".to_owned() };
        *self.0.entry(what).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_has_its_start_and_not_its_end() {
        let window = Window::after(1.0, 2.0).expect("durations");
        let seconds = |seconds: u64| seconds * 1_000_000_000;
        assert!(!window.holds(seconds(1) - 1) && window.holds(seconds(1)));
        assert!(window.holds(seconds(3) - 1) && !window.holds(seconds(3)));
        assert!(Window::after(-1.0, 2.0).is_none() && Window::after(0.0, f64::NAN).is_none());
        assert!(Window::after(1.0, 0.0).is_none() && Window::after(0.0, 1e9).is_none());
    }

    #[test]
    fn errors_without_end_become_one() {
        let mut errors = Errors::default();
        for number in 0..1000 {
            errors.add(format!("error {number}"));
        }
        errors.add("error 0".to_owned());
        assert_eq!(errors.total(), 1001);
        assert_eq!(errors.iter().count(), MAX_ERRORS + 1);
        assert_eq!(
            errors.iter().find(|(what, _)| *what == "error 0"),
            Some(("error 0", 2))
        );
    }
}

//! How often an instance has crashed of late, and whether that was once too often.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::modules::limits::CrashBudget;

/// The crashes of an instance, as far as its budget looks back.
#[derive(Debug)]
pub(super) struct Crashes {
    budget: Option<CrashBudget>,
    /// When they were, the oldest first. No more than the budget has.
    recent: Mutex<VecDeque<Instant>>,
    /// Changed under the lock of `recent`; every call reads it.
    is_off: AtomicBool,
}

impl Crashes {
    pub(super) fn new(budget: Option<CrashBudget>) -> Self {
        Self {
            budget,
            recent: Mutex::default(),
            is_off: AtomicBool::new(false),
        }
    }

    /// A crash. Answers the budget when this one has spent it: the instance is off from now on.
    pub(super) fn count(&self) -> Option<CrashBudget> {
        let budget = self.budget?;
        let now = Instant::now();
        let mut recent = self.recent.lock();
        if self.is_off() {
            return None;
        }
        forget_older(&mut recent, now, budget.within);
        recent.push_back(now);
        let is_spent = recent.len() >= budget.crashes as usize;
        self.is_off.store(is_spent, Ordering::Relaxed);
        is_spent.then_some(budget)
    }

    /// Whether the budget is spent.
    pub(super) fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Relaxed)
    }

    /// How many there were in the window. What has spent the budget stays, however long ago.
    pub(super) fn recent(&self) -> u32 {
        let Some(budget) = self.budget else {
            return 0;
        };
        let mut recent = self.recent.lock();
        if !self.is_off() {
            forget_older(&mut recent, Instant::now(), budget.within);
        }
        u32::try_from(recent.len()).unwrap_or(u32::MAX)
    }

    /// How many may be in the window; nothing for any number.
    pub(super) fn budget(&self) -> Option<u32> {
        self.budget.map(|budget| budget.crashes)
    }
}

fn forget_older(recent: &mut VecDeque<Instant>, now: Instant, within: Duration) {
    while recent.front().is_some_and(|at| now - *at >= within) {
        recent.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn three_an_hour() -> Crashes {
        Crashes::new(Some(CrashBudget {
            crashes: 3,
            within: HOUR,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_of_the_budget_switches_off_and_says_so_once() {
        let crashes = three_an_hour();
        assert_eq!((crashes.count(), crashes.count()), (None, None));
        assert_eq!((crashes.recent(), crashes.is_off()), (2, false));
        assert_eq!(crashes.count(), crashes.budget);
        assert_eq!((crashes.recent(), crashes.is_off()), (3, true));
        // One that was on its way. And time does not switch it on.
        assert_eq!(crashes.count(), None);
        advance(HOUR * 2).await;
        assert_eq!((crashes.recent(), crashes.is_off()), (3, true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_the_window_does_not_count() {
        let crashes = three_an_hour();
        for _ in 0..10 {
            assert_eq!(crashes.count(), None);
            advance(HOUR / 2).await;
        }
        assert_eq!(crashes.recent(), 1);
        assert_eq!(crashes.count(), None);
        assert_eq!(crashes.count(), crashes.budget);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_budget_nothing_is_ever_off() {
        let crashes = Crashes::new(None);
        for _ in 0..1_000 {
            assert_eq!(crashes.count(), None);
        }
        assert_eq!(
            (crashes.recent(), crashes.budget(), crashes.is_off()),
            (0, None, false)
        );
    }
}

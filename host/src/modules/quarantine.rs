//! When a module that overran may be asked again: not for a while, and twice as long with each time in a row.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a module is left alone after its first call that overran.
const FIRST: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
const LONGEST: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Quarantine(Mutex<State>);

#[derive(Debug)]
struct State {
    until: Option<Instant>,
    next: Duration,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self(Mutex::new(State {
            until: None,
            next: FIRST,
        }))
    }
}

impl Quarantine {
    /// How long the module is still left alone.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let until = self.0.lock().until?;
        Some(until.saturating_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }

    /// A call overran. Whether the quarantine begins by it: calls that overran together count once.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.0.lock();
        let begins = state.until.is_none_or(|until| until <= Instant::now());
        if begins {
            state.until = Some(Instant::now() + state.next);
            state.next = (state.next * 2).min(LONGEST);
        }
        begins
    }

    /// A call was answered in time.
    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        state.until = None;
        state.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_lasts_twice_as_long_each_time_until_an_answer() {
        let quarantine = Quarantine::default();
        assert_eq!(quarantine.remaining(), None);
        assert!(quarantine.begin());
        assert!(!quarantine.begin());
        assert_eq!(quarantine.remaining(), Some(FIRST));
        advance(FIRST).await;
        assert_eq!(quarantine.remaining(), None);
        assert!(quarantine.begin());
        assert_eq!(quarantine.remaining(), Some(FIRST * 2));
        quarantine.end();
        quarantine.begin();
        assert_eq!(quarantine.remaining(), Some(FIRST));
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_lasts_longer_than_a_minute() {
        let quarantine = Quarantine::default();
        for _ in 0..20 {
            quarantine.begin();
            advance(quarantine.remaining().expect("in quarantine")).await;
        }
        quarantine.begin();
        assert_eq!(quarantine.remaining(), Some(LONGEST));
    }
}

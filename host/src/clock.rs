//! The time, passed in wherever it matters, so that a test can drive it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch. May go backwards when somebody sets the system's clock.
    fn now_ms(&self) -> u64;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the system's time is read"
    )]
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that runs with tokio's, which a test can pause and advance.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    start_ms: u64,
    start: Instant,
}

impl TokioClock {
    /// It is `start_ms` now.
    pub fn starting_at(start_ms: u64) -> Self {
        Self {
            start_ms,
            start: Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now_ms(&self) -> u64 {
        let passed: Duration = self.start.elapsed();
        self.start_ms
            .saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Keeps tokio's paused clock where it is, for tests that wait for real threads: without it, tokio moves a paused clock on
/// to the next timer as soon as no task of its own has something to do.
#[cfg(test)]
pub(crate) struct StandStill {
    _until_dropped: std::sync::mpsc::Sender<()>,
}

/// The longest that a test waits for real threads.
#[cfg(test)]
const PATIENCE: Duration = Duration::from_mins(1);

#[cfg(test)]
impl StandStill {
    /// The clock stands still until this is dropped, but for `tokio::time::advance`.
    pub(crate) fn begin() -> Self {
        let (until_dropped, dropped) = std::sync::mpsc::channel();
        // A clock is not moved on while a blocking task runs.
        tokio::task::spawn_blocking(move || dropped.recv());
        Self {
            _until_dropped: until_dropped,
        }
    }

    /// Waits until it is so, while no time passes.
    pub(crate) async fn until(&self, mut so: impl FnMut() -> bool) {
        let begun = std::time::Instant::now();
        while !so() {
            assert!(begun.elapsed() < PATIENCE, "it does not become so");
            tokio::task::yield_now().await;
        }
    }

    /// Lets time pass, a millisecond after the other, until it is so.
    pub(crate) async fn pass_until(&self, mut so: impl FnMut() -> bool) {
        while !so() {
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }
}

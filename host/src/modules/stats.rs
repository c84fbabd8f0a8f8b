//! STUB until the branch `containment` is merged.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Calls, by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All that have ended.
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
    /// Those that gave no answer, or a wrong one.
    pub fn failed(&self) -> u64 {
        self.errors + self.panics + self.timeouts + self.wrong
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

/// Stub.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallStats {
    /// By outcome.
    pub counts: Counts,
    /// How long.
    pub latency: Option<Latency>,
    /// Waiting or running.
    pub queue: usize,
    /// Left alone.
    pub quarantined_for: Option<Duration>,
    /// Threads.
    pub blocked_threads: usize,
    /// Crashes.
    pub crashes: u32,
    /// Budget.
    pub crash_budget: Option<u32>,
    /// Off.
    pub is_off: bool,
}

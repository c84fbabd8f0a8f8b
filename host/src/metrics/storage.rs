//! What the database is counted by.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use crate::metrics::names::{STORAGE_COMMIT_SECONDS, STORAGE_COMMITS, STORAGE_ROWS, STORAGE_WAITING};
use crate::metrics::process::number;

/// The handles of the database.
#[derive(Debug, Clone)]
pub struct StorageMetrics {
    committed: Counter,
    failed: Counter,
    seconds: Histogram,
    rows: Counter,
    waiting: Gauge,
}

impl StorageMetrics {
    /// Fetches them.
    pub fn new() -> Self {
        Self {
            committed: STORAGE_COMMITS.counter(["ok"]),
            failed: STORAGE_COMMITS.counter(["error"]),
            seconds: STORAGE_COMMIT_SECONDS.histogram([]),
            rows: STORAGE_ROWS.counter([]),
            waiting: STORAGE_WAITING.gauge([]),
        }
    }

    /// A transaction has written so many rows.
    pub fn committed(&self, rows: usize, took: Duration) {
        self.committed.increment(1);
        self.rows.increment(rows as u64);
        self.seconds.record(took);
    }

    /// A transaction has failed.
    pub fn failed(&self, took: Duration) {
        self.failed.increment(1);
        self.seconds.record(took);
    }

    /// So many rows wait to be written.
    pub fn waiting(&self, rows: usize) {
        self.waiting.set(number(rows as u64));
    }
}

impl Default for StorageMetrics {
    fn default() -> Self {
        Self::new()
    }
}

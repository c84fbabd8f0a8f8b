//! How far logs have come, for those who do not hold them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Who reads it may be told of an entry before it can be read, and never after it could be.
#[derive(Debug, Default)]
pub struct Progress(AtomicU64);

impl Progress {
    pub(super) fn new(start: u64) -> Self {
        Self(AtomicU64::new(start))
    }

    /// The position of the newest entry.
    pub fn position(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn set(&self, position: u64) {
        self.0.store(position, Ordering::Release);
    }
}

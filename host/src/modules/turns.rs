//! Whose turn it is with a module's thread of calls: who may wait for it, how many are with it at once, and what happens to
//! them when it is left behind.
//!
//! Calls are lookups or batches. Lookups come from clients, as many as clients send; a batch comes from the module's
//! feed, one after the other. So they have places of their own: lookups never refuse a batch, and a batch waits behind
//! the few lookups that are with the thread already, not behind all that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio_util::sync::CancellationToken;

/// How many lookups of an instance wait or run at once. One more is refused.
pub(super) const MAX_LOOKUPS: usize = 1_024;
/// The same of batches.
pub(super) const MAX_BATCHES: usize = 16;
/// So many lookups are with the thread at once; the others wait their turn. Where the module waits for others, these
/// overlap; where it computes, a batch waits behind so many at most.
pub(super) const LOOKUPS_AT_ONCE: usize = 64;
/// How long a call waits for the module to begin with it.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody waits for the answer.
    Lookup,
    /// Changes are routed.
    Batch,
}

/// How many calls of an instance wait or run.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lookups: AtomicUsize,
    batches: AtomicUsize,
}

impl Queue {
    /// Takes a place.
    ///
    /// # Errors
    /// How many calls wait or run, when all places are taken.
    pub(super) fn enter(self: &Arc<Self>, purpose: Purpose) -> Result<Place, usize> {
        let (taken, most) = match purpose {
            Purpose::Lookup => (&self.lookups, MAX_LOOKUPS),
            Purpose::Batch => (&self.batches, MAX_BATCHES),
        };
        if taken.fetch_add(1, Ordering::Relaxed) >= most {
            taken.fetch_sub(1, Ordering::Relaxed);
            return Err(self.len());
        }
        Ok(Place {
            queue: Arc::clone(self),
            purpose,
        })
    }

    /// How many calls wait or run.
    pub(super) fn len(&self) -> usize {
        self.lookups.load(Ordering::Relaxed) + self.batches.load(Ordering::Relaxed)
    }
}

/// A place among the calls that wait or run, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    queue: Arc<Queue>,
    purpose: Purpose,
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = match self.purpose {
            Purpose::Lookup => &self.queue.lookups,
            Purpose::Batch => &self.queue.batches,
        };
        taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The thread that calls are given to.
#[derive(Debug, Clone)]
pub(super) struct CallThread(Arc<State>);

#[derive(Debug)]
struct State {
    left_behind: CancellationToken,
    /// Blocked, and no other could be started.
    is_stuck: AtomicBool,
    lookups: Arc<Semaphore>,
    batches: Arc<Semaphore>,
}

impl Default for CallThread {
    fn default() -> Self {
        Self(Arc::new(State {
            left_behind: CancellationToken::new(),
            is_stuck: AtomicBool::new(false),
            lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
            batches: Arc::new(Semaphore::new(MAX_BATCHES)),
        }))
    }
}

impl CallThread {
    /// Waits until the thread is left behind. What was given to it and did not begin will not.
    pub(super) async fn left_behind(&self) {
        self.0.left_behind.cancelled().await;
    }

    pub(super) fn is_left_behind(&self) -> bool {
        self.0.left_behind.is_cancelled()
    }

    /// Leaves it behind: who waits for a turn with it gets none.
    pub(super) fn leave_behind(&self) {
        self.0.left_behind.cancel();
        self.0.lookups.close();
        self.0.batches.close();
    }

    /// It is blocked, and no other can be started.
    pub(super) fn set_stuck(&self) {
        self.0.is_stuck.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.0.is_stuck.load(Ordering::Relaxed)
    }

    /// A turn, if one is free at once.
    pub(super) fn try_turn(&self, purpose: Purpose) -> Result<Turn, TryAcquireError> {
        Arc::clone(self.turns(purpose)).try_acquire_owned().map(Turn)
    }

    /// Waits for a turn, those who came first before. Nothing when the thread is left behind.
    pub(super) async fn turn(&self, purpose: Purpose) -> Option<Turn> {
        let turn = Arc::clone(self.turns(purpose)).acquire_owned().await;
        turn.ok().map(Turn)
    }

    fn turns(&self, purpose: Purpose) -> &Arc<Semaphore> {
        match purpose {
            Purpose::Lookup => &self.0.lookups,
            Purpose::Batch => &self.0.batches,
        }
    }
}

/// With this, a call may be given to the thread. It goes with the call, so that what the thread has not taken off its hands
/// counts, whoever still waits for it.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

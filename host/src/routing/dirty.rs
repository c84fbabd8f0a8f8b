//! Users whose changes a module has not routed yet. Nothing is lost: a user stays here until the module has answered
//! for their newest state.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::presence::UserKey;

/// How long the first batch that failed waits; doubled with each failure in a row.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest that a failed batch waits.
const MAX_RETRY: Duration = Duration::from_mins(1);

/// The users of one module. A user is in it once, however often they change: its size is bounded by how many users
/// there are.
#[derive(Debug)]
pub struct Dirty {
    fresh: BTreeSet<UserKey>,
    order: VecDeque<UserKey>,
    failed: BTreeSet<UserKey>,
    retry_at: Option<Instant>,
    next_retry: Duration,
}

/// Users to be routed in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    users: Vec<UserKey>,
}

impl Batch {
    /// The users, those who waited longest first.
    pub fn users(&self) -> &[UserKey] {
        &self.users
    }
}

impl Default for Dirty {
    fn default() -> Self {
        Self {
            fresh: BTreeSet::new(),
            order: VecDeque::new(),
            failed: BTreeSet::new(),
            retry_at: None,
            next_retry: FIRST_RETRY,
        }
    }
}

impl Dirty {
    /// A user has changed.
    pub fn mark(&mut self, user: UserKey) {
        // The newest state is what will be routed, so a failed one is fresh again.
        self.failed.remove(&user);
        if self.fresh.insert(user) {
            self.order.push_back(user);
        }
    }

    /// The next users to route, at most `limit`: fresh ones, or else failed ones whose time has come. Failed ones travel
    /// apart, so that a state on which the module stumbles holds up nobody else's.
    pub fn take(&mut self, limit: usize, now: Instant) -> Option<Batch> {
        if !self.order.is_empty() {
            let users: Vec<UserKey> = self.order.drain(..limit.min(self.order.len())).collect();
            for user in &users {
                self.fresh.remove(user);
            }
            return Some(Batch { users });
        }
        if self.retry_at.is_none_or(|at| at > now) {
            return None;
        }
        let users: Vec<UserKey> = self.failed.iter().copied().take(limit).collect();
        for user in &users {
            self.failed.remove(user);
        }
        if self.failed.is_empty() {
            self.retry_at = None;
        }
        (!users.is_empty()).then_some(Batch { users })
    }

    /// The module has answered.
    pub fn routed(&mut self) {
        if self.failed.is_empty() {
            self.next_retry = FIRST_RETRY;
        }
    }

    /// The module has failed at the batch: its users wait, but for those who have changed again. `not_before` is when
    /// the module can be asked again at all.
    pub fn failed(&mut self, batch: Batch, now: Instant, not_before: Option<Instant>) {
        self.failed
            .extend(batch.users.into_iter().filter(|user| !self.fresh.contains(user)));
        let at = now + self.next_retry;
        self.retry_at = Some(not_before.map_or(at, |earliest| earliest.max(at)));
        self.next_retry = (self.next_retry * 2).min(MAX_RETRY);
    }

    /// When there is something to do without a further change: `None` when there is nothing, a past moment when at once.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        if self.order.is_empty() {
            self.retry_at.filter(|_| !self.failed.is_empty())
        } else {
            Some(now)
        }
    }

    /// How many users wait.
    pub fn len(&self) -> usize {
        self.fresh.len() + self.failed.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: UserKey = UserKey(0);
    const B: UserKey = UserKey(1);

    #[tokio::test(start_paused = true)]
    async fn a_user_who_changes_twice_is_routed_once_in_the_order_of_the_first_change() {
        let now = Instant::now();
        let mut dirty = Dirty::default();
        for user in [B, A, B] {
            dirty.mark(user);
        }
        assert_eq!(dirty.take(10, now).expect("due").users(), [B, A]);
        assert_eq!(dirty.take(10, now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_batch_waits_apart_and_ever_longer() {
        let mut now = Instant::now();
        let mut dirty = Dirty::default();
        dirty.mark(A);
        let batch = dirty.take(10, now).expect("due");
        dirty.failed(batch, now, None);
        dirty.mark(B);
        assert_eq!(dirty.take(10, now).expect("due").users(), [B]);
        assert_eq!(dirty.due(now), Some(now + FIRST_RETRY));
        assert_eq!(dirty.take(10, now), None);
        now += FIRST_RETRY;
        let batch = dirty.take(10, now).expect("due");
        assert_eq!(batch.users(), [A]);
        dirty.failed(batch, now, None);
        assert_eq!(dirty.due(now), Some(now + FIRST_RETRY * 2));
        assert_eq!(dirty.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_user_who_changes_again_is_fresh() {
        let now = Instant::now();
        let mut dirty = Dirty::default();
        dirty.mark(A);
        let batch = dirty.take(10, now).expect("due");
        dirty.mark(A);
        dirty.failed(batch, now, Some(now + MAX_RETRY));
        assert_eq!(dirty.len(), 1);
        assert_eq!(dirty.take(10, now).expect("due").users(), [A]);
        assert!(dirty.is_empty());
        assert_eq!(dirty.due(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_has_at_most_the_limit() {
        let now = Instant::now();
        let mut dirty = Dirty::default();
        for user in 0..10 {
            dirty.mark(UserKey(user));
        }
        assert_eq!(dirty.take(4, now).expect("due").users().len(), 4);
        assert_eq!(dirty.len(), 6);
        assert_eq!(dirty.due(now), Some(now));
    }
}

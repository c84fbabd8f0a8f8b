//! Users whose changes a module has not routed yet. Nothing is lost: a user stays here until the module has answered
//! for their newest state.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;
use tokio::time::Instant;

use crate::presence::{ByUser, UserKey};

/// How long the first batch that failed waits; doubled with each failure in a row.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest that a failed batch waits.
const MAX_RETRY: Duration = Duration::from_mins(1);

/// The users of one module. A user is in it once, however often they change: its size is bounded by how many users
/// there are.
#[derive(Debug)]
pub struct Dirty {
    fresh: HashSet<UserKey, FixedState>,
    order: VecDeque<UserKey>,
    failed: Failed,
    retry_at: Option<Instant>,
    next_retry: Duration,
    /// The most users that are retried in one call.
    retry_limit: usize,
    last: Kind,
}

/// Users to be routed in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    users: Vec<UserKey>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fresh,
    Retried,
}

/// Users in the order in which they failed.
#[derive(Debug, Default)]
struct Failed {
    turns: ByUser<u64>,
    order: BTreeMap<u64, UserKey>,
    next_turn: u64,
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
            fresh: HashSet::default(),
            order: VecDeque::new(),
            failed: Failed::default(),
            retry_at: None,
            next_retry: FIRST_RETRY,
            retry_limit: usize::MAX,
            last: Kind::Fresh,
        }
    }
}

impl Failed {
    fn push(&mut self, user: UserKey) {
        self.remove(user);
        self.turns.insert(user, self.next_turn);
        self.order.insert(self.next_turn, user);
        self.next_turn += 1;
    }

    fn remove(&mut self, user: UserKey) {
        if let Some(turn) = self.turns.remove(&user) {
            self.order.remove(&turn);
        }
    }

    fn pop(&mut self) -> Option<UserKey> {
        let (_, user) = self.order.pop_first()?;
        self.turns.remove(&user);
        Some(user)
    }
}

impl Dirty {
    /// A user has changed.
    pub fn mark(&mut self, user: UserKey) {
        // The newest state is what will be routed, so a failed one is fresh again.
        self.failed.remove(user);
        if self.fresh.insert(user) {
            self.order.push_back(user);
        }
    }

    /// The next users to route, at most `limit`: fresh ones, or failed ones whose time has come, by turns. Failed ones
    /// travel apart, so that a state on which the module stumbles holds up nobody else's for long.
    pub fn take(&mut self, limit: usize, now: Instant) -> Option<Batch> {
        let (fresh, failed) = (!self.order.is_empty(), self.retry_due(now));
        self.last = match (fresh, failed, self.last) {
            (false, false, _) => return None,
            (true, false, _) | (true, true, Kind::Retried) => Kind::Fresh,
            (false, true, _) | (true, true, Kind::Fresh) => Kind::Retried,
        };
        let users: Vec<UserKey> = match self.last {
            Kind::Fresh => {
                let users: Vec<_> = self.order.drain(..limit.min(self.order.len())).collect();
                for user in &users {
                    self.fresh.remove(user);
                }
                users
            }
            Kind::Retried => {
                let limit = limit.min(self.retry_limit);
                std::iter::from_fn(|| self.failed.pop()).take(limit).collect()
            }
        };
        Some(Batch {
            users,
            kind: self.last,
        })
    }

    fn retry_due(&self, now: Instant) -> bool {
        !self.failed.order.is_empty() && self.retry_at.is_some_and(|at| at <= now)
    }

    /// The module has answered for a batch.
    pub fn routed(&mut self, batch: &Batch) {
        if batch.kind == Kind::Retried {
            self.retry_limit = self.retry_limit.saturating_mul(2);
        }
        if self.failed.order.is_empty() {
            self.next_retry = FIRST_RETRY;
            self.retry_limit = usize::MAX;
        }
    }

    /// The module has failed at the batch: its users wait, but for those who have changed again. `not_before` is when
    /// the module can be asked again at all.
    ///
    /// A batch that has failed before is halved the next time, down to a single user: one state on which the module
    /// always stumbles must not keep back those that failed along with it.
    pub fn failed(&mut self, batch: Batch, now: Instant, not_before: Option<Instant>) {
        let halved = batch.kind == Kind::Retried && batch.users.len() > 1;
        if batch.kind == Kind::Retried {
            self.retry_limit = (batch.users.len() / 2).max(1);
        }
        for user in batch.users {
            if !self.fresh.contains(&user) {
                self.failed.push(user);
            }
        }
        let at = now + if halved { FIRST_RETRY } else { self.next_retry };
        self.retry_at = Some(not_before.map_or(at, |earliest| earliest.max(at)));
        if !halved {
            self.next_retry = (self.next_retry * 2).min(MAX_RETRY);
        }
    }

    /// Another generation of the module is asked from now on: what has failed is fresh to it.
    pub fn begin_anew(&mut self) {
        while let Some(user) = self.failed.pop() {
            self.mark(user);
        }
        self.next_retry = FIRST_RETRY;
        self.retry_limit = usize::MAX;
    }

    /// When there is something to do without a further change: `None` when there is nothing, a past moment when at once.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        if self.order.is_empty() {
            self.retry_at.filter(|_| !self.failed.order.is_empty())
        } else {
            Some(now)
        }
    }

    /// How many users wait.
    pub fn len(&self) -> usize {
        self.fresh.len() + self.failed.order.len()
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

    #[tokio::test(start_paused = true)]
    async fn failed_users_get_their_turn_however_many_fresh_ones_come() {
        let now = Instant::now();
        let mut dirty = Dirty::default();
        dirty.mark(A);
        let batch = dirty.take(10, now).expect("due");
        dirty.failed(batch, now, None);
        let now = now + FIRST_RETRY;
        let mut taken = Vec::new();
        for _ in 0..4 {
            dirty.mark(B);
            let batch = dirty.take(10, now).expect("due");
            taken.extend_from_slice(batch.users());
            dirty.routed(&batch);
        }
        assert_eq!(taken, [A, B, B, B]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_at_whom_the_module_stumbles_keeps_back_nobody_else() {
        const STUMBLE: UserKey = UserKey(3);
        let mut now = Instant::now();
        let mut dirty = Dirty::default();
        for user in 0..1_000 {
            dirty.mark(UserKey(user));
        }
        let mut calls = 0;
        while dirty.len() > 1 || calls == 0 {
            calls += 1;
            assert!(calls < 100, "{} users still wait", dirty.len());
            now = now.max(dirty.due(now).expect("somebody waits"));
            let batch = dirty.take(500, now).expect("due");
            if batch.users().contains(&STUMBLE) {
                dirty.failed(batch, now, None);
            } else {
                dirty.routed(&batch);
            }
        }
        assert_eq!(dirty.take(10, now + MAX_RETRY).expect("due").users(), [STUMBLE]);
    }
}

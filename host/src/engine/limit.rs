//! How often a user may set presence: `rc_presence.per_user`.
//!
//! As in Synapse, a PUT and a sync are counted apart. A PUT beyond the limit is refused; a sync is served, and leaves
//! presence alone. A sync that leaves it alone anyway is not counted.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::RateLimit;
use crate::engine::{Engine, Session};
use crate::metrics::Limited;
use crate::presence::UserKey;

/// How often users are forgotten who have not used up anything.
const PRUNE_INTERVAL: Duration = Duration::from_mins(1);

/// The slowest rate: one in so long. Slower ones count as this.
const LONGEST_PERIOD: Duration = Duration::from_hours(24 * 365);

/// The user has set presence more often than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("presence was set more often than rc_presence.per_user allows")]
pub struct RateLimited {
    /// When to try again.
    pub retry_after: Duration,
}

impl Engine {
    /// Counts a PUT of a user's presence, before it is looked at.
    ///
    /// # Errors
    /// [`RateLimited`] when there were more than `rc_presence` allows.
    pub fn admit_put(&self, session: &Session) -> Result<(), RateLimited> {
        // Nothing is set then, so there is nothing to limit.
        if !self.tracks_clients() {
            return Ok(());
        }
        let admitted = self.0.limits.put(session.user);
        if admitted.is_err() {
            self.0.metrics.limited(Limited::Put);
        }
        admitted
    }
}

/// The limits of all users. Without a setting, there is none.
pub(super) struct Limits(Option<Kinds>);

struct Kinds {
    put: Limiter,
    sync: Limiter,
}

impl Limits {
    pub(super) fn new(limit: Option<RateLimit>, clock: &Arc<dyn Clock>) -> Self {
        Self(limit.map(|limit| Kinds {
            put: Limiter::new(limit, Arc::clone(clock)),
            sync: Limiter::new(limit, Arc::clone(clock)),
        }))
    }

    /// Counts a PUT.
    pub(super) fn put(&self, user: UserKey) -> Result<(), RateLimited> {
        self.0.as_ref().map_or(Ok(()), |kinds| kinds.put.check(user))
    }

    /// Counts a sync that sets presence.
    pub(super) fn sync(&self, user: UserKey) -> Result<(), RateLimited> {
        self.0.as_ref().map_or(Ok(()), |kinds| kinds.sync.check(user))
    }
}

struct Limiter {
    buckets: RateLimiter<UserKey, HashMapStateStore<UserKey>, Passed, NoOpMiddleware<Nanos>>,
    pruned_at: Mutex<Nanos>,
}

impl Limiter {
    fn new(limit: RateLimit, clock: Arc<dyn Clock>) -> Self {
        let clock = Passed::since_now(clock);
        Self {
            pruned_at: Mutex::new(clock.now()),
            buckets: RateLimiter::hashmap_with_clock(quota(limit), clock),
        }
    }

    fn check(&self, user: UserKey) -> Result<(), RateLimited> {
        let checked = self.buckets.check_key(&user);
        self.prune();
        checked.map_err(|until| {
            let wait = until.wait_time_from(self.buckets.clock().now());
            // Rounded up: a client that comes back right then is to be let through.
            let ms = wait.as_nanos().div_ceil(1_000_000);
            RateLimited {
                retry_after: Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)),
            }
        })
    }

    /// Bounds the memory by the users of the last minute and of the time that a bucket takes to fill up again.
    fn prune(&self) {
        let now = self.buckets.clock().now();
        {
            let Some(mut pruned_at) = self.pruned_at.try_lock() else {
                return;
            };
            if now.as_u64() - pruned_at.as_u64() < u64::from(Nanos::from(PRUNE_INTERVAL)) {
                return;
            }
            *pruned_at = now;
        }
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
    }
}

/// The limit, kept within what can be reckoned in nanoseconds.
fn quota(limit: RateLimit) -> Quota {
    let period = Duration::try_from_secs_f64(limit.per_second.recip())
        .unwrap_or(LONGEST_PERIOD)
        .clamp(Duration::from_nanos(1), LONGEST_PERIOD);
    let most = u64::MAX / 4 / u64::from(Nanos::from(period));
    let burst = u64::from(limit.burst_count).clamp(1, most);
    let burst = u32::try_from(burst)
        .ok()
        .and_then(NonZeroU32::new)
        .unwrap_or(NonZeroU32::MAX);
    Quota::with_period(period)
        .expect("a period is at least a nanosecond")
        .allow_burst(burst)
}

/// How much time has passed by the server's clock. When that is set back, time goes on from there: otherwise, who has
/// used up their bucket would wait until the clock is where it was.
struct Passed {
    clock: Arc<dyn Clock>,
    state: Mutex<PassedState>,
}

struct PassedState {
    last_ms: u64,
    passed_ms: u64,
}

impl Passed {
    fn since_now(clock: Arc<dyn Clock>) -> Self {
        let last_ms = clock.now_ms();
        Self {
            clock,
            state: Mutex::new(PassedState {
                last_ms,
                passed_ms: 0,
            }),
        }
    }
}

impl governor::clock::Clock for Passed {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let mut state = self.state.lock();
        let now_ms = self.clock.now_ms();
        state.passed_ms = state
            .passed_ms
            .saturating_add(now_ms.saturating_sub(state.last_ms));
        state.last_ms = now_ms;
        // A quarter of the range, 146 years, is left for what is added.
        Nanos::from(state.passed_ms.saturating_mul(1_000_000).min(u64::MAX / 4))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    const ALICE: UserKey = UserKey(0);
    const BOB: UserKey = UserKey(1);

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn limiter(per_second: f64, burst_count: u32) -> (Arc<Hand>, Limiter) {
        let clock = Arc::new(Hand(AtomicU64::new(1_700_000_000_000)));
        let limit = RateLimit {
            per_second,
            burst_count,
        };
        (Arc::clone(&clock), Limiter::new(limit, clock))
    }

    fn pass(clock: &Hand, ms: u64) {
        clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn wait_ms(limiter: &Limiter, user: UserKey) -> Option<u64> {
        let refused = limiter.check(user).err()?;
        Some(u64::try_from(refused.retry_after.as_millis()).expect("short"))
    }

    // Synapse tests/api/test_ratelimiting.py: test_allowed_via_can_do_action.
    #[test]
    fn one_in_ten_seconds() {
        let (clock, limiter) = limiter(0.1, 1);
        assert_eq!(wait_ms(&limiter, ALICE), None);
        pass(&clock, 5_000);
        assert_eq!(wait_ms(&limiter, ALICE), Some(5_000));
        pass(&clock, 5_000);
        assert_eq!(wait_ms(&limiter, ALICE), None);
    }

    // Synapse tests/api/test_ratelimiting.py: test_multiple_actions, and the burst of its manual.
    #[test]
    fn a_burst_goes_through_at_once_and_fills_up_again_one_by_one() {
        let (clock, limiter) = limiter(0.5, 3);
        for _ in 0..3 {
            assert_eq!(wait_ms(&limiter, ALICE), None);
        }
        assert_eq!(wait_ms(&limiter, ALICE), Some(2_000));
        assert_eq!(wait_ms(&limiter, BOB), None, "another user has their own");
        pass(&clock, 2_000);
        assert_eq!(wait_ms(&limiter, ALICE), None);
        assert_eq!(wait_ms(&limiter, ALICE), Some(2_000));
        pass(&clock, 60_000);
        for _ in 0..3 {
            assert_eq!(wait_ms(&limiter, ALICE), None);
        }
        assert_eq!(wait_ms(&limiter, ALICE), Some(2_000));
    }

    #[test]
    fn who_is_refused_has_used_up_nothing() {
        let (clock, limiter) = limiter(1.0, 1);
        assert_eq!(wait_ms(&limiter, ALICE), None);
        for _ in 0..100 {
            assert_eq!(wait_ms(&limiter, ALICE), Some(1_000));
        }
        pass(&clock, 1_000);
        assert_eq!(wait_ms(&limiter, ALICE), None);
    }

    #[test]
    fn who_waits_as_told_is_let_through() {
        let (clock, limiter) = limiter(3.0, 1);
        assert_eq!(wait_ms(&limiter, ALICE), None);
        let wait = wait_ms(&limiter, ALICE).expect("limited");
        pass(&clock, wait);
        assert_eq!(wait_ms(&limiter, ALICE), None, "after {wait} ms");
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_out() {
        let (clock, limiter) = limiter(1.0, 1);
        assert_eq!(wait_ms(&limiter, ALICE), None);
        clock.0.fetch_sub(3_600_000, Ordering::Relaxed);
        assert_eq!(wait_ms(&limiter, ALICE), Some(1_000));
        pass(&clock, 1_000);
        assert_eq!(wait_ms(&limiter, ALICE), None);
    }

    // Synapse tests/api/test_ratelimiting.py: test_pruning.
    #[test]
    fn users_whose_bucket_is_full_are_forgotten() {
        let (clock, limiter) = limiter(0.1, 1);
        for user in 0..1_000 {
            assert_eq!(wait_ms(&limiter, UserKey(user)), None);
        }
        pass(&clock, 59_000);
        assert_eq!(wait_ms(&limiter, ALICE), None);
        assert_eq!(limiter.buckets.len(), 1_000);
        pass(&clock, 1_000);
        assert_eq!(wait_ms(&limiter, BOB), None);
        assert_eq!(limiter.buckets.len(), 2);
        assert_eq!(
            wait_ms(&limiter, ALICE),
            Some(9_000),
            "who is limited is not forgotten"
        );
    }

    proptest! {
        #[test]
        fn no_limit_makes_it_panic(per_second in any::<f64>(), burst_count: u32, steps in prop::collection::vec(any::<u64>(), 0..8)) {
            let (clock, limiter) = limiter(per_second, burst_count);
            for step in steps {
                clock.0.store(step, Ordering::Relaxed);
                let _ = limiter.check(ALICE);
                let _ = limiter.check(BOB);
            }
        }
    }
}

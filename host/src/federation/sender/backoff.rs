//! How long a homeserver that was not reached is left alone: ever longer, and not all for the same time, so that those that
//! went away together are not tried together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// After the first failure.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(10);
/// At the longest, but for up to a fifth.
pub(super) const LAST_RETRY: Duration = Duration::from_hours(1);

/// After so many failures in a row; up to a fifth longer than twice the time before.
pub(super) fn after(failures: u32, server: &str) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let base = FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY);
    let share = u32::try_from(RandomState::new().hash_one((server, failures)) % 200).unwrap_or(0);
    base.saturating_add(base / 1_000 * share)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_doubles_up_to_an_hour_and_differs_by_up_to_a_fifth() {
        let mut expected = FIRST_RETRY;
        for failures in 1..40 {
            let rest = after(failures, "other.test");
            assert!(rest >= expected, "{failures}: {rest:?}");
            assert!(rest <= expected + expected / 5, "{failures}: {rest:?}");
            expected = (expected * 2).min(LAST_RETRY);
        }
        for failures in [3, 30] {
            let rests: BTreeSet<_> = (0..20).map(|_| after(failures, "other.test")).collect();
            assert!(rests.len() > 1, "{rests:?}");
        }
    }
}

//! Which changes of a user's presence are worth telling to those who may see it. Knows no devices, and
//! not who these people are.

use super::user::UserPresence;

/// Whether an operation changed something that others should hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a change worth telling is to be told"]
pub enum Change {
    /// Others should hear of it.
    WorthTelling,
    /// Nothing that others see has changed, or only the time of the last activity, and by little.
    Quiet,
}

/// A jump of `last_active_ts` is told when it exceeds the granularity, unless the user is currently
/// active: that already says that the last activity was just now.
pub(super) fn compare(before: &UserPresence, after: &UserPresence, granularity: u64) -> Change {
    let jumped = after.last_active_ts.saturating_sub(before.last_active_ts) > granularity;
    if before.status_msg != after.status_msg
        || before.state != after.state
        || before.currently_active != after.currently_active
        || (jumped && !after.currently_active)
    {
        Change::WorthTelling
    } else {
        Change::Quiet
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::PresenceState::{self, Busy, Offline, Online, Unavailable};

    use super::*;

    const GRANULARITY: u64 = 60_000;
    const NOW: u64 = 5_000_000;

    fn at(state: PresenceState, last_active_ts: u64) -> UserPresence {
        UserPresence {
            state,
            last_active_ts,
            ..UserPresence::OFFLINE
        }
    }

    fn active(last_active_ts: u64) -> UserPresence {
        UserPresence {
            currently_active: true,
            ..at(Online, last_active_ts)
        }
    }

    fn check(before: &UserPresence, after: &UserPresence) -> Change {
        compare(before, after, GRANULARITY)
    }

    // Synapse tests/handlers/test_presence.py: test_online_to_online.
    #[test]
    fn nothing_changed_is_quiet() {
        assert_eq!(check(&active(NOW), &active(NOW)), Change::Quiet);
        assert_eq!(
            check(&UserPresence::OFFLINE, &UserPresence::OFFLINE),
            Change::Quiet
        );
    }

    // Synapse tests/handlers/test_presence.py: test_offline_to_online, test_online_to_offline,
    // test_online_to_idle.
    #[test]
    fn every_change_of_state_is_told() {
        let all = [Offline, Unavailable, Online, Busy];
        for (before, after) in all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))) {
            let expected = if before == after {
                Change::Quiet
            } else {
                Change::WorthTelling
            };
            assert_eq!(
                check(&at(before, NOW), &at(after, NOW)),
                expected,
                "{before} to {after}"
            );
        }
    }

    #[test]
    fn every_change_of_the_status_message_is_told() {
        let says = |message: &str| UserPresence {
            status_msg: Some(message.into()),
            ..at(Busy, NOW)
        };
        assert_eq!(check(&at(Busy, NOW), &says("hi")), Change::WorthTelling);
        assert_eq!(check(&says("hi"), &says("ho")), Change::WorthTelling);
        assert_eq!(check(&says("hi"), &at(Busy, NOW)), Change::WorthTelling);
        assert_eq!(check(&says("hi"), &says("hi")), Change::Quiet);
    }

    // Synapse tests/handlers/test_presence.py: test_online_to_online_last_active.
    #[test]
    fn becoming_currently_active_or_ceasing_to_be_is_told() {
        assert_eq!(check(&active(NOW), &at(Online, NOW)), Change::WorthTelling);
        assert_eq!(check(&at(Online, NOW), &active(NOW)), Change::WorthTelling);
    }

    // Synapse tests/handlers/test_presence.py: test_online_to_online_last_active_noop.
    #[test]
    fn a_jump_of_activity_while_currently_active_is_quiet() {
        assert_eq!(
            check(&active(NOW - GRANULARITY - 10), &active(NOW)),
            Change::Quiet
        );
    }

    #[test]
    fn a_jump_of_activity_beyond_the_granularity_is_told_when_not_currently_active() {
        for state in [Offline, Unavailable, Online, Busy] {
            let from = |ago| check(&at(state, NOW - ago), &at(state, NOW));
            assert_eq!(from(GRANULARITY), Change::Quiet, "{state}");
            assert_eq!(from(GRANULARITY + 1), Change::WorthTelling, "{state}");
        }
    }

    #[test]
    fn activity_that_goes_backwards_is_quiet() {
        assert_eq!(check(&at(Busy, NOW), &at(Busy, 0)), Change::Quiet);
    }

    #[test]
    fn the_times_of_syncs_and_of_telling_are_no_news() {
        let after = UserPresence {
            last_user_sync_ts: NOW,
            last_federation_update_ts: NOW,
            ..at(Unavailable, 0)
        };
        assert_eq!(check(&at(Unavailable, 0), &after), Change::Quiet);
    }
}

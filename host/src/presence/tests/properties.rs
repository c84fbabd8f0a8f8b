//! Properties of `Presence`: it equals the naive model, and what holds whatever happens.
//!
//! The timings are some tens of milliseconds where the model is asked, so that every order of timeouts comes up.

use PresenceState::Offline;
use proptest::prelude::any;
use proptest::{collection, prop_assert, prop_assert_eq, proptest};

use super::events::{Entry, Event, USERS, apply, entries, timings};
use super::model::{Outcome, replay};
use super::*;

const START: u64 = 1_000;

/// What others see of a user at a glance.
fn visible(presence: &UserPresence) -> (PresenceState, Option<String>, bool) {
    (
        presence.state,
        presence.status_msg.as_deref().map(str::to_owned),
        presence.currently_active,
    )
}

/// The entries with their times.
fn timed(entries: Vec<Entry>) -> Vec<(u64, Entry)> {
    let mut now = START;
    entries
        .into_iter()
        .map(|entry| {
            now += entry.wait;
            (now, entry)
        })
        .collect()
}

fn observed(presence: &Presence) -> Outcome {
    Outcome {
        users: (0..USERS)
            .map(|user| (user, presence.state(UserKey(user)).clone()))
            .collect(),
        ..Outcome::default()
    }
}

/// Fires each timeout in its time, up to `until`. Those of a user who was just restored may lie before `from`.
fn fire(presence: &mut Presence, from: u64, until: u64, outcome: &mut Outcome) {
    while let Some(next) = presence.next_timeout().filter(|at| *at <= until) {
        let at = next.max(from);
        let Expired { changed, pings } = presence.expire(at);
        for (users, log) in [(changed, &mut outcome.told), (pings, &mut outcome.pings)] {
            let mut users: Vec<_> = users.into_iter().map(|user| (at, user.0)).collect();
            users.sort_unstable();
            log.extend(users);
        }
    }
}

/// Each user who has a timeout is in the queue, once and no later than it, and nobody else is.
fn assert_timeouts_in_step(presence: &Presence) {
    let turns = presence.timeouts.entries();
    for (turn, user) in &turns {
        let timing = presence.timing.of(*user);
        let timeout = presence.users[user.index()].next_timeout(&timing);
        assert!(
            timeout.is_some_and(|at| *turn <= at),
            "{turn} for {timeout:?} of {user:?}"
        );
    }
    let mut queued: Vec<_> = turns.into_iter().map(|(_, user)| user).collect();
    queued.sort();
    let with_timeout = (0..)
        .map(UserKey)
        .zip(&presence.users)
        .filter(|(key, user)| user.next_timeout(&presence.timing.of(*key)).is_some());
    let expected: Vec<_> = with_timeout.map(|(key, _)| key).collect();
    assert_eq!(queued, expected);
}

proptest! {
    // Told, pings, states and every time: all is equal when `expire` is called at each `next_timeout`.
    #[test]
    fn presence_equals_the_model(entries in entries(70), timing in timings(), rest in 0..150_u64) {
        let log = timed(entries);
        let end = log.last().map_or(START, |(at, _)| *at) + rest;
        let mut presence = Presence::new(timing);
        let mut outcome = Outcome::default();
        let mut now = START;
        for (at, entry) in &log {
            fire(&mut presence, now, *at, &mut outcome);
            now = *at;
            if apply(&mut presence, entry, now) == Change::WorthTelling {
                outcome.told.push((now, entry.user));
            }
            assert_timeouts_in_step(&presence);
        }
        fire(&mut presence, now, end, &mut outcome);
        outcome.users = observed(&presence).users;
        prop_assert_eq!(outcome, replay(&timing, START, &log, end));
    }

    // However seldom `expire` is called, what others see is the same once it is.
    #[test]
    fn late_timeouts_lead_to_the_same_state(
        entries in entries(70),
        timing in timings(),
        fire in collection::vec(any::<bool>(), 40),
        rest in 0..150_u64,
    ) {
        let log = timed(entries);
        let end = log.last().map_or(START, |(at, _)| *at) + rest;
        let mut presence = Presence::new(timing);
        for ((at, entry), fire) in log.iter().zip(fire) {
            if fire {
                let _ = presence.expire(*at);
            }
            let _ = apply(&mut presence, entry, *at);
        }
        let _ = presence.expire(end);

        let same = |user: &UserPresence| UserPresence { last_federation_update_ts: 0, ..user.clone() };
        for (user, expected) in replay(&timing, START, &log, end).users {
            prop_assert_eq!(same(presence.state(UserKey(user))), same(&expected));
        }
    }

    #[test]
    fn expire_before_the_next_timeout_changes_nothing(
        entries in entries(120_000),
        part in 0.0..1.0_f64,
    ) {
        let mut presence = Presence::new(Timing::default());
        for (at, entry) in timed(entries) {
            let _ = presence.expire(at);
            let _ = apply(&mut presence, &entry, at);
            // Who was just restored may be overdue.
            let _ = presence.expire(at);
            let before = (observed(&presence), presence.timeouts.entries());
            let ahead = presence.next_timeout().map_or(u64::MAX, |next| next - 1) - at;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "any moment between will do"
            )]
            let early = at + (ahead as f64 * part) as u64;
            prop_assert_eq!(presence.expire(early), Expired::default());
            prop_assert_eq!(before, (observed(&presence), presence.timeouts.entries()));
        }
    }

    #[test]
    fn two_hours_without_syncs_leave_everybody_offline_and_no_timeout(entries in entries(4_000_000)) {
        let mut presence = Presence::new(Timing::default());
        let mut now = START;
        for (at, entry) in timed(entries) {
            let _ = apply(&mut presence, &entry, at);
            now = at;
        }
        for (user, device) in [(0, "A"), (0, "B"), (1, "A"), (1, "B")] {
            for _ in 0..40 {
                let _ = presence.sync_ended(UserKey(user), &DeviceId::from(device), now);
            }
        }
        let _ = presence.expire(now + 2 * HOUR);
        for user in 0..USERS {
            prop_assert_eq!(presence.state(UserKey(user)).state, Offline);
            prop_assert!(!presence.state(UserKey(user)).currently_active);
        }
        prop_assert_eq!(presence.next_timeout(), None);
        prop_assert!(presence.users.iter().all(|user| user.next_timeout(&presence.timing).is_none()));
    }

    // Apart from a jump of the last activity.
    #[test]
    fn nobody_is_pinged_who_is_told_of_or_offline_or_of_another_server(entries in entries(2_000_000)) {
        let mut presence = Presence::new(Timing::default());
        for (at, entry) in timed(entries) {
            let Expired { changed, pings } = presence.expire(at);
            let mut all: Vec<_> = changed.iter().chain(&pings).collect();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), changed.len() + pings.len());
            for user in pings {
                prop_assert!(user.0 < USERS - 1);
                prop_assert!(presence.state(user).state != Offline);
                prop_assert_eq!(presence.state(user).last_federation_update_ts, at);
            }
            let _ = apply(&mut presence, &entry, at);
        }
    }

    #[test]
    fn an_operation_is_told_exactly_when_something_visible_changed(
        entries in entries(120_000),
        prompt in any::<bool>(),
    ) {
        let mut presence = Presence::new(Timing::default());
        for (at, entry) in timed(entries) {
            if prompt {
                let before = observed(&presence).users;
                let told = presence.expire(at);
                for (user, before) in before {
                    let changed = visible(&before) != visible(presence.state(UserKey(user)));
                    prop_assert_eq!(told.changed.contains(&UserKey(user)), changed);
                }
            }
            let before = presence.state(UserKey(entry.user)).clone();
            let change = apply(&mut presence, &entry, at);
            let after = presence.state(UserKey(entry.user));
            let jumped = after.last_active_ts > before.last_active_ts + MINUTE && !after.currently_active;
            let expected = match entry.event {
                Event::SetByModule(..) => true,
                Event::Restored { .. } => false,
                _ => visible(&before) != visible(after) || jumped,
            };
            prop_assert_eq!(change == Change::WorthTelling, expected);
        }
    }

    // Nor a user who is taken for one of this server now and then for one of another.
    #[test]
    fn no_clock_makes_it_panic(
        entries in entries(0),
        times in collection::vec((any::<u64>(), 0..USERS), 40),
    ) {
        let mut presence = Presence::new(Timing::default());
        for (mut entry, (now, user)) in entries.into_iter().zip(times) {
            entry.user = user;
            let entry = &entry;
            let _ = presence.expire(now / 2);
            let _ = apply(&mut presence, entry, now);
            assert_timeouts_in_step(&presence);
        }
        let _ = presence.expire(u64::MAX);
    }
}

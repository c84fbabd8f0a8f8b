//! Users of other servers, and the signs of life that other servers want of ours. Sources: the Matrix
//! specification's server-server API, "Presence", and what Synapse's `tests/handlers/test_presence.py` pins.

use PresenceState::{Busy, Offline, Online, Unavailable};

use super::*;

const PING: u64 = 25 * MINUTE;
const TIMEOUT: u64 = 30 * MINUTE;

fn online(last_active_ts: u64) -> UserPresence {
    UserPresence {
        state: Online,
        last_active_ts,
        currently_active: true,
        ..UserPresence::OFFLINE
    }
}

// Synapse tests/handlers/test_presence.py: test_online_to_online.
#[test]
fn a_local_user_of_whom_nothing_new_was_told_for_long_is_due_a_ping() {
    let mut scene = Scene::restored(Origin::Local, online);
    assert_eq!(scene.set("A", Online), Change::Quiet);
    assert_eq!(scene.expire(), (0, 1));
    assert_eq!(scene.user().last_federation_update_ts, scene.now);
    assert!(scene.user().currently_active);
    assert_eq!(scene.expire(), (0, 0), "one ping will do");
}

// Synapse tests/handlers/test_presence.py: test_online_to_online_last_active_noop.
#[test]
fn activity_of_who_counts_as_active_anyway_is_no_more_than_a_ping() {
    let mut scene = Scene::restored(Origin::Local, |now| online(now - MINUTE - 10));
    assert_eq!(scene.set("A", Online), Change::Quiet);
    assert_eq!(scene.expire(), (0, 1));
    assert!(scene.user().currently_active);
    assert_eq!(scene.user().last_federation_update_ts, scene.now);
}

// Synapse tests/handlers/test_presence.py: test_online_to_online_last_active, test_last_active.
#[test]
fn who_is_told_of_needs_no_ping() {
    let mut scene = Scene::restored(Origin::Local, |now| online(now - MINUTE - 1));
    assert_eq!(scene.expire(), (1, 0));
    assert!(!scene.user().currently_active);
    assert_eq!(scene.state(), Online);
    assert_eq!(scene.user().last_federation_update_ts, scene.now);
}

// Synapse tests/handlers/test_presence.py: test_federation_ping, test_no_timeout.
#[test]
fn the_ping_is_due_after_more_than_twenty_five_minutes_and_again() {
    for state in [Unavailable, Busy] {
        let mut scene = Scene::new();
        let _ = scene.say("A", Unavailable, Some("hi"));
        let _ = scene.set("A", state);
        let _ = scene.start_sync("A", state);
        let told = scene.now;
        for ping in 1..3 {
            scene.now += PING;
            assert_eq!(scene.expire(), (0, 0), "{state}");
            let before = scene.user().clone();
            scene.now += 1;
            assert_eq!(scene.expire(), (0, 1), "{state}");
            assert_eq!(scene.now, told + ping * (PING + 1));
            let after = UserPresence {
                last_federation_update_ts: scene.now,
                ..before
            };
            assert_eq!(*scene.user(), after, "nothing else changes");
        }
    }
}

#[test]
fn the_pings_of_who_changed_in_one_moment_come_spread_in_time_and_each_evenly() {
    const USERS: u32 = 1_000;
    let mut presence = Presence::new(Timing {
        federation_ping_spread: 5 * MINUTE,
        ..Timing::default()
    });
    let start = 1_000 * MINUTE;
    for user in 0..USERS {
        let _ = presence.sync_started(UserKey(user), &DeviceId::from("A"), Unavailable, start);
    }
    let mut pinged = |minute: u64| presence.expire(start + minute * MINUTE).pings;
    assert_eq!(pinged(20), []);
    let first: Vec<_> = (21..=25).map(&mut pinged).collect();
    for pings in &first {
        assert!((190..=210).contains(&pings.len()), "{}", pings.len());
    }
    // Number 0 is the one whose share is nothing.
    assert_eq!(pinged(26), [UserKey(0)]);
}

#[test]
fn a_change_that_is_told_puts_the_ping_off() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Unavailable);
    scene.now += PING;
    let _ = scene.say("A", Unavailable, Some("hi"));
    scene.now += PING;
    assert_eq!(scene.expire(), (0, 0));
    scene.now += 1;
    assert_eq!(scene.expire(), (0, 1));
}

// Synapse tests/handlers/test_presence.py: test_online_to_offline.
#[test]
fn an_offline_user_is_due_no_ping() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Online);
    let _ = scene.set("A", Offline);
    assert_eq!(scene.presence.next_timeout(), None);
}

// Synapse tests/handlers/test_presence.py: test_remote_ping_timer.
#[test]
fn a_remote_user_is_due_no_ping_and_has_one_timeout() {
    let mut scene = Scene::new();
    assert_eq!(scene.receive(update(Online)), Change::WorthTelling);
    scene.now += SECOND;
    assert_eq!(scene.receive(update(Online)), Change::Quiet);
    assert!(!scene.user().currently_active);
    assert_eq!(scene.timeout(), Some(scene.now + TIMEOUT + 1));
    scene.now += TIMEOUT;
    assert_eq!(scene.expire(), (0, 0));
}

// Synapse tests/handlers/test_presence.py: test_federation_timeout.
#[test]
fn a_remote_user_is_offline_after_more_than_thirty_minutes_without_an_update() {
    for state in [Unavailable, Online, Busy] {
        let mut scene = Scene::new();
        let says = RemoteUpdate {
            status_msg: Some("hi"),
            currently_active: true,
            ..update(state)
        };
        let _ = scene.receive(says);
        scene.now += TIMEOUT;
        assert_eq!(scene.receive(says), Change::Quiet, "but heard of");
        assert_eq!(scene.advance(TIMEOUT), 0);
        assert_eq!(scene.state(), state);
        assert_eq!(scene.advance(1), 1);
        assert_eq!(scene.state(), Offline);
        assert!(!scene.user().currently_active);
        assert_eq!(scene.user().status_msg.as_deref(), Some("hi"));
        assert_eq!(scene.presence.next_timeout(), None);
    }
}

// Matrix specification, server-server API, "Presence": the times count from the arrival.
#[test]
fn an_update_that_comes_when_its_user_is_overdue_counts() {
    let mut scene = Scene::new();
    let active = RemoteUpdate {
        currently_active: true,
        ..update(Online)
    };
    let _ = scene.receive(active);
    scene.now += 2 * TIMEOUT; // Without the timeouts having been fired.
    assert_eq!(scene.receive(active), Change::Quiet);
    assert_eq!(scene.state(), Online);
    assert_eq!(scene.advance(TIMEOUT), 0);
}

#[test]
fn the_other_server_says_for_how_long_its_user_is_active() {
    let mut scene = Scene::new();
    let active = RemoteUpdate {
        last_active_ts: Some(scene.now),
        currently_active: true,
        ..update(Online)
    };
    assert_eq!(scene.receive(active), Change::WorthTelling);
    assert_eq!(scene.advance(10 * MINUTE), 0);
    assert!(scene.user().currently_active);
    assert_eq!(scene.receive(update(Online)), Change::WorthTelling);
    assert!(!scene.user().currently_active);
}

#[test]
fn only_an_online_remote_user_is_currently_active() {
    for (state, active) in [
        (Offline, false),
        (Unavailable, false),
        (Online, true),
        (Busy, false),
    ] {
        let mut scene = Scene::new();
        let _ = scene.receive(RemoteUpdate {
            currently_active: true,
            ..update(state)
        });
        assert_eq!(scene.user().currently_active, active, "{state}");
    }
}

#[test]
fn the_last_activity_stays_when_an_update_leaves_it_out_and_never_lies_ahead() {
    let mut scene = Scene::new();
    let at = |last_active_ts| RemoteUpdate {
        last_active_ts,
        ..update(Unavailable)
    };
    let _ = scene.receive(at(Some(7)));
    let _ = scene.receive(at(None));
    assert_eq!(scene.user().last_active_ts, 7);
    let _ = scene.receive(at(Some(u64::MAX)));
    assert_eq!(scene.user().last_active_ts, scene.now);
}

#[test]
fn an_update_without_a_status_message_or_with_an_empty_one_clears_it() {
    for cleared in [None, Some("")] {
        let mut scene = Scene::new();
        for (status_msg, expected) in [(Some("hi"), Some("hi")), (cleared, None)] {
            let says = RemoteUpdate {
                status_msg,
                ..update(Online)
            };
            assert_eq!(scene.receive(says), Change::WorthTelling);
            assert_eq!(scene.user().status_msg.as_deref(), expected);
        }
    }
}

#[test]
fn a_user_is_of_the_server_that_last_spoke_for_them() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Online);
    let _ = scene.receive(update(Unavailable));
    assert_eq!(scene.state(), Unavailable);
    assert_eq!(scene.end_sync("A"), Change::Quiet);
    assert_eq!(scene.advance(10 * MINUTE), 0);
    assert_eq!(scene.set("A", Online), Change::WorthTelling);
    assert_eq!(scene.advance(MINUTE), 1);
    assert_eq!(scene.state(), Offline, "by the timeout of a device");
}

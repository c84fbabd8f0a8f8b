//! What becomes of stored states: a test for each rule, named by it. Source: Synapse's documentation of its
//! presence handler, and what its `tests/handlers/test_presence.py` pins.

use PresenceState::{Busy, Offline, Online, Unavailable};

use super::*;

/// What a user who was last active and told of just before the stop has in storage.
fn stored(state: PresenceState) -> impl FnOnce(u64) -> UserPresence {
    move |now| UserPresence {
        state,
        last_active_ts: now,
        last_federation_update_ts: now,
        last_user_sync_ts: now,
        status_msg: Some("hi".into()),
        currently_active: state == Online,
    }
}

#[test]
fn a_restored_user_is_as_stored() {
    for origin in [Origin::Local, Origin::Remote] {
        for state in [Offline, Unavailable, Online, Busy] {
            let scene = Scene::restored(origin, stored(state));
            assert_eq!(*scene.user(), stored(state)(scene.now), "{origin:?} {state}");
        }
    }
}

// Synapse tests/handlers/test_presence.py: test_restored_presence_idles.
#[test]
fn a_restored_local_user_has_the_usual_time_to_come_back() {
    for (state, timeout) in [(Unavailable, 30 * SECOND), (Online, 30 * SECOND), (Busy, HOUR)] {
        let mut scene = Scene::restored(Origin::Local, stored(state));
        scene.advance(timeout);
        assert_eq!(scene.state(), state);
        assert_eq!(scene.advance(1), 1);
        assert_eq!(scene.state(), Offline);
        assert_eq!(scene.user().status_msg.as_deref(), Some("hi"));
        assert_eq!(scene.presence.next_timeout(), None);
    }
}

// Synapse tests/handlers/test_presence.py: test_restored_presence_online_after_sync. Its sync as offline
// leaves presence alone.
#[test]
fn a_sync_takes_over_when_the_restored_state_has_timed_out() {
    for (synced, at_once) in [
        (Busy, Busy),
        (Online, Online),
        (Unavailable, Online),
        (Offline, Online),
    ] {
        let mut scene = Scene::restored(Origin::Local, stored(Online));
        scene.advance(15 * SECOND);
        let _ = scene.start_sync("A", synced);
        assert_eq!(scene.state(), at_once, "{synced}");
        scene.advance(15 * SECOND + 1);
        assert_eq!(scene.state(), synced);
    }
}

#[test]
fn an_explicit_state_ends_the_restored_one() {
    for restored in [Unavailable, Online, Busy] {
        for state in [Offline, Unavailable, Online, Busy] {
            let mut scene = Scene::restored(Origin::Local, stored(restored));
            let _ = scene.set("A", state);
            assert_eq!(scene.state(), state, "{restored}");
        }
    }
}

#[test]
fn a_sync_never_lowers_a_restored_busy() {
    let mut scene = Scene::restored(Origin::Local, stored(Busy));
    assert_eq!(scene.start_sync("A", Online), Change::Quiet);
    assert_eq!(scene.state(), Busy);
    assert_eq!(scene.advance(24 * HOUR), 0);
    assert_eq!(scene.state(), Busy, "it passed to the device");
}

#[test]
fn an_offline_user_is_remembered_and_has_no_timeout() {
    let mut scene = Scene::restored(Origin::Local, |_| UserPresence {
        last_active_ts: 7,
        ..stored(Offline)(9)
    });
    assert_eq!(scene.presence.next_timeout(), None);
    assert_eq!(scene.user().last_active_ts, 7);
    let _ = scene.start_sync("A", Unavailable);
    assert_eq!(scene.user().status_msg.as_deref(), Some("hi"));
}

#[test]
fn what_fell_due_while_the_server_was_down_is_told_once_it_is_up() {
    let long_ago = |now: u64| UserPresence {
        last_active_ts: now - 6 * MINUTE,
        ..stored(Online)(now)
    };
    let mut scene = Scene::restored(Origin::Local, long_ago);
    assert_eq!(scene.state(), Online);
    assert!(scene.user().currently_active);
    assert_eq!(scene.expire(), (1, 0));
    assert_eq!(scene.state(), Unavailable);
    assert!(!scene.user().currently_active);
}

#[test]
fn a_restored_remote_user_goes_offline_when_nothing_was_received_for_thirty_minutes() {
    let received = |ago| {
        move |now| UserPresence {
            last_federation_update_ts: now - ago,
            ..stored(Online)(now)
        }
    };
    let mut scene = Scene::restored(Origin::Remote, received(10 * MINUTE));
    assert_eq!(scene.advance(20 * MINUTE), 0);
    assert!(scene.user().currently_active);
    assert_eq!(scene.advance(1), 1);
    assert_eq!(scene.state(), Offline);

    let mut scene = Scene::restored(Origin::Remote, received(HOUR));
    assert_eq!(scene.state(), Online);
    assert_eq!(scene.expire(), (1, 0));
    assert_eq!(scene.state(), Offline);
}

#[test]
fn stored_times_that_lie_ahead_are_now() {
    for origin in [Origin::Local, Origin::Remote] {
        let scene = Scene::restored(origin, |now| stored(Online)(now + HOUR));
        assert_eq!(*scene.user(), stored(Online)(scene.now));
    }
}

#[test]
fn what_no_user_can_be_is_put_right() {
    for origin in [Origin::Local, Origin::Remote] {
        let scene = Scene::restored(origin, |now| UserPresence {
            status_msg: Some("".into()),
            currently_active: true,
            ..stored(Busy)(now)
        });
        assert_eq!(scene.user().status_msg, None);
        assert!(!scene.user().currently_active);
    }
}

#[test]
fn to_restore_replaces_what_is_known() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Busy);
    let presence = stored(Unavailable)(scene.now);
    scene.presence.restore(ALICE, Origin::Local, presence, scene.now);
    assert_eq!(scene.state(), Unavailable);
    assert_eq!(scene.end_sync("A"), Change::Quiet);
    assert_eq!(scene.advance(30 * SECOND + 1), 1);
    assert_eq!(scene.state(), Offline);
}

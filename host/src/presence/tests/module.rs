//! States that modules set: a test for each rule, named by it. Source: Synapse's module API,
//! `set_presence_for_users`, and what its `tests/handlers/test_presence.py` pins of untracked presence.

use PresenceState::{Busy, Offline, Online, Unavailable};

use super::*;

const ALL: [PresenceState; 4] = [Offline, Unavailable, Online, Busy];

// Synapse notifies of what a module sets in any case.
#[test]
fn what_a_module_sets_is_told_even_when_nothing_changes() {
    for origin in [Origin::Local, Origin::Remote] {
        for state in ALL {
            let mut scene = Scene::new();
            for _ in 0..2 {
                scene.now += SECOND;
                let change = scene
                    .presence
                    .set_by_module(ALICE, origin, state, Some("hi"), scene.now);
                assert_eq!(change, Change::WorthTelling);
                assert_eq!(scene.state(), state);
                assert_eq!(scene.user().status_msg.as_deref(), Some("hi"));
                assert_eq!(scene.user().last_federation_update_ts, scene.now);
            }
        }
    }
}

#[test]
fn a_module_clears_the_status_message_by_none_or_an_empty_one() {
    for cleared in [None, Some("")] {
        let mut scene = Scene::new();
        let _ = scene.say("A", Online, Some("hi"));
        let _ = scene.set_by_module(Online, cleared);
        assert_eq!(scene.user().status_msg, None);
    }
}

#[test]
fn what_a_module_sets_holds_against_the_devices_until_one_acts() {
    for of_device in ALL {
        for state in ALL {
            let mut scene = Scene::new();
            let _ = scene.start_sync("A", of_device);
            let _ = scene.set_by_module(state, None);
            assert_eq!(scene.state(), state, "over {of_device}");
            let _ = scene.start_sync("A", Online);
            assert_eq!(scene.state(), state.max(Online), "over {of_device}");
        }
    }
}

#[test]
fn a_module_is_no_activity_of_the_user() {
    let mut scene = Scene::new();
    let _ = scene.set_by_module(Online, None);
    assert_eq!(scene.user().last_active_ts, 0);
    assert_eq!(scene.user().last_user_sync_ts, 0);
    assert!(!scene.user().currently_active);

    let _ = scene.set("A", Online);
    scene.now += SECOND;
    let _ = scene.set_by_module(Online, Some("hi"));
    assert_eq!(scene.user().last_active_ts, scene.now - SECOND);
    assert!(scene.user().currently_active);
}

#[test]
fn what_a_module_sets_times_out_like_a_device_that_does_not_sync() {
    for (state, timeout) in [(Unavailable, 30 * SECOND), (Online, 30 * SECOND), (Busy, HOUR)] {
        let mut scene = Scene::new();
        let _ = scene.set_by_module(state, Some("hi"));
        assert_eq!(scene.advance(timeout), 0);
        assert_eq!(scene.state(), state);
        assert_eq!(scene.advance(1), 1);
        assert_eq!(scene.state(), Offline);
        assert_eq!(scene.user().status_msg.as_deref(), Some("hi"));
    }
}

#[test]
fn a_sync_never_lowers_a_busy_that_a_module_set_but_a_put_does() {
    let mut scene = Scene::new();
    let _ = scene.set_by_module(Busy, None);
    let _ = scene.start_sync("A", Online);
    assert_eq!(scene.advance(2 * HOUR), 0);
    assert_eq!(scene.state(), Busy);

    let _ = scene.set_by_module(Busy, None);
    assert_eq!(scene.set("A", Online), Change::WorthTelling);
    assert_eq!(scene.state(), Online);
}

#[test]
fn a_sync_that_runs_outlasts_an_offline_that_a_module_set() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Online);
    let _ = scene.set_by_module(Offline, None);
    assert_eq!(scene.state(), Offline);
    assert_eq!(scene.presence.next_timeout(), None);
    let _ = scene.start_sync("A", Online);
    let _ = scene.end_sync("A");
    scene.advance(4 * MINUTE);
    assert_eq!(scene.state(), Online, "the first sync still runs");
}

#[test]
fn what_a_module_sets_of_a_remote_user_holds_until_their_server_speaks() {
    let mut scene = Scene::new();
    let set = |scene: &mut Scene| {
        scene
            .presence
            .set_by_module(ALICE, Origin::Remote, Online, None, scene.now)
    };
    let _ = set(&mut scene);
    assert_eq!(scene.advance(30 * MINUTE), 0, "nor is there a ping");
    assert_eq!(scene.state(), Online);
    assert_eq!(scene.advance(1), 1);
    assert_eq!(scene.state(), Offline);

    let _ = set(&mut scene);
    assert_eq!(scene.receive(update(Busy)), Change::WorthTelling);
    assert_eq!(scene.state(), Busy);
}

#[test]
fn a_module_leaves_a_remote_user_as_active_as_they_are() {
    let mut scene = Scene::new();
    let _ = scene.receive(RemoteUpdate {
        last_active_ts: Some(7),
        currently_active: true,
        ..update(Online)
    });
    let mut set = |state| {
        let _ = scene
            .presence
            .set_by_module(ALICE, Origin::Remote, state, None, scene.now);
        (scene.user().last_active_ts, scene.user().currently_active)
    };
    assert_eq!(set(Online), (7, true));
    assert_eq!(set(Busy), (7, false));
    assert_eq!(set(Online), (7, false));
}

#[test]
fn a_module_does_not_revive_the_activity_of_a_remote_user_who_is_overdue() {
    let mut scene = Scene::new();
    let _ = scene.receive(RemoteUpdate {
        currently_active: true,
        ..update(Online)
    });
    scene.now += HOUR; // Without the timeouts having been fired.
    let _ = scene
        .presence
        .set_by_module(ALICE, Origin::Remote, Online, None, scene.now);
    assert_eq!(scene.state(), Online);
    assert!(!scene.user().currently_active);
}

// Synapse tests/handlers/test_presence.py: test_override, test_untracked_does_not_idle.
#[test]
fn untracked_states_last_until_they_are_set_again() {
    for first in ALL {
        for second in ALL {
            let mut scene = Scene::timed(Timing::default().untracked());
            for state in [first, second] {
                let _ = scene.set_by_module(state, None);
                assert_eq!(scene.advance(30 * 24 * HOUR), 0, "{first} to {second}");
                assert_eq!(scene.state(), state, "{first} to {second}");
            }
        }
    }
}

#[test]
fn untracked_users_of_other_servers_last_too_and_ours_are_still_pinged() {
    let mut scene = Scene::timed(Timing::default().untracked());
    let _ = scene.receive(update(Online));
    assert_eq!(scene.presence.next_timeout(), None);
    let _ = scene.set_by_module(Online, None);
    scene.now += 25 * MINUTE + 1;
    assert_eq!(scene.expire(), (0, 1));
}

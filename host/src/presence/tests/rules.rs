//! What puts and syncs do: a test for each rule, named by it. Sources: the Matrix specification's
//! "Presence" module, MSC3026, and what Synapse's `tests/handlers/test_presence.py` pins.

use PresenceState::{Busy, Offline, Online, Unavailable};

use super::*;

#[test]
fn a_user_never_seen_is_offline() {
    assert_eq!(*Scene::new().user(), UserPresence::default());
    assert_eq!(Scene::new().presence.next_timeout(), None);
}

// Synapse tests/handlers/test_presence.py: test_set_presence_from_syncing_multi_device, for syncs.
#[test]
fn the_state_is_the_greatest_of_the_devices() {
    let mut scene = Scene::new();
    let states = [
        ("A", Unavailable, Unavailable),
        ("B", Online, Online),
        ("C", Busy, Busy),
    ];
    for (device, state, merged) in states
        .into_iter()
        .chain([("C", Unavailable, Online), ("B", Offline, Unavailable)])
    {
        assert_eq!(scene.set(device, state), Change::WorthTelling);
        assert_eq!(scene.state(), merged);
    }
}

// Matrix specification, "Presence": PUT /presence/{userId}/status.
#[test]
fn a_put_of_offline_makes_that_device_offline() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Online);
    assert_eq!(scene.set("A", Offline), Change::WorthTelling);
    assert_eq!(scene.state(), Offline);
    assert_eq!(scene.presence.next_timeout(), None);
}

#[test]
fn a_put_of_offline_leaves_the_other_devices() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Online);
    let _ = scene.set("B", Unavailable);
    let _ = scene.set("A", Offline);
    assert_eq!(scene.state(), Unavailable);
}

// Synapse tests/handlers/test_presence.py: test_user_reset_online_with_no_status, test_set_presence_with_status_msg_none,
// test_user_goes_offline_manually_with_no_status_msg.
#[test]
fn a_put_without_a_status_message_or_with_an_empty_one_clears_it() {
    for (state, cleared) in [(Online, None), (Online, Some("")), (Offline, None)] {
        let mut scene = Scene::new();
        let _ = scene.say("A", Online, Some("hi"));
        assert_eq!(scene.user().status_msg.as_deref(), Some("hi"));
        assert_eq!(scene.say("A", state, cleared), Change::WorthTelling);
        assert_eq!(scene.user().status_msg, None);
    }
}

// Synapse tests/handlers/test_presence.py: test_user_goes_offline_manually_with_status_msg.
#[test]
fn an_offline_user_may_have_a_status_message() {
    let mut scene = Scene::new();
    assert_eq!(
        scene.say("A", Offline, Some("gone fishing")),
        Change::WorthTelling
    );
    assert_eq!(scene.user().status_msg.as_deref(), Some("gone fishing"));
    assert_eq!(scene.presence.next_timeout(), None);
}

// Synapse tests/handlers/test_presence.py: test_set_presence_from_syncing_keeps_status.
#[test]
fn a_sync_never_touches_the_status_message() {
    let mut scene = Scene::new();
    let _ = scene.say("A", Unavailable, Some("hi"));
    let _ = scene.start_sync("A", Online);
    assert_eq!(scene.user().status_msg.as_deref(), Some("hi"));
    let _ = scene.end_sync("A");
    assert_eq!(scene.user().status_msg.as_deref(), Some("hi"));
}

// Synapse tests/handlers/test_presence.py: test_set_presence_from_syncing_is_set.
#[test]
fn a_sync_sets_the_state_up_and_down() {
    let mut scene = Scene::new();
    assert_eq!(scene.start_sync("A", Online), Change::WorthTelling);
    assert_eq!(scene.state(), Online);
    assert_eq!(scene.start_sync("A", Unavailable), Change::WorthTelling);
    assert_eq!(scene.state(), Unavailable);
}

// Synapse tests/handlers/test_presence.py: test_set_presence_from_syncing_not_set.
#[test]
fn a_sync_as_offline_changes_nothing() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Unavailable);
    let before = scene.user().clone();
    scene.now += SECOND;
    assert_eq!(scene.start_sync("A", Offline), Change::Quiet);
    assert_eq!(*scene.user(), before);
    scene.advance(MINUTE);
    assert_eq!(
        scene.state(),
        Offline,
        "it does not count as a running sync either"
    );
}

// Synapse tests/handlers/test_presence.py: test_set_presence_from_syncing_keeps_busy.
#[test]
fn a_sync_never_lowers_busy_but_a_put_does() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Busy);
    assert_eq!(scene.start_sync("A", Online), Change::Quiet);
    assert_eq!(scene.state(), Busy);
    scene.advance(5 * MINUTE + 5 * SECOND);
    assert_eq!(scene.state(), Busy);
    assert_eq!(scene.set("A", Online), Change::WorthTelling);
    assert_eq!(scene.state(), Online);
}

#[test]
fn a_sync_of_another_device_takes_over_busy() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Busy);
    let _ = scene.start_sync("B", Unavailable);
    let _ = scene.set("A", Offline);
    assert_eq!(scene.state(), Busy);
}

#[test]
fn last_active_is_now_when_the_merged_state_is_online_or_busy() {
    for (state, bumps) in [
        (Offline, false),
        (Unavailable, false),
        (Online, true),
        (Busy, true),
    ] {
        let mut scene = Scene::new();
        let _ = scene.set("A", state);
        assert_eq!(
            scene.user().last_active_ts,
            if bumps { scene.now } else { 0 },
            "put of {state}"
        );

        // What counts is the merged state, not the one that was set.
        let _ = scene.set("B", Online);
        scene.now += SECOND;
        let _ = scene.set("A", state);
        assert_eq!(
            scene.user().last_active_ts,
            scene.now,
            "put of {state} beside an online device"
        );
    }
    for (state, bumps) in [(Unavailable, false), (Online, true)] {
        let mut scene = Scene::new();
        let _ = scene.start_sync("A", state);
        assert_eq!(
            scene.user().last_active_ts,
            if bumps { scene.now } else { 0 },
            "sync as {state}"
        );
    }
}

#[test]
fn a_sync_sets_the_time_of_the_last_sync_when_it_begins_and_when_it_ends() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Online);
    assert_eq!(scene.user().last_user_sync_ts, 0);
    let _ = scene.start_sync("A", Online);
    assert_eq!(scene.user().last_user_sync_ts, scene.now);
    scene.advance(10 * SECOND);
    assert_eq!(scene.end_sync("A"), Change::Quiet);
    assert_eq!(scene.user().last_user_sync_ts, scene.now);
    assert_eq!(
        scene.user().last_active_ts,
        scene.now - 10 * SECOND,
        "an end is no activity"
    );
}

#[test]
fn an_end_without_a_start_changes_nothing() {
    let mut scene = Scene::new();
    assert_eq!(scene.end_sync("A"), Change::Quiet);
    let _ = scene.set("A", Online);
    let before = scene.user().clone();
    scene.now += SECOND;
    assert_eq!(scene.end_sync("A"), Change::Quiet);
    assert_eq!(scene.end_sync("B"), Change::Quiet);
    assert_eq!(*scene.user(), before);
}

#[test]
fn a_device_that_is_set_offline_while_it_syncs_may_come_back_in_the_same_sync() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Online);
    let _ = scene.set("A", Offline);
    assert_eq!(scene.state(), Offline);
    assert_eq!(scene.presence.next_timeout(), None);
    let _ = scene.set("A", Unavailable);
    scene.advance(HOUR);
    assert_eq!(scene.state(), Unavailable, "the sync still runs");
    let _ = scene.end_sync("A");
    scene.advance(MINUTE);
    assert_eq!(scene.state(), Offline);
}

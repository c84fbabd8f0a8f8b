//! What time does, and what is told of it: a test for each rule, named by it. Sources: the Matrix
//! specification's "Presence" module, and what Synapse's `tests/handlers/test_presence.py` pins.

use PresenceState::{Busy, Offline, Online, Unavailable};

use super::*;

// Synapse tests/handlers/test_presence.py: test_user_goes_offline_by_timeout_status_msg_remain.
#[test]
fn a_timeout_keeps_the_status_message() {
    let mut scene = Scene::new();
    let _ = scene.say("A", Online, Some("hi"));
    assert_eq!(scene.advance(30 * SECOND), 0);
    assert_eq!(scene.state(), Online);
    assert_eq!(scene.advance(1), 1);
    assert_eq!(scene.state(), Offline);
    assert_eq!(scene.user().status_msg.as_deref(), Some("hi"));
}

#[test]
fn a_busy_that_is_overdue_does_not_pass_to_a_sync() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Busy);
    scene.now += HOUR + 1; // Without the timeouts having been fired.
    assert_eq!(scene.start_sync("B", Online), Change::WorthTelling);
    assert_eq!(scene.state(), Online);
}

#[test]
fn the_thirty_seconds_count_from_the_end_of_the_last_sync() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Unavailable);
    let _ = scene.start_sync("A", Unavailable);
    scene.advance(HOUR);
    let _ = scene.end_sync("A");
    scene.advance(HOUR);
    assert_eq!(scene.state(), Unavailable, "the other sync still runs");
    let _ = scene.end_sync("A");
    scene.advance(30 * SECOND);
    assert_eq!(scene.state(), Unavailable);
    assert_eq!(scene.advance(1), 1);
    assert_eq!(scene.state(), Offline);
}

// Synapse tests/handlers/test_presence.py: test_idle_timer.
#[test]
fn an_online_user_is_unavailable_when_idle_for_more_than_five_minutes() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Online);
    scene.advance(5 * MINUTE);
    assert_eq!(scene.state(), Online);
    assert_eq!(scene.advance(1), 1);
    assert_eq!(scene.state(), Unavailable);
    assert_eq!(scene.advance(24 * HOUR), 0, "the sync still runs");
    assert_eq!(scene.state(), Unavailable);
}

// Synapse tests/handlers/test_presence.py: test_busy_no_idle, and BUSY_ONLINE_TIMEOUT.
#[test]
fn a_busy_user_never_idles_and_is_offline_after_more_than_an_hour() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Busy);
    assert_eq!(scene.advance(HOUR), 0);
    assert_eq!(scene.state(), Busy);
    assert_eq!(scene.advance(1), 1);
    assert_eq!(scene.state(), Offline);
}

#[test]
fn a_busy_user_whose_sync_runs_stays_busy() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Busy);
    let _ = scene.start_sync("A", Online);
    assert_eq!(scene.advance(24 * HOUR), 0);
    assert_eq!(scene.state(), Busy);
}

// Synapse tests/handlers/test_presence.py: test_offline_to_online, test_last_active.
#[test]
fn an_online_user_is_currently_active_for_less_than_a_minute_and_its_lapse_is_told() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Online);
    assert!(scene.user().currently_active);
    assert_eq!(scene.advance(MINUTE - 1), 0);
    assert!(scene.user().currently_active);
    assert_eq!(scene.advance(1), 1);
    assert!(!scene.user().currently_active);
    assert_eq!(scene.start_sync("A", Online), Change::WorthTelling);
    assert!(scene.user().currently_active);
}

#[test]
fn only_an_online_user_is_currently_active() {
    for (state, active) in [
        (Offline, false),
        (Unavailable, false),
        (Online, true),
        (Busy, false),
    ] {
        let mut scene = Scene::new();
        let _ = scene.set("A", Online);
        let _ = scene.set("A", state);
        assert_eq!(scene.user().currently_active, active, "{state}");
    }
}

// Recorded from Synapse: an identical PUT puts nothing into anybody's sync.
#[test]
fn an_identical_put_is_quiet() {
    for state in [Offline, Unavailable, Online, Busy] {
        let mut scene = Scene::new();
        assert_eq!(scene.say("A", state, Some("hi")), Change::WorthTelling);
        scene.advance(SECOND);
        assert_eq!(scene.say("A", state, Some("hi")), Change::Quiet, "{state}");
    }
}

#[test]
fn activity_after_more_than_a_minute_of_busy_is_told() {
    let mut scene = Scene::new();
    let _ = scene.set("A", Busy);
    assert_eq!(scene.advance(MINUTE), 0);
    assert_eq!(scene.set("A", Busy), Change::Quiet);
    assert_eq!(scene.advance(MINUTE + 1), 0);
    assert_eq!(scene.set("A", Busy), Change::WorthTelling);
}

// Synapse tests/handlers/test_presence.py: test_offline_to_online, test_online_to_offline, test_online_to_idle.
#[test]
fn the_time_of_the_last_federation_update_moves_with_what_is_told_and_only_then() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Online);
    let start = scene.now;
    assert_eq!(scene.user().last_federation_update_ts, start);
    scene.advance(10 * SECOND);
    let _ = scene.start_sync("A", Online);
    assert_eq!(scene.user().last_federation_update_ts, start);
    scene.advance(MINUTE);
    assert_eq!(scene.user().last_federation_update_ts, start + 70 * SECOND);
}

#[test]
fn one_of_two_idle_devices_makes_no_news() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Online);
    scene.advance(4 * MINUTE);
    let _ = scene.start_sync("B", Online);
    assert_eq!(
        scene.advance(90 * SECOND),
        1,
        "only that the user is no longer currently active"
    );
    assert_eq!(scene.state(), Online);
}

/// Each is greater than its default.
const CONFIGURED: Timing = Timing {
    last_active_granularity: 2 * MINUTE,
    idle_timeout: 20 * MINUTE,
    sync_online_timeout: 3 * MINUTE,
    busy_timeout: 2 * HOUR,
    federation_timeout: 50 * MINUTE,
    federation_ping_interval: 40 * MINUTE,
    federation_ping_spread: 0,
};

// Synapse tests/handlers/test_presence.py: test_sync_online_timeout, test_idle_timeout,
// test_last_active_granularity (of PresenceConfigurableTimersTestCase).
#[test]
fn the_timing_is_a_choice() {
    let mut scene = Scene::timed(CONFIGURED);
    let _ = scene.start_sync("A", Online);
    let _ = scene.end_sync("A");
    scene.advance(2 * MINUTE - 1);
    assert!(scene.user().currently_active);
    scene.advance(1);
    assert!(!scene.user().currently_active);
    scene.advance(MINUTE);
    assert_eq!(scene.state(), Online);
    scene.advance(1);
    assert_eq!(scene.state(), Offline);

    let mut scene = Scene::timed(CONFIGURED);
    let _ = scene.start_sync("A", Online);
    scene.advance(20 * MINUTE);
    assert_eq!(scene.state(), Online);
    scene.advance(1);
    assert_eq!(scene.state(), Unavailable);

    let mut scene = Scene::timed(CONFIGURED);
    let _ = scene.set("A", Busy);
    scene.now += 40 * MINUTE;
    assert_eq!(scene.expire(), (0, 0));
    scene.now += 1;
    assert_eq!(scene.expire(), (0, 1));
    scene.advance(80 * MINUTE - 1);
    assert_eq!(scene.state(), Busy);
    scene.advance(1);
    assert_eq!(scene.state(), Offline);

    let mut scene = Scene::timed(CONFIGURED);
    let _ = scene.receive(update(Online));
    scene.advance(50 * MINUTE);
    assert_eq!(scene.state(), Online);
    scene.advance(1);
    assert_eq!(scene.state(), Offline);
}

// Synapse tests/handlers/test_presence.py: test_offline_to_online, test_online_to_online, test_online_to_idle,
// test_online_to_offline, where they pin which timeouts a state has.
#[test]
fn a_state_has_the_timeouts_of_its_kind_and_no_others() {
    for (state, expected) in [
        (Online, vec![30 * SECOND + 1]),
        (Unavailable, vec![30 * SECOND + 1]),
        (Busy, vec![25 * MINUTE + 1, 50 * MINUTE + 2, HOUR + 1]),
        (Offline, vec![]),
    ] {
        assert_eq!(timeouts(|scene| scene.set("A", state)), expected, "{state}");
    }
    // While a sync runs: no more active, idle, and then pings for ever.
    let synced = timeouts(|scene| scene.start_sync("A", Online));
    assert_eq!(synced[..3], [MINUTE, 5 * MINUTE + 1, 30 * MINUTE + 2]);
}

/// When the first timeouts come after what happened, and nothing else does.
fn timeouts(happen: impl FnOnce(&mut Scene) -> Change) -> Vec<u64> {
    let mut scene = Scene::new();
    let _ = happen(&mut scene);
    let start = scene.now;
    let mut seen = Vec::new();
    while let Some(at) = scene.presence.next_timeout().filter(|_| seen.len() < 5) {
        seen.push(at - start);
        let _ = scene.presence.expire(at);
    }
    seen
}

#[test]
fn users_time_out_on_their_own() {
    let (a, b) = (UserKey(0), UserKey(9));
    let phone = DeviceId::from("PHONE");
    let mut presence = Presence::new(Timing::default());
    let _ = presence.set(b, &phone, Online, None, HOUR);
    let _ = presence.set(a, &phone, Online, None, HOUR + SECOND);
    let _ = presence.set(UserKey(5), &phone, Busy, None, HOUR);
    assert_eq!(presence.next_timeout(), Some(HOUR + 30 * SECOND + 1));
    assert_eq!(presence.expire(HOUR + 31 * SECOND).changed, [b]);
    assert_eq!(presence.state(a).state, Online);
    assert_eq!(presence.expire(HOUR + 32 * SECOND).changed, [a]);
    assert_eq!(presence.state(UserKey(5)).state, Busy);
}

#[test]
fn a_clock_that_goes_backwards_delays_timeouts_until_the_next_act() {
    let mut scene = Scene::new();
    let _ = scene.start_sync("A", Online);
    let _ = scene.end_sync("A");
    scene.now -= HOUR;
    assert_eq!(scene.presence.expire(scene.now), Expired::default());
    assert_eq!(scene.advance(HOUR), 0);
    assert_eq!(scene.state(), Online);
    assert!(scene.user().currently_active);

    scene.now -= HOUR;
    assert_eq!(scene.set("A", Online), Change::Quiet);
    assert_eq!(scene.user().last_active_ts, scene.now);
    scene.advance(30 * SECOND);
    assert_eq!(scene.state(), Online);
    assert_eq!(scene.advance(1), 1);
    assert_eq!(scene.state(), Offline);
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let mut scene = Scene::new();
    for now in [0, u64::MAX, 0, u64::MAX - 1] {
        scene.now = now;
        let _ = scene.set("A", Online);
        let _ = scene.start_sync("B", Online);
        let _ = scene.presence.expire(now);
        let _ = scene.end_sync("B");
    }
    let _ = scene.presence.expire(u64::MAX);
}

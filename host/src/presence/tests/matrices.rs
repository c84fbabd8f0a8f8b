//! Two devices, each pair of states, and what is left as the one and then the other times out.
//!
//! The expectations are those of Synapse's `tests/handlers/test_presence.py`, in its order; those of the
//! devices that do not sync, which it lacks, follow from the same rules.

use PresenceState::{Busy, Offline, Online, Unavailable};

use super::*;

/// A sync as offline does not affect presence, and is not announced.
fn start_sync(scene: &mut Scene, device: &str, state: PresenceState) {
    if state != Offline {
        let _ = scene.start_sync(device, state);
    }
}

fn end_sync(scene: &mut Scene, device: &str, state: PresenceState) {
    if state != Offline {
        let _ = scene.end_sync(device);
    }
}

fn timeout(state: PresenceState) -> u64 {
    1 + if state == Busy { HOUR } else { 30 * SECOND }
}

// Synapse tests/handlers/test_presence.py: test_set_presence_from_syncing_multi_device.
#[test]
fn while_both_devices_sync_each_goes_idle_in_its_turn() {
    for (first, second, both, first_idle, both_idle) in [
        (Busy, Busy, Busy, Busy, Busy),
        (Online, Online, Online, Online, Unavailable),
        (Unavailable, Unavailable, Unavailable, Unavailable, Unavailable),
        (Offline, Offline, Offline, Offline, Offline),
        (Busy, Online, Busy, Busy, Busy),
        (Busy, Unavailable, Busy, Busy, Busy),
        (Busy, Offline, Busy, Busy, Busy),
        (Online, Unavailable, Online, Unavailable, Unavailable),
        (Online, Offline, Online, Unavailable, Unavailable),
        (Unavailable, Offline, Unavailable, Unavailable, Unavailable),
        (Online, Busy, Busy, Busy, Busy),
        (Unavailable, Busy, Busy, Busy, Busy),
        (Offline, Busy, Busy, Busy, Busy),
        (Unavailable, Online, Online, Online, Unavailable),
        (Offline, Online, Online, Online, Unavailable),
        (Offline, Unavailable, Unavailable, Unavailable, Unavailable),
    ] {
        let mut scene = Scene::new();
        start_sync(&mut scene, "A", first);
        scene.advance(150 * SECOND);
        start_sync(&mut scene, "B", second);
        let mut states = vec![scene.state()];
        for _ in 0..2 {
            scene.advance(150 * SECOND + 1);
            states.push(scene.state());
        }
        assert_eq!(states, [both, first_idle, both_idle], "{first}, {second}");
        assert_eq!(
            scene.advance(24 * HOUR),
            0,
            "{first}, {second}: running syncs hold for ever"
        );
    }
}

// Synapse tests/handlers/test_presence.py: test_set_presence_from_non_syncing_multi_device.
#[test]
fn a_device_whose_sync_ended_goes_offline_and_leaves_the_other() {
    for (first, second, both, second_only) in [
        (Busy, Busy, Busy, Busy),
        (Online, Online, Online, Online),
        (Unavailable, Unavailable, Unavailable, Unavailable),
        (Offline, Offline, Offline, Offline),
        (Busy, Online, Busy, Busy),
        (Busy, Unavailable, Busy, Busy),
        (Busy, Offline, Busy, Busy),
        (Online, Unavailable, Online, Unavailable),
        (Online, Offline, Online, Offline),
        (Unavailable, Offline, Unavailable, Offline),
        (Online, Busy, Busy, Busy),
        (Unavailable, Busy, Busy, Busy),
        (Offline, Busy, Busy, Busy),
        (Unavailable, Online, Online, Online),
        (Offline, Online, Online, Online),
        (Offline, Unavailable, Unavailable, Unavailable),
    ] {
        let mut scene = Scene::new();
        start_sync(&mut scene, "A", first);
        start_sync(&mut scene, "B", second);
        let mut states = vec![scene.state()];
        end_sync(&mut scene, "A", first);
        scene.advance(timeout(Online));
        states.push(scene.state());
        end_sync(&mut scene, "B", second);
        scene.advance(timeout(scene.state()));
        states.push(scene.state());
        assert_eq!(states, [both, second_only, Offline], "{first}, {second}");
        assert_eq!(scene.presence.next_timeout(), None, "{first}, {second}");
    }
}

#[test]
fn without_syncs_each_device_goes_offline_in_its_turn() {
    // The states at once, when the first would have timed out by 30 s, then the second, then by 1 h.
    for (first, second, states) in [
        (Busy, Busy, [Busy, Busy, Busy, Offline]),
        (Busy, Online, [Busy, Busy, Busy, Offline]),
        (Busy, Unavailable, [Busy, Busy, Busy, Offline]),
        (Busy, Offline, [Busy, Busy, Busy, Offline]),
        (Online, Busy, [Busy, Busy, Busy, Offline]),
        (Online, Online, [Online, Online, Offline, Offline]),
        (Online, Unavailable, [Online, Unavailable, Offline, Offline]),
        (Online, Offline, [Online, Offline, Offline, Offline]),
        (Unavailable, Busy, [Busy, Busy, Busy, Offline]),
        (Unavailable, Online, [Online, Online, Offline, Offline]),
        (
            Unavailable,
            Unavailable,
            [Unavailable, Unavailable, Offline, Offline],
        ),
        (Unavailable, Offline, [Unavailable, Offline, Offline, Offline]),
        (Offline, Busy, [Busy, Busy, Busy, Offline]),
        (Offline, Online, [Online, Online, Offline, Offline]),
        (Offline, Unavailable, [Unavailable, Unavailable, Offline, Offline]),
        (Offline, Offline, [Offline, Offline, Offline, Offline]),
    ] {
        let mut scene = Scene::new();
        let _ = scene.set("A", first);
        scene.advance(15 * SECOND);
        let _ = scene.set("B", second);
        let mut seen = vec![scene.state()];
        for wait in [15 * SECOND + 1, 15 * SECOND, HOUR] {
            scene.advance(wait);
            seen.push(scene.state());
        }
        assert_eq!(seen, states, "{first}, {second}");
        assert_eq!(scene.presence.next_timeout(), None, "{first}, {second}");
    }
}

#[test]
fn a_device_that_syncs_outlives_one_that_was_only_set() {
    // The state of the pair at once, then after an hour, in which what can idle has idled.
    for (set, synced, both, synced_only) in [
        (Offline, Unavailable, Unavailable, Unavailable),
        (Offline, Online, Online, Unavailable),
        (Offline, Busy, Busy, Busy),
        (Unavailable, Unavailable, Unavailable, Unavailable),
        (Unavailable, Online, Online, Unavailable),
        (Unavailable, Busy, Busy, Busy),
        (Online, Unavailable, Online, Unavailable),
        (Online, Online, Online, Unavailable),
        (Online, Busy, Busy, Busy),
        (Busy, Unavailable, Busy, Busy),
        (Busy, Online, Busy, Busy),
        (Busy, Busy, Busy, Busy),
    ] {
        let mut scene = Scene::new();
        let _ = scene.set("A", set);
        let _ = scene.start_sync("B", synced);
        assert_eq!(scene.state(), both, "{set}, {synced}");
        scene.advance(HOUR + 1);
        assert_eq!(scene.state(), synced_only, "{set}, {synced}");
        let _ = scene.end_sync("B");
        scene.advance(timeout(synced_only));
        assert_eq!(scene.state(), Offline, "{set}, {synced}");
    }
}

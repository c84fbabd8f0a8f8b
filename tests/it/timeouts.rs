//! What becomes of a presence that is not renewed, with timeouts short enough to wait for.

use std::thread;
use std::time::Duration;

use presence_router_tests::{Config, Host, SyncRequest};
use serde_json::json;

fn start(timeouts: &[(&str, &str)]) -> Host {
    let mut config = Config::neighbours();
    for (key, duration) in timeouts {
        config = config.set(&["presence", key], json!(duration));
    }
    Host::start(&config)
}

#[test]
fn who_does_not_sync_any_more_goes_offline() {
    let host = start(&[("sync_online_timeout", "300ms")]);
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    alice.sync(&SyncRequest::initial().set_presence(Some("online")));
    bob.sync_until_state(&since, alice.id(), "online");
    bob.sync_until_state(&since, alice.id(), "offline");
}

#[test]
fn who_syncs_stays_online() {
    const SYNC: Duration = Duration::from_millis(1500);
    let host = start(&[("sync_online_timeout", "300ms")]);
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    let online = SyncRequest::initial().set_presence(Some("online"));
    let alice_since = alice.sync(&online).next_batch;
    bob.sync_until_state(&since, alice.id(), "online");
    let since = bob.now();
    thread::scope(|scope| {
        let waits = SyncRequest::since(&alice_since)
            .set_presence(Some("online"))
            .wait(SYNC);
        scope.spawn(move || alice.sync(&waits));
        // Waits for less than alice does: she is there all the time.
        let seen = bob.sync(&SyncRequest::since(&since).wait(SYNC / 2));
        assert!(
            seen.presence.iter().all(|event| event.presence != "offline"),
            "{seen:?}"
        );
    });
}

#[test]
fn who_does_nothing_becomes_unavailable() {
    let host = start(&[("idle_timeout", "300ms")]);
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    alice.set("online", Some("dozing off"));
    bob.sync_until_state(&since, alice.id(), "online");
    let event = bob.sync_until_state(&since, alice.id(), "unavailable");
    assert_eq!(event.status_msg.as_deref(), Some("dozing off"));
}

#[test]
fn who_did_something_a_while_ago_is_not_currently_active() {
    let host = start(&[("last_active_granularity", "300ms")]);
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    alice.set("online", None);
    bob.sync_until(&since, |event| {
        event.sender == alice.id() && event.currently_active == Some(true)
    });
    bob.sync_until(&since, |event| {
        event.sender == alice.id() && event.presence == "online" && event.currently_active != Some(true)
    });
}

//! `rc_presence`: how often a user may set presence.

use presence_router_tests::{Config, Host, SyncRequest};
use serde_json::json;

/// Two at once, and one in a hundred seconds.
fn host() -> Host {
    Host::start(&Config::neighbours().set(
        &["rc_presence", "per_user"],
        json!({"per_second": 0.01, "burst_count": 2}),
    ))
}

// Synapse tests/rest/client/test_presence.py: test_put_presence_over_ratelimit, test_put_presence_within_ratelimit.
#[test]
fn a_put_beyond_it_is_refused_and_changes_nothing() {
    let host = host();
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    alice.set("online", Some("one"));
    alice.set("online", Some("two"));
    let answer = alice.put(json!({"presence": "offline", "status_msg": "three"}).to_string());
    assert_eq!(
        (answer.status, answer.errcode().as_str()),
        (429, "M_LIMIT_EXCEEDED")
    );
    let ms = answer.json()["retry_after_ms"].as_u64().expect("a number");
    assert!((1..=100_000).contains(&ms), "{ms}");
    assert_eq!(answer.headers["retry-after"], *ms.div_ceil(1_000).to_string());
    let seen = bob.presence_of(alice.id()).expect(200);
    assert_eq!(
        (&seen["presence"], &seen["status_msg"]),
        (&json!("online"), &json!("two"))
    );
    bob.set("online", None);
    host.terminate().expect_code(0);
}

#[test]
fn a_sync_beyond_it_is_served_and_sets_nothing() {
    let host = host();
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    for (set, is) in [
        ("online", "online"),
        ("unavailable", "unavailable"),
        ("online", "unavailable"),
    ] {
        alice.sync(&SyncRequest::initial().set_presence(Some(set)));
        assert_eq!(bob.presence_of(alice.id()).expect(200)["presence"], is, "{set}");
    }
    host.terminate().expect_code(0);
}

//! `selective`: stricter rules in place of shared rooms.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use presence_router_tests::{Config, Host, PATIENCE, SyncRequest, artifacts, id_of};
use serde_json::{Value, json};

/// alice and bob share a room by themselves, and one with carol and dave.
fn start(config: Value) -> Host {
    let config = Config::neighbours()
        .room("!large:example.org", &["alice", "bob", "carol", "dave"])
        .module(artifacts::plugin("selective"), config);
    Host::start(&config)
}

/// bob sees alice, and carol does not, in each way in which presence is asked for.
fn check_only_bob_sees_alice(host: Host) {
    let (alice, bob, carol) = (host.user("alice"), host.user("bob"), host.user("carol"));
    let since = [bob.now(), carol.now()];
    alice.set("online", Some("to few"));
    bob.sync_until_says(&since[0], alice.id(), "to few");
    assert_eq!(carol.sync(&SyncRequest::since(&since[1])).of(alice.id()), None);

    assert!(bob.sync(&SyncRequest::initial()).of(alice.id()).is_some());
    assert_eq!(carol.sync(&SyncRequest::initial()).of(alice.id()), None);
    bob.presence_of(alice.id()).expect(200);
    carol.presence_of(alice.id()).expect(403);
    host.terminate().expect_code(0);
}

#[test]
fn an_excluded_room_shows_nobody() {
    check_only_bob_sees_alice(start(json!({"excluded_rooms": ["!large:example.org"]})));
}

#[test]
fn a_room_that_is_too_large_shows_nobody() {
    check_only_bob_sees_alice(start(json!({"max_room_members": 3, "local_only": true})));
}

#[test]
fn without_rules_all_is_as_without_the_module() {
    let host = start(json!({}));
    assert_eq!(host.modules()[0].name, "presence-router-selective");
    let (alice, carol, hidden) = (host.user("alice"), host.user("carol"), host.user("hidden"));
    let since = carol.now();
    alice.set("online", Some("to many"));
    carol.sync_until_says(&since, alice.id(), "to many");
    carol.presence_of(alice.id()).expect(200);
    hidden.presence_of(alice.id()).expect(403);
    // Nobody comes between oneself and one's own presence.
    hidden.presence_of(&id_of("hidden")).expect(200);
    host.terminate().expect_code(0);
}

#[test]
fn who_comes_into_a_room_and_who_is_there_see_each_other() {
    let config = |members: &[&str]| {
        let module = json!({"cache_ttl": "1s"});
        Config::neighbours()
            .room("!den:example.org", members)
            .module(artifacts::plugin("selective"), module)
    };
    let host = Host::start(&config(&["alice", "bob"]));
    let (alice, bob, carol) = (host.user("alice"), host.user("bob"), host.user("carol"));
    let since = bob.now();
    bob.set("online", Some("was there before"));
    carol.set("online", Some("will come"));
    alice.set("online", Some("0"));
    bob.sync_until_says(&since, alice.id(), "0");
    host.reload(&config(&["alice", "bob", "carol"]));
    // The module finds her when somebody of the room changes, after the cache's second. So alice does, until carol has seen
    // her, and bob, who does not change.
    let deadline = Instant::now() + PATIENCE;
    let mut token = carol.now();
    let mut seen = BTreeSet::new();
    for number in 1.. {
        alice.set("online", Some(&format!("number {number}")));
        let answer = carol.sync(&SyncRequest::since(&token).wait(Duration::from_millis(300)));
        token = answer.next_batch;
        seen.extend(answer.presence.into_iter().map(|event| event.sender));
        if seen.contains(alice.id()) && seen.contains(bob.id()) {
            break;
        }
        assert!(Instant::now() < deadline, "carol sees only {seen:?}");
    }
    // And bob sees her, though she has not changed since she came.
    bob.sync_until_says(&since, carol.id(), "will come");
    host.terminate().expect_code(0);
}

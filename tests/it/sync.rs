//! Who sees whose presence in `/sync`, and when.

use std::thread;
use std::time::{Duration, Instant};

use presence_router_tests::{Config, GOBBLER, Host, SyncRequest, User, artifacts, id_of};
use serde_json::json;

/// The broadcast module as in the documentation: the gobbler sees everybody but hidden.
fn start() -> Host {
    start_with(&[GOBBLER.to_owned()], Config::neighbours())
}

fn start_with(recipients: &[String], config: Config) -> Host {
    let module_config = json!({"always_send_to_users": recipients, "blacklisted_users": [id_of("hidden")]});
    Host::start(&config.module(artifacts::broadcast(), module_config))
}

/// Nothing came for `user` since then. Asked when others have their events already.
#[track_caller]
fn check_nothing(user: &User, since: &str) {
    let answer = user.sync(&SyncRequest::since(since));
    assert!(
        answer.presence.is_empty(),
        "{} sees {:?}",
        user.id(),
        answer.presence
    );
}

#[test]
fn room_mates_see_each_other_and_others_do_not() {
    let host = start();
    let (alice, bob, carol) = (host.user("alice"), host.user("bob"), host.user("carol"));
    let (alice_since, bob_since, carol_since) = (alice.now(), bob.now(), carol.now());
    alice.set("online", Some("hi"));
    let event = bob.sync_until_state(&bob_since, alice.id(), "online");
    assert_eq!(event.status_msg.as_deref(), Some("hi"));
    assert_eq!(event.currently_active, Some(true));
    assert!(event.last_active_ago.is_none_or(|ago| ago < 60_000), "{event:?}");
    check_nothing(&carol, &carol_since);

    bob.set("unavailable", None);
    alice.sync_until_state(&alice_since, bob.id(), "unavailable");
    check_nothing(&carol, &carol_since);
}

#[test]
fn one_sees_one_s_own_presence() {
    let host = start();
    let carol = host.user("carol");
    let since = carol.now();
    carol.set("online", Some("talking to myself"));
    carol.sync_until_says(&since, carol.id(), "talking to myself");
    let initial = carol.sync(&SyncRequest::initial());
    assert_eq!(initial.senders(), [carol.id()]);
}

#[test]
fn the_module_routes_beyond_rooms_but_for_the_blacklisted() {
    let host = start();
    let (alice, hidden, gobbler) = (
        host.user("alice"),
        host.user("hidden"),
        host.user("presence_gobbler"),
    );
    let since = gobbler.now();
    hidden.set("online", Some("unseen"));
    alice.set("online", Some("seen"));
    // hidden's change was the earlier one: had it been routed, it would be here, or have been.
    let answer = gobbler.sync(&SyncRequest::since(&since).wait(Duration::from_secs(20)));
    let mut seen = answer.presence;
    if !seen.iter().any(|event| event.sender == alice.id()) {
        seen.push(gobbler.sync_until_says(&answer.next_batch, alice.id(), "seen"));
    }
    assert!(seen.iter().all(|event| event.sender == alice.id()), "{seen:?}");

    let initial = gobbler.sync(&SyncRequest::initial());
    assert!(initial.of(alice.id()).is_some(), "{initial:?}");
    assert_eq!(initial.of(hidden.id()), None);
    gobbler.presence_of(alice.id()).expect(200);
    gobbler.presence_of(hidden.id()).expect(403);
}

#[test]
fn the_blacklist_leaves_shared_rooms_alone() {
    let host = start_with(
        &[GOBBLER.to_owned()],
        Config::neighbours().room("!den:example.org", &["hidden", "carol"]),
    );
    let (hidden, carol) = (host.user("hidden"), host.user("carol"));
    let since = carol.now();
    hidden.set("online", Some("at home"));
    carol.sync_until_says(&since, hidden.id(), "at home");
}

#[test]
fn whoever_shares_a_room_and_is_routed_gets_one_event() {
    let host = start_with(
        &[id_of("bob"), GOBBLER.to_owned()],
        Config::neighbours().room("!second:example.org", &["alice", "bob"]),
    );
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    alice.set("online", Some("once"));
    bob.sync_until_says(&since, alice.id(), "once");
    // `of` fails when there are two.
    assert!(bob.sync(&SyncRequest::since(&since)).of(alice.id()).is_some());
    let initial = bob.sync(&SyncRequest::initial());
    assert!(initial.of(alice.id()).is_some());
    check_nothing(&bob, &initial.next_batch);
}

#[test]
fn several_changes_come_as_the_newest_state() {
    let host = start();
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    for says in ["one", "two", "three"] {
        alice.set("online", Some(says));
    }
    bob.sync_until_says(&since, alice.id(), "three");
    let answer = bob.sync(&SyncRequest::since(&since));
    assert_eq!(
        answer
            .of(alice.id())
            .and_then(|event| event.status_msg.as_deref()),
        Some("three")
    );
}

#[test]
fn setting_the_same_again_tells_nobody() {
    let host = start();
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    alice.set("unavailable", Some("brb"));
    bob.sync_until_says(&since, alice.id(), "brb");
    let since = bob.now();
    alice.set("unavailable", Some("brb"));
    let again = bob.sync(&SyncRequest::since(&since).wait(Duration::from_millis(300)));
    assert!(again.presence.is_empty(), "{again:?}");
}

#[test]
fn offline_users_are_in_what_changed_and_not_in_the_first_sync() {
    let host = start();
    let (alice, gobbler) = (host.user("alice"), host.user("presence_gobbler"));
    let since = gobbler.now();
    alice.set("online", Some("hi"));
    gobbler.sync_until_state(&since, alice.id(), "online");
    let since = gobbler.now();
    alice.set("offline", None);
    let event = gobbler.sync_until_state(&since, alice.id(), "offline");
    assert_eq!(event.status_msg, None);
    assert_eq!(gobbler.sync(&SyncRequest::initial()).of(alice.id()), None);
}

#[test]
fn a_waiting_sync_is_woken_by_what_one_may_see() {
    const LONG: Duration = Duration::from_secs(20);
    let host = start();
    let alice = host.user("alice");
    for reader in ["bob", "presence_gobbler"] {
        let reader = host.user(reader);
        let mut since = reader.now();
        // Many rounds, so that in most the sync waits already when the change comes.
        for round in 0..20 {
            let says = format!("round {round} for {}", reader.id());
            let start = Instant::now();
            since = thread::scope(|scope| {
                let waiting = scope.spawn(|| reader.sync(&SyncRequest::since(&since).wait(LONG)));
                alice.set("online", Some(&says));
                let answer = waiting.join().expect("the sync is answered");
                let event = answer.of(alice.id()).expect("the change is in the answer");
                assert_eq!(event.status_msg.as_deref(), Some(says.as_str()));
                answer.next_batch
            });
            assert!(start.elapsed() < LONG, "the sync ran into its timeout");
        }
    }
}

#[test]
fn a_waiting_sync_is_not_woken_by_what_one_may_not_see() {
    const WAIT: Duration = Duration::from_millis(700);
    let host = start();
    let (alice, carol) = (host.user("alice"), host.user("carol"));
    let since = carol.now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let start = Instant::now();
            (
                carol.sync(&SyncRequest::since(&since).wait(WAIT)),
                start.elapsed(),
            )
        });
        for says in ["not", "for", "carol"] {
            alice.set("online", Some(says));
        }
        let (answer, took) = waiting.join().expect("the sync is answered");
        assert!(answer.presence.is_empty(), "{answer:?}");
        assert!(took >= WAIT, "woken after {took:?}");
    });
}

#[test]
fn a_sync_sets_the_presence_that_it_is_asked_to() {
    let host = start();
    let state = |user: &User| user.presence_of(user.id()).expect(200)["presence"].clone();
    let carol = host.user("carol");
    carol.sync(&SyncRequest::initial());
    assert_eq!(state(&carol), "offline", "set_presence=offline leaves it alone");
    carol.sync(&SyncRequest::initial().set_presence(Some("unavailable")));
    assert_eq!(state(&carol), "unavailable");
    carol.sync(&SyncRequest::initial().set_presence(None));
    assert_eq!(state(&carol), "online");
    carol.sync(&SyncRequest::initial());
    assert_eq!(state(&carol), "online", "set_presence=offline leaves it alone");
}

#[test]
fn a_sync_does_not_touch_the_status_message() {
    let host = start();
    let dave = host.user("dave");
    dave.set("unavailable", Some("on holiday"));
    dave.sync(&SyncRequest::initial().set_presence(None));
    let found = dave.presence_of(dave.id()).expect(200);
    assert_eq!(found["status_msg"], "on holiday");
}

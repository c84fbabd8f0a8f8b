//! Cases of the test suites of Synapse, complement and sytest that no other test here has. Each names its source;
//! `docs/synapse-cases.md` has all of them.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use presence_router_tests::user::status_path;
use presence_router_tests::{
    Config, GOBBLER, Host, PATIENCE, Request, SyncAnswer, SyncRequest, User, artifacts, id_of, token_of,
};
use serde_json::json;

/// Syncs on until each of these users has said this, and answers who was in these syncs.
#[track_caller]
fn sync_until_all_say(reader: &User, since: &str, wanted: &[(&str, &str)]) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut since = since.to_owned();
    let mut seen = Vec::new();
    loop {
        let answer = reader.sync(&SyncRequest::since(&since).wait(Duration::from_secs(5)));
        seen.extend(answer.presence);
        since = answer.next_batch;
        let all_there = wanted.iter().all(|(name, says)| {
            seen.iter()
                .any(|event| event.sender == id_of(name) && event.status_msg.as_deref() == Some(says))
        });
        if all_there {
            let mut senders: Vec<_> = seen.into_iter().map(|event| event.sender).collect();
            senders.sort();
            senders.dedup();
            return senders;
        }
        assert!(Instant::now() < deadline, "{} saw only {seen:#?}", reader.id());
    }
}

// Synapse tests/events/test_presence_router.py: test_receiving_all_presence, test_receiving_all_presence_legacy.
#[test]
fn who_receives_everybody_s_presence_does_and_others_that_of_their_room_mates() {
    let module_config = json!({"always_send_to_users": [GOBBLER]});
    let host = Host::start(&Config::neighbours().module(artifacts::broadcast(), module_config));
    let (one, two) = (host.user("alice"), host.user("bob"));
    let gobbler = host.user("presence_gobbler");
    one.set("online", Some("boop"));
    let first = gobbler.sync(&SyncRequest::initial());
    assert_eq!(first.senders(), [one.id()]);
    assert_eq!(
        first.of(one.id()).and_then(|event| event.status_msg.as_deref()),
        Some("boop")
    );

    one.set("online", Some("user one"));
    two.set("online", Some("user two"));
    gobbler.set("online", Some("gobbler"));
    let wanted = [
        ("alice", "user one"),
        ("bob", "user two"),
        ("presence_gobbler", "gobbler"),
    ];
    let senders = sync_until_all_say(&gobbler, &first.next_batch, &wanted);
    assert_eq!(senders, [one.id(), two.id(), gobbler.id()]);

    let seen = one.sync(&SyncRequest::initial());
    assert_eq!(seen.senders(), [one.id(), two.id()]);
    assert_eq!(
        seen.of(two.id()).and_then(|event| event.status_msg.as_deref()),
        Some("user two")
    );
}

// complement tests/csapi/sync_test.go: TestPresenceSyncDifferentRooms.
#[test]
fn who_shares_a_room_with_each_of_two_people_sees_both() {
    let config = Config::empty()
        .users(&["alice", "bob", "carol"])
        .room("!one:example.org", &["alice", "bob"])
        .room("!two:example.org", &["alice", "carol"]);
    let host = Host::start(&config);
    let (alice, bob, carol) = (host.user("alice"), host.user("bob"), host.user("carol"));
    let (since, bob_since) = (alice.now(), bob.now());
    bob.set("online", Some("bob"));
    carol.set("online", Some("carol"));
    let senders = sync_until_all_say(&alice, &since, &[("bob", "bob"), ("carol", "carol")]);
    assert_eq!(senders, [bob.id(), carol.id()]);
    let bob_sees = bob.sync(&SyncRequest::since(&bob_since));
    assert_eq!(bob_sees.senders(), [bob.id()], "bob and carol share no room");
}

// complement tests/csapi/apidoc_presence_test.go, sytest tests/40presence.pl: Presence can be set from sync.
#[test]
fn presence_that_a_sync_sets_is_heard_of_in_the_room() {
    let host = Host::start(&Config::neighbours());
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    alice.sync(&SyncRequest::initial().set_presence(Some("unavailable")));
    bob.sync_until_state(&since, alice.id(), "unavailable");
}

// sytest tests/11initial-presence.pl; tests/31sync/05presence.pl: User sees their own presence in a sync.
#[test]
fn the_first_sync_of_each_user_shows_their_own_presence_alone() {
    let host = Host::start(&Config::empty().users(&["alice", "bob"]));
    for name in ["alice", "bob"] {
        let user = host.user(name);
        let filter = "%7B%22presence%22%3A%7B%22types%22%3A%5B%22m.presence%22%5D%7D%7D";
        let path = format!("/_matrix/client/v3/sync?filter={filter}");
        let answer = SyncAnswer::read(&user.send(Request::new("GET", path)).expect(200));
        assert_eq!(answer.senders(), [user.id()]);
        assert_eq!(
            answer.of(user.id()).map(|event| event.presence.as_str()),
            Some("online")
        );
    }
}

// Synapse tests/rest/client/test_sync.py: test_sync_argless.
#[test]
fn a_sync_needs_no_parameters() {
    let host = Host::start(&Config::neighbours());
    let answer = host
        .user("alice")
        .send(Request::new("GET", "/_matrix/client/v3/sync"));
    assert!(answer.expect(200)["next_batch"].is_string());
}

// Synapse tests/rest/client/test_sync.py: test_noop_sync_does_not_tightloop.
#[test]
fn a_sync_in_which_nothing_happens_waits_each_time_anew() {
    const WAIT: Duration = Duration::from_millis(400);
    let host = Host::start(&Config::neighbours());
    let alice = host.user("alice");
    let since = alice.now();
    for round in 0..2 {
        let start = Instant::now();
        let answer = alice.sync(&SyncRequest::since(&since).wait(WAIT));
        let took = start.elapsed();
        assert!(took >= WAIT, "round {round} was over after {took:?}");
        assert_eq!(answer.presence, []);
        assert_eq!(answer.next_batch, since);
    }
}

// Synapse tests/storage/test_id_generators.py: test_cancelled_enter_does_not_wedge_position.
#[test]
fn clients_that_go_away_in_the_middle_hold_nothing_up() {
    // carol's requests may be served in any order, and later than alice's.
    let host = Host::start(&Config::neighbours().room("!more:example.org", &["bob", "carol"]));
    let (alice, bob, carol) = (host.user("alice"), host.user("bob"), host.user("carol"));
    let since = bob.now();
    let address = host.listeners()[0].address.clone();
    let address = address.trim_start_matches("http://");
    let path = status_path(carol.id());
    for round in 0..50 {
        let body = json!({"presence": "online", "status_msg": format!("round {round}")}).to_string();
        for (line, body) in [
            (format!("PUT {path}"), body.as_str()),
            (
                "GET /_matrix/client/v3/sync?set_presence=unavailable".to_owned(),
                "",
            ),
            (
                format!("GET /_matrix/client/v3/sync?timeout=30000&since={since}"),
                "",
            ),
        ] {
            let mut connection = TcpStream::connect(address).expect("the host listens");
            let token = token_of("carol");
            let length = body.len();
            let request = format!(
                "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            );
            connection
                .write_all(request.as_bytes())
                .expect("the host reads a request");
            // And away, without the answer.
        }
    }
    alice.set("online", Some("still here"));
    bob.sync_until_says(&since, alice.id(), "still here");
}

// Synapse tests/handlers/test_presence.py: test_restored_presence_flushed_offline_when_presence_disabled.
#[test]
fn who_was_online_when_presence_was_switched_off_is_offline_for_good_and_that_is_told_once() {
    let config = Config::neighbours();
    let mut host = Host::start(&config);
    host.user("alice").set("online", Some("hi"));
    let since = host.user("bob").now();
    let off = config.clone().set(&["presence", "enabled"], json!(false));
    for config in [&off, &config] {
        config.write_into(host.directory());
        host.restart();
    }
    let (alice, bob) = (id_of("alice"), host.user("bob"));
    let told = bob.sync(&SyncRequest::since(&since));
    assert_eq!(
        told.of(&alice).map(|event| event.presence.as_str()),
        Some("offline")
    );
    assert_eq!(bob.sync(&SyncRequest::since(&told.next_batch)).presence, []);
}

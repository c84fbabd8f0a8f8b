//! The module on a fake host: who sees whom by which rule, as people come and go, and what it makes of a host that fails.

use std::time::Duration;

use presence_router_api::testing::{FakeHost, Harness, Service};
use presence_router_api::{ApiError, PresenceState, SharedRoomPresence, UserPresenceState};

use super::Selective;

const USERS: [&str; 6] = [
    "@alice:example.org",
    "@bob:example.org",
    "@carol:example.org",
    "@friend:friends.example",
    "@pal:friends.example",
    "@stranger:elsewhere.example",
];
/// The default of `cache_ttl`.
const TTL: Duration = Duration::from_secs(10);

/// A small room of this server, a larger one of all servers, and one between others.
fn host() -> FakeHost {
    let host = FakeHost::new("example.org");
    host.set_room("!small:example.org", ["@alice:example.org", "@bob:example.org"]);
    host.set_room(
        "!large:example.org",
        [
            "@alice:example.org",
            "@carol:example.org",
            "@friend:friends.example",
            "@stranger:elsewhere.example",
        ],
    );
    host.set_room(
        "!others:friends.example",
        ["@friend:friends.example", "@pal:friends.example"],
    );
    host
}

fn start(host: &FakeHost, config: &str) -> Harness {
    Harness::start_on::<Selective>(host, config).expect("starts")
}

/// The pairs of who sees and who is seen, without domains; oneself left out. Both methods say the same.
fn seen(router: &Harness) -> Vec<String> {
    router.assert_methods_line_up(USERS, USERS);
    pairs(router, USERS)
}

fn pairs<'a>(router: &Harness, users: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let sent = router.route(users).expect("routes");
    let name = |id: &str| id[1..id.find(':').expect("a user id")].to_owned();
    sent.pairs()
        .filter(|(viewer, user)| viewer != user)
        .map(|(viewer, user)| format!("{} sees {}", name(viewer), name(user)))
        .collect()
}

fn online(user: &str) -> UserPresenceState {
    UserPresenceState {
        state: PresenceState::Online,
        ..UserPresenceState::offline(user)
    }
}

fn unavailable() -> ApiError {
    ApiError::Unavailable("the test says so".to_owned())
}

/// What this server's users see of each other and of others, in `!large`.
const OURS_IN_LARGE: [&str; 6] = [
    "alice sees carol",
    "alice sees friend",
    "alice sees stranger",
    "carol sees alice",
    "carol sees friend",
    "carol sees stranger",
];

fn expected(more: &[&str]) -> Vec<String> {
    let mut pairs: Vec<String> = OURS_IN_LARGE
        .iter()
        .chain(more)
        .map(|pair| (*pair).to_owned())
        .collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn without_rules_people_see_whom_they_share_a_room_with() {
    let router = start(&host(), "{}");
    assert_eq!(
        seen(&router),
        expected(&[
            "alice sees bob",
            "bob sees alice",
            "friend sees alice",
            "friend sees carol",
            "stranger sees alice",
            "stranger sees carol",
        ])
    );
    assert_eq!(router.shared_room_presence(), SharedRoomPresence::Replace);
}

#[test]
fn local_only_sends_nothing_to_other_servers() {
    let router = start(&host(), r#"{"local_only": true}"#);
    assert_eq!(seen(&router), expected(&["alice sees bob", "bob sees alice"]));
}

#[test]
fn only_allowed_servers_are_sent_something() {
    let router = start(&host(), r#"{"allowed_servers": ["friends.example"]}"#);
    assert_eq!(
        seen(&router),
        expected(&[
            "alice sees bob",
            "bob sees alice",
            "friend sees alice",
            "friend sees carol",
        ])
    );
}

#[test]
fn rooms_that_are_too_large_do_not_count() {
    let router = start(&host(), r#"{"max_room_members": 3}"#);
    assert_eq!(seen(&router), ["alice sees bob", "bob sees alice"]);
    let router = start(&host(), r#"{"max_room_members": 4, "local_only": true}"#);
    assert_eq!(seen(&router), expected(&["alice sees bob", "bob sees alice"]));
}

#[test]
fn excluded_rooms_do_not_count_and_are_not_even_looked_up() {
    let router = start(
        &host(),
        r#"{"excluded_rooms": ["!large:example.org", "!unknown:x"]}"#,
    );
    assert_eq!(seen(&router), ["alice sees bob", "bob sees alice"]);
    // Of `!small` and `!others`, one each.
    assert_eq!(router.host().audience_count(), 2);
}

#[test]
fn who_shares_two_rooms_still_sees_by_the_one_that_counts() {
    let host = host();
    host.set_room("!den:example.org", ["@carol:example.org", "@alice:example.org"]);
    let router = start(&host, r#"{"excluded_rooms": ["!large:example.org"]}"#);
    assert_eq!(
        seen(&router),
        [
            "alice sees bob",
            "alice sees carol",
            "bob sees alice",
            "carol sees alice"
        ]
    );
}

#[test]
fn answers_of_the_host_are_used_for_the_cache_s_time() {
    let host = host();
    let router = start(&host, r#"{"max_room_members": 2}"#);
    assert_eq!(seen(&router), ["alice sees bob", "bob sees alice"]);
    host.set_room("!small:example.org", ["@alice:example.org", "@carol:example.org"]);
    assert_eq!(seen(&router), ["alice sees bob", "bob sees alice"]);
    host.advance(TTL);
    assert_eq!(seen(&router), ["alice sees carol", "carol sees alice"]);
    // A room that was too large is looked at again after ten times as long.
    host.set_room("!large:example.org", ["@alice:example.org", "@bob:example.org"]);
    host.advance(TTL * 8);
    assert_eq!(seen(&router), ["alice sees carol", "carol sees alice"]);
    host.advance(TTL);
    assert_eq!(
        seen(&router),
        [
            "alice sees bob",
            "alice sees carol",
            "bob sees alice",
            "carol sees alice"
        ]
    );
}

#[test]
fn who_comes_into_a_room_is_sent_who_is_online_and_is_introduced_once() {
    let host = host();
    let router = start(
        &host,
        r#"{"local_only": true, "excluded_rooms": ["!large:example.org"]}"#,
    );
    assert_eq!(seen(&router), ["alice sees bob", "bob sees alice"]);
    host.set_room(
        "!small:example.org",
        [
            "@alice:example.org",
            "@bob:example.org",
            "@carol:example.org",
            "@pal:friends.example",
        ],
    );
    host.set_state(online("@carol:example.org"));
    host.set_state(online("@pal:friends.example"));
    host.advance(TTL);
    // alice changes; carol and pal do not. All the same, the others see these two from then on.
    assert_eq!(
        pairs(&router, ["@alice:example.org"]),
        [
            "alice sees carol",
            "alice sees pal",
            "bob sees alice",
            "bob sees carol",
            "bob sees pal",
            "carol sees alice",
            "carol sees pal",
        ]
    );
    assert_eq!(
        pairs(&router, ["@alice:example.org"]),
        ["bob sees alice", "carol sees alice"]
    );
    host.run_tasks();
    // Not pal: by `local_only`, nothing is sent there.
    assert_eq!(host.snapshots_asked(), [["@carol:example.org".to_owned()]]);
    router.assert_methods_line_up(USERS, USERS);
}

#[test]
fn a_newcomer_who_is_offline_or_cannot_be_looked_up_is_not_introduced_yet() {
    let host = host();
    let router = start(&host, r#"{"max_room_members": 3}"#);
    seen(&router);
    let all = ["@alice:example.org", "@bob:example.org", "@carol:example.org"];
    host.set_room("!small:example.org", all);
    host.advance(TTL);
    host.refuse(Service::Presence, unavailable());
    let told = ["bob sees alice", "carol sees alice"];
    assert_eq!(pairs(&router, ["@alice:example.org"]), told);
    host.serve(Service::Presence);
    // carol is offline as far as the host knows: there is nothing to say.
    assert_eq!(pairs(&router, ["@alice:example.org"]), told);

    host.set_room("!small:example.org", all[..2].to_vec());
    host.advance(TTL);
    seen(&router);
    host.set_room("!small:example.org", all);
    host.set_state(online("@carol:example.org"));
    host.advance(TTL);
    host.refuse(Service::Presence, unavailable());
    assert_eq!(pairs(&router, ["@alice:example.org"]), told);
    host.serve(Service::Presence);
    assert_eq!(
        pairs(&router, ["@alice:example.org"]),
        [
            "alice sees carol",
            "bob sees alice",
            "bob sees carol",
            "carol sees alice"
        ]
    );
}

#[test]
fn rooms_and_members_that_were_looked_up_at_different_times_do_not_disagree() {
    let host = host();
    let router = start(&host, r#"{"excluded_rooms": ["!large:example.org"]}"#);
    // !small is looked up now; the rooms of bob and carol nine seconds later.
    assert_eq!(pairs(&router, ["@alice:example.org"]), ["bob sees alice"]);
    host.advance(Duration::from_secs(9));
    for user in ["@bob:example.org", "@carol:example.org"] {
        router.interested(user).expect("answers");
    }
    host.set_room("!small:example.org", ["@alice:example.org", "@carol:example.org"]);
    host.advance(Duration::from_secs(1));
    // The room is known anew, bob's and carol's rooms are not.
    assert_eq!(
        pairs(&router, ["@bob:example.org", "@alice:example.org"]),
        ["carol sees alice"]
    );
    let sees_alice = Ok(Some(["@alice:example.org".to_owned()].into()));
    assert_eq!(router.interested("@carol:example.org"), sees_alice);
    assert_eq!(router.interested("@bob:example.org"), Ok(Some([].into())));
}

#[test]
fn what_the_host_cannot_say_is_as_it_was_last_known() {
    let host = host();
    let router = start(&host, r#"{"local_only": true}"#);
    let before = seen(&router);
    host.refuse(Service::Rooms, unavailable());
    host.set_room("!small:example.org", ["@alice:example.org"]);
    host.advance(TTL);
    assert_eq!(seen(&router), before);
    host.serve(Service::Rooms);
    assert_eq!(seen(&router), OURS_IN_LARGE);
}

#[test]
fn what_was_never_known_is_an_error_and_is_asked_for_again() {
    let host = host();
    let router = start(&host, "{}");
    for service in [Service::Rooms, Service::Audiences] {
        host.refuse(service, unavailable());
        let error = router.route(["@bob:example.org"]).expect_err("fails");
        assert!(
            !error.panicked && error.message.contains("the test says so"),
            "{error}"
        );
        router.interested("@bob:example.org").expect_err("fails");
        host.serve(service);
    }
    assert_eq!(pairs(&router, ["@bob:example.org"]), ["alice sees bob"]);
}

#[test]
fn a_large_batch_of_many_rooms_is_routed() {
    let host = FakeHost::new("example.org");
    let users: Vec<String> = (0..4_096).map(|n| format!("@u{n}:example.org")).collect();
    for (number, pair) in users.chunks(2).enumerate() {
        host.set_room(&format!("!r{number}:example.org"), pair.to_vec());
    }
    let router = start(&host, "{}");
    let sent = router.route(users.iter().map(String::as_str)).expect("routes");
    // Each sees the other, and is sent their own.
    assert_eq!(sent.pairs().count(), 2 * 4_096);
    assert_eq!(host.audience_count(), 2_048);
    let host = router.shutdown().expect("shuts down");
    assert_eq!(host.audience_count(), 0);
}

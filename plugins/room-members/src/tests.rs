//! The module on a fake host: who sees whom as people come and go, and what it makes of a host that fails.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::testing::{FakeHost, Harness, Service};
use presence_router_api::{ApiError, ConfigValue, SharedRoomPresence};

use super::RoomMembers;
use crate::watch::Watch;

const CONFIG: &str = r#"{"rooms": {
    "!support:example.org": ["@alice:example.org", "@bob:example.org"],
    "!board:example.org": ["@bob:example.org"]
}}"#;

const USERS: [&str; 6] = [
    "@alice:example.org",
    "@bob:example.org",
    "@carol:example.org",
    "@dave:example.org",
    "@eve:example.org",
    "@far:remote.example",
];

const INTERVAL: Duration = Duration::from_secs(30);

/// carol and far are in support, dave is on the board; alice sits on neither, bob on the board.
fn host() -> FakeHost {
    let host = FakeHost::new("example.org");
    host.set_room(
        "!support:example.org",
        ["@carol:example.org", "@far:remote.example"],
    );
    host.set_room("!board:example.org", ["@dave:example.org", "@bob:example.org"]);
    host
}

/// Started, and the rooms looked up once.
fn start(host: &FakeHost) -> Harness {
    let router = Harness::start_on::<RoomMembers>(host, CONFIG).expect("starts");
    host.run_tasks();
    router
}

/// The pairs of who sees and who is seen, without domains; oneself left out.
fn seen(router: &Harness) -> Vec<String> {
    router.assert_methods_line_up(USERS, USERS);
    let sent = router.route(USERS).expect("routes");
    let name = |id: &str| id[1..id.find(':').expect("a user id")].to_owned();
    sent.pairs()
        .filter(|(viewer, user)| viewer != user)
        .map(|(viewer, user)| format!("{} sees {}", name(viewer), name(user)))
        .collect()
}

fn unavailable() -> ApiError {
    ApiError::Unavailable("the test says so".to_owned())
}

#[test]
fn the_members_of_a_room_see_its_users_and_nobody_else_does() {
    let router = start(&host());
    assert_eq!(
        seen(&router),
        [
            "carol sees alice",
            "carol sees bob",
            "dave sees bob",
            "far sees alice",
            "far sees bob",
        ]
    );
    assert_eq!(router.shared_room_presence(), SharedRoomPresence::Additive);
}

#[test]
fn nobody_sees_anybody_before_the_first_look() {
    let host = host();
    let router = Harness::start_on::<RoomMembers>(&host, CONFIG).expect("starts");
    assert!(seen(&router).is_empty());
    host.run_tasks();
    assert!(!seen(&router).is_empty());
}

#[test]
fn who_comes_sees_and_who_goes_does_not_after_the_next_look() {
    let host = host();
    let router = start(&host);
    host.set_room(
        "!support:example.org",
        ["@eve:example.org", "@far:remote.example"],
    );
    host.advance(Duration::from_millis(29_999));
    assert!(seen(&router).contains(&"carol sees alice".to_owned()));
    host.advance(Duration::from_millis(1));
    assert_eq!(
        seen(&router),
        [
            "dave sees bob",
            "eve sees alice",
            "eve sees bob",
            "far sees alice",
            "far sees bob",
        ]
    );
}

#[test]
fn only_new_members_are_sent_who_is_online() {
    let host = host();
    let _router = start(&host);
    let everybody = [
        "@bob:example.org",
        "@carol:example.org",
        "@dave:example.org",
        "@far:remote.example",
    ];
    assert_eq!(host.snapshots_asked(), [everybody.map(str::to_owned)]);
    host.advance(INTERVAL);
    assert_eq!(host.snapshots_asked().len(), 1, "nobody is new");

    host.set_room(
        "!support:example.org",
        ["@eve:example.org", "@far:remote.example"],
    );
    host.advance(INTERVAL);
    assert_eq!(host.snapshots_asked()[1..], [["@eve:example.org".to_owned()]]);

    // Who comes back has missed what came meanwhile.
    host.set_room("!support:example.org", ["@carol:example.org"]);
    host.advance(INTERVAL);
    assert_eq!(host.snapshots_asked()[2..], [["@carol:example.org".to_owned()]]);
}

#[test]
fn an_audience_is_registered_only_when_the_members_changed() {
    let host = host();
    let config = ConfigValue::from_json(CONFIG).and_then(ConfigValue::parse);
    let watch = Watch::start(config.expect("is a config"), &host.api()).expect("starts");
    host.run_tasks();
    let before = watch.snapshot();
    host.advance(INTERVAL);
    assert!(Arc::ptr_eq(&before, &watch.snapshot()), "nobody has come or gone");

    host.set_room("!support:example.org", ["@eve:example.org"]);
    host.advance(INTERVAL);
    let after = watch.snapshot();
    let is_same = |room| Arc::ptr_eq(&before.rooms()[room], &after.rooms()[room]);
    assert!(!is_same("!support:example.org") && is_same("!board:example.org"));
    drop(before);
    assert_eq!(host.audience_count(), 2, "the old one is released");
}

#[test]
fn shutdown_ends_the_looks_and_releases_the_audiences() {
    let host = start(&host()).shutdown().expect("shuts down");
    assert_eq!((host.audience_count(), host.task_count()), (0, 0));
}

#[test]
fn rooms_that_cannot_be_looked_up_keep_their_members() {
    let host = host();
    let router = start(&host);
    let before = seen(&router);
    host.refuse(Service::Rooms, unavailable());
    host.set_room("!support:example.org", ["@eve:example.org"]);
    for _ in 0..3 {
        host.advance(INTERVAL);
        assert_eq!(seen(&router), before);
    }
    host.serve(Service::Rooms);
    host.advance(INTERVAL);
    assert_eq!(seen(&router), ["dave sees bob", "eve sees alice", "eve sees bob"]);
}

#[test]
fn an_audience_that_the_host_refuses_leaves_the_room_as_it_was() {
    let host = host();
    let router = start(&host);
    let before = seen(&router);
    host.set_room("!support:example.org", ["@eve:example.org"]);
    host.refuse_audiences();
    host.advance(INTERVAL);
    assert_eq!(seen(&router), before);
    assert_eq!(host.snapshots_asked().len(), 1);
    host.serve(Service::Audiences);
    host.advance(INTERVAL);
    assert!(seen(&router).contains(&"eve sees alice".to_owned()));
    assert_eq!(host.snapshots_asked()[1..], [["@eve:example.org".to_owned()]]);
}

#[test]
fn new_members_whom_the_host_does_not_take_are_tried_again() {
    let host = host();
    host.refuse(Service::Presence, unavailable());
    let _router = start(&host);
    host.advance(INTERVAL);
    assert!(host.snapshots_asked().is_empty());
    host.serve(Service::Presence);
    host.advance(INTERVAL);
    host.advance(INTERVAL);
    let asked = host.snapshots_asked();
    assert_eq!(asked.iter().map(Vec::len).collect::<Vec<_>>(), [4]);
}

#[test]
fn a_room_that_nobody_is_in_shows_nobody_anything() {
    let host = FakeHost::new("example.org");
    let router = start(&host);
    assert!(seen(&router).is_empty());
    assert!(host.snapshots_asked().is_empty());
}

#[test]
fn a_host_without_threads_is_a_start_error_not_a_panic() {
    let host = host();
    host.refuse(Service::Tasks, unavailable());
    let error = Harness::start_on::<RoomMembers>(&host, CONFIG)
        .err()
        .expect("refused");
    assert!(!error.panicked, "{error}");
}

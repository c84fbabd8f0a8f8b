//! `room_members`: chosen users' presence to the members of chosen rooms.

use presence_router_tests::{Config, Host, SyncRequest, artifacts, id_of};
use serde_json::json;

/// The members of `!support` see alice, who is not in it.
fn config(members: &[&str]) -> Config {
    Config::neighbours().room("!support:example.org", members).module(
        artifacts::plugin("room_members"),
        json!({"rooms": {"!support:example.org": [id_of("alice")]}, "interval": "1s"}),
    )
}

fn start() -> Host {
    Host::start(&config(&["carol", "dave"]))
}

#[test]
fn the_members_of_a_room_see_its_users() {
    let host = start();
    assert_eq!(host.modules()[0].name, "presence-router-room-members");
    let (alice, carol, hidden) = (host.user("alice"), host.user("carol"), host.user("hidden"));
    let since = [carol.now(), hidden.now()];
    alice.set("online", Some("on duty"));
    // Whether the module has looked at the room before that or looks only now: carol sees her.
    carol.sync_until_says(&since[0], alice.id(), "on duty");
    carol.presence_of(alice.id()).expect(200);
    assert!(carol.sync(&SyncRequest::initial()).of(alice.id()).is_some());
    hidden.presence_of(alice.id()).expect(403);
    assert_eq!(hidden.sync(&SyncRequest::since(&since[1])).senders(), [""; 0]);
    host.terminate().expect_code(0);
}

#[test]
fn who_is_not_named_is_not_seen_by_the_members() {
    let host = start();
    let (alice, bob, carol) = (host.user("alice"), host.user("bob"), host.user("carol"));
    let since = carol.now();
    bob.set("online", Some("nobody's business"));
    alice.set("online", Some("on duty"));
    carol.sync_until_says(&since, alice.id(), "on duty");
    assert_eq!(carol.sync(&SyncRequest::since(&since)).of(bob.id()), None);
    carol.presence_of(bob.id()).expect(403);
    // And alice sees her room mate, but no member of the room that sees her.
    alice.presence_of(bob.id()).expect(200);
    alice.presence_of(carol.id()).expect(403);
    host.terminate().expect_code(0);
}

#[test]
fn who_comes_into_the_room_sees_who_has_been_online_for_long() {
    let host = Host::start(&config(&["carol"]));
    let (alice, carol, dave) = (host.user("alice"), host.user("carol"), host.user("dave"));
    let since = [carol.now(), dave.now()];
    alice.set("online", Some("on duty"));
    carol.sync_until_says(&since[0], alice.id(), "on duty");
    dave.presence_of(alice.id()).expect(403);
    host.reload(&config(&["carol", "dave"]));
    // alice does not change: it is the module that has her presence sent.
    dave.sync_until_says(&since[1], alice.id(), "on duty");
    dave.presence_of(alice.id()).expect(200);
    host.terminate().expect_code(0);
}

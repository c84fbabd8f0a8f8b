//! SIGHUP: what a running server takes on from its config, what it leaves for the next start, and what it refuses.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use presence_router_tests::config::write_yaml;
use presence_router_tests::{Config, Host, PATIENCE, Request, SyncAnswer, SyncRequest, User};
use serde_json::json;

const LONG: Duration = Duration::from_secs(20);

/// Reloads, and waits until it is done.
fn reload(host: &Host, config: &Config) -> String {
    host.reload(config);
    host.log().wait_for(&["config reloaded"], PATIENCE)
}

fn whoami(user: &User) -> u16 {
    user.send(Request::new("GET", "/_matrix/client/v3/account/whoami"))
        .status
}

#[test]
fn who_joins_a_room_is_told_of_and_woken_and_who_leaves_is_seen_no_more() {
    let host = Host::start(&Config::neighbours());
    let (alice, bob, carol) = (host.user("alice"), host.user("bob"), host.user("carol"));
    alice.set("online", Some("hi"));
    carol.presence_of(alice.id()).expect(403);
    let (since_carol, since_bob) = (carol.now(), bob.now());
    let line = thread::scope(|scope| {
        let waiting = scope.spawn(|| carol.sync_until_says(&since_carol, alice.id(), "hi"));
        let line = reload(
            &host,
            &Config::neighbours().room("!shared:example.org", &["alice", "carol"]),
        );
        waiting.join().expect("the sync is answered");
        line
    });
    for part in ["joins=1", "leaves=1", "tokens_revoked=0", "users_added=0"] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    carol.presence_of(alice.id()).expect(200);
    bob.presence_of(alice.id()).expect(403);
    alice.set("unavailable", Some("bob is gone"));
    let nothing = bob.sync(&SyncRequest::since(&since_bob));
    assert!(nothing.presence.is_empty(), "{nothing:?}");
    host.terminate().expect_code(0);
}

#[test]
fn a_new_token_is_good_and_a_revoked_one_is_not_and_its_long_poll_ends() {
    let host = Host::start(&Config::neighbours());
    let bob = host.user("bob");
    let newcomer = host.user("newcomer");
    assert_eq!((whoami(&bob), whoami(&newcomer)), (200, 401));
    let alice = host.user("alice");
    let (since, since_alice) = (bob.now(), alice.now());
    // Of himself he does not hear, so what he sets by it does not end it.
    let long = format!(
        "/_matrix/client/v3/sync?since={since}&timeout={}&set_presence=unavailable&filter={}",
        LONG.as_millis(),
        "%7B%22presence%22:%7B%22not_senders%22:%5B%22@bob:example.org%22%5D%7D%7D"
    );
    let begun = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| bob.send(Request::new("GET", long).server_waits(LONG)));
        // Now it runs.
        alice.sync_until_state(&since_alice, bob.id(), "unavailable");
        reload(
            &host,
            &Config::neighbours()
                .users(&["newcomer"])
                .tokens("bob", &["another-token"]),
        );
        let ended = SyncAnswer::read(&waiting.join().expect("the sync is answered").expect(200));
        assert!(ended.presence.is_empty(), "{ended:?}");
    });
    assert!(begun.elapsed() < LONG, "the long-poll of a revoked token goes on");
    assert_eq!(
        bob.send(Request::new("GET", "/_matrix/client/v3/sync")).errcode(),
        "M_UNKNOWN_TOKEN"
    );
    assert_eq!((whoami(&bob), whoami(&newcomer)), (401, 200));
    let bob = bob.with_token("another-token");
    assert_eq!(whoami(&bob), 200);
    // The same user, who may go on with the old `since`.
    alice.set("online", Some("welcome back"));
    bob.sync_until_says(&since, alice.id(), "welcome back");
    host.terminate().expect_code(0);
}

#[test]
fn a_broken_config_changes_nothing_and_says_where_it_is_broken() {
    let host = Host::start(&Config::neighbours());
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let good = fs::read_to_string(host.config_file()).expect("the config can be read");
    let broken =
        "server_name: example.org\ndirectory:\n  static:\n    rooms: {\"!shared:example.org\": [alice]}\n";
    for (text, parts) in [
        (broken, &["homeserver.yaml:4", "directory.static.rooms"]),
        ("server_name: [\n", &["homeserver.yaml:", "reload"]),
    ] {
        write_yaml(host.directory(), text);
        let lines = host.log().len();
        host.hang_up();
        let line = host.log().wait_until(PATIENCE, |all| {
            let new = all.get(lines..)?.join("\n");
            (new.contains("is not reloaded") && parts.iter().all(|part| new.contains(part))).then_some(new)
        });
        let line = line.unwrap_or_else(|| panic!("no {parts:?} in:\n{}", host.log().text()));
        assert!(line.contains("ERROR"), "{line}");
    }
    // Users, rooms and tokens are as they were.
    let since = bob.now();
    alice.set("online", Some("still in one room"));
    bob.sync_until_says(&since, alice.id(), "still in one room");
    // Mended, it is taken.
    write_yaml(host.directory(), &good);
    host.hang_up();
    host.log().wait_for(&["config reloaded"], PATIENCE);
    host.terminate().expect_code(0);
}

#[test]
fn keys_that_need_a_restart_are_named_and_the_others_apply() {
    let mut host = Host::start(&Config::neighbours());
    let changed = Config::neighbours()
        .users(&["newcomer"])
        .set(&["presence", "enabled"], json!(false))
        .set(&["exclude_rooms_from_presence"], json!(["!shared:example.org"]));
    reload(&host, &changed);
    let line = host.log().wait_for(&["apply at the next start"], PATIENCE);
    assert!(line.contains("WARN"), "{line}");
    assert!(line.contains("presence, exclude_rooms_from_presence"), "{line}");
    assert!(!line.contains("directory"), "{line}");
    assert_eq!(whoami(&host.user("newcomer")), 200);
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    alice.set("online", Some("enabled, and in a room that counts"));
    bob.sync_until_state(&since, alice.id(), "online");
    // After a restart they hold.
    host.restart();
    let bob = host.user("bob");
    // Presence is disabled.
    assert_eq!(bob.presence_of(alice.id()).expect(200)["presence"], "offline");
    host.terminate().expect_code(0);
}

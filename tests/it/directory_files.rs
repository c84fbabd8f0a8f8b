//! Users and rooms in files of JSON lines: at the start, on SIGHUP, and what is said of a wrong line.

use std::fs;
use std::thread;

use presence_router_tests::cli::run_cli;
use presence_router_tests::{Config, Host, PATIENCE, Request, User, id_of, token_of};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory with the files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn write(&self, name: &str, lines: &[Value]) {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        fs::write(self.0.path().join(name), lines.join("\n")).expect("the file can be written");
    }

    fn config(&self) -> Config {
        let paths = ["users.jsonl", "rooms.jsonl"].map(|name| self.0.path().join(name));
        Config::empty()
            .users(&["dave"])
            .room("!static:example.org", &["dave", "alice"])
            .set(&["directory", "files"], json!(paths))
    }
}

fn user(name: &str) -> Value {
    json!({"user_id": id_of(name), "access_tokens": [token_of(name)]})
}

fn room(id: &str, members: &[&str]) -> Value {
    let members: Vec<String> = members.iter().map(|name| id_of(name)).collect();
    json!({"room_id": id, "members": members})
}

fn whoami(user: &User) -> u16 {
    user.send(Request::new("GET", "/_matrix/client/v3/account/whoami"))
        .status
}

#[test]
fn users_and_rooms_of_files_are_there_change_by_a_reload_and_stay_when_a_line_is_broken() {
    let files = Files::new();
    files.write("users.jsonl", &["alice", "bob", "carol"].map(user));
    files.write("rooms.jsonl", &[room("!one:example.org", &["alice", "bob"])]);
    let host = Host::start(&files.config());
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| host.user(name));
    alice.set("online", Some("from a file"));
    for reader in [&bob, &dave] {
        assert_eq!(
            reader.presence_of(alice.id()).expect(200)["status_msg"],
            "from a file"
        );
    }
    carol.presence_of(alice.id()).expect(403);

    // carol comes and is woken, bob goes, and his token with him.
    let since = carol.now();
    files.write(
        "users.jsonl",
        &[user("alice"), json!({"user_id": id_of("bob")}), user("carol")],
    );
    files.write("rooms.jsonl", &[room("!one:example.org", &["carol", "alice"])]);
    let line = thread::scope(|scope| {
        let waiting = scope.spawn(|| carol.sync_until_says(&since, alice.id(), "from a file"));
        host.hang_up();
        let line = host.log().wait_for(&["config reloaded"], PATIENCE);
        waiting.join().expect("the sync is answered");
        line
    });
    for part in ["users_added=0", "tokens_revoked=1", "joins=1", "leaves=1"] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    assert_eq!((whoami(&alice), whoami(&bob)), (200, 401));

    // A broken line changes nothing.
    files.write(
        "rooms.jsonl",
        &[
            room("!one:example.org", &["alice", "bob"]),
            json!({"room_id": "!two:example.org", "members": ["bob"]}),
        ],
    );
    host.hang_up();
    let line = host
        .log()
        .wait_for(&["is not reloaded", "members[0]", "rooms.jsonl:2"], PATIENCE);
    assert!(line.contains("ERROR"), "{line}");
    carol.presence_of(alice.id()).expect(200);
    assert_eq!(whoami(&bob), 401);
    host.terminate().expect_code(0);
}

#[test]
fn check_names_the_file_and_the_line_and_no_token() {
    let files = Files::new();
    files.write("users.jsonl", &[user("alice"), user("dave"), user("alice")]);
    files.write("rooms.jsonl", &[json!({"room_id": "!a", "member": []})]);
    let file = files.config().write_into(files.0.path());
    let output = run_cli(["check".as_ref(), "-c".as_ref(), file.as_os_str()]);
    output.expect_refusal(&[
        "users.jsonl:2",
        "directory.static",
        "users.jsonl:3",
        "users.jsonl:1",
        "rooms.jsonl:1",
        "\"members\"",
    ]);
    let shown = format!("{output:?}");
    assert!(!shown.contains(&token_of("alice")), "{shown}");
    files.write("users.jsonl", &[user("alice")]);
    files.write("rooms.jsonl", &[]);
    run_cli(["check".as_ref(), "-c".as_ref(), file.as_os_str()]).expect_code(0);
}

//! `destinations`: how other homeservers are reached, as the running server tells it.

use presence_router_tests::cli::run_cli;
use presence_router_tests::{Admin, Config, Host, PATIENCE, id_of};
use serde_json::json;

/// An address that no server calls unless it is told to: nothing leaves this machine.
const AWAY: &str = "127.0.0.1:1";

#[test]
fn a_homeserver_that_is_away_is_listed_with_what_waits_for_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = directory.path().join("a.key");
    run_cli(["generate-keys".as_ref(), "-o".as_ref(), key.as_os_str()]).expect_code(0);
    let config = Config::neighbours()
        .admin()
        .set(&["signing_key_path"], json!(key))
        .set(
            &["directory", "static", "rooms", "!remote:example.org"],
            json!([id_of("alice"), id_of("bob"), format!("@zoe:{AWAY}")]),
        );
    let host = Host::start(&config);
    let admin = Admin::of(&host);
    assert_eq!(admin.json(&["destinations"]), json!({"destinations": []}));
    let text = admin.run(&["destinations"]).expect_code(0).stdout.clone();
    assert_eq!(
        text.trim_end(),
        "nothing was sent to another homeserver yet, and nothing waits"
    );

    host.user("alice").set("online", None);
    host.log()
        .wait_for(&["is not reached, and tried again later"], PATIENCE);
    host.user("bob").set("online", None);
    let list = admin.json(&["destinations"]);
    let away = &list["destinations"][0];
    assert_eq!(
        (&away["destination"], &away["state"]),
        (&json!(AWAY), &json!("backing_off")),
        "{list}"
    );
    assert_eq!(
        (&away["waiting"], &away["failures"], &away["succeeded_ts"]),
        (&json!(2), &json!(1), &json!(null)),
        "{list}"
    );
    assert!(away["retry_ts"].as_u64() > away["failed_ts"].as_u64(), "{list}");
    let text = admin.run(&["destinations"]).expect_code(0).stdout.clone();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[1][..4], [AWAY, "backing", "off", "2"], "{text}");
    assert_eq!(
        text.lines().last(),
        Some("0 up, 1 backing off, 0 untried; 2 waiting")
    );
    assert_eq!(admin.ask("GET", "/destinations"), (200, list));
}

#[test]
fn without_federation_there_is_nothing_to_list() {
    let host = Host::start(&Config::neighbours().admin());
    let output = Admin::of(&host).run(&["destinations"]);
    output.expect_refusal(&["there is no federation; give the config a `signing_key_path`"]);
}

//! Back to the generation before: by itself when the new one fails, and what was missed meanwhile.

use presence_router_tests::{Admin, Config, GOBBLER, Host, PATIENCE, SyncRequest, artifacts, id_of};
use serde_json::{Value, json};

use crate::swap::library::Library;
use crate::swap::{as_broadcast, config};

/// Panics at each batch but for the first few, so that it passes when it is tried out.
fn panics_later() -> Value {
    json!({"where": "get_users_for_states", "after_calls": 4, "always_send_to_users": [GOBBLER]})
}

fn panicking(base: Config, crashes: u32, error_rate: f64) -> Config {
    as_broadcast(base, artifacts::fixture("panics"), &panics_later())
        .set(
            &["presence", "presence_router", "crash_budget"],
            json!({"crashes": crashes, "within": "10m"}),
        )
        .set(
            &["presence", "presence_router", "automatic_rollback"],
            json!({"error_rate": error_rate, "within": "10m"}),
        )
}

/// First syncs of the gobbler, who asks the module each time, until the log has a line with these.
#[track_caller]
fn sync_until_logged(host: &Host, parts: &[&str]) -> String {
    let gobbler = host.user("presence_gobbler");
    for _ in 0..1_000 {
        if host.log().contains(parts) {
            break;
        }
        gobbler.sync(&SyncRequest::initial());
    }
    host.log().wait_for(parts, PATIENCE)
}

#[test]
fn one_that_fails_too_often_is_rolled_back_by_itself_and_what_it_missed_is_told() {
    // Each first sync asks it twice, of which the second panics.
    check_rolled_back(0, 0.3, "calls failed");
}

#[test]
fn one_that_crashes_too_often_is_rolled_back_by_itself_and_what_it_missed_is_told() {
    check_rolled_back(3, 1.0, "its crash budget is spent");
}

fn check_rolled_back(crashes: u32, error_rate: f64, reason: &str) {
    let library = Library::of(artifacts::broadcast());
    let base = config(&library);
    let host = Host::start(&base);
    let admin = Admin::of(&host);
    let (alice, gobbler) = (host.user("alice"), host.user("presence_gobbler"));
    alice.set("online", Some("before"));
    let first = admin.module("broadcast");
    panicking(base.clone(), crashes, error_rate).write_into(host.directory());
    admin.json(&["modules", "reload", "broadcast"]);
    let watched = admin.module("broadcast");
    assert_eq!(watched["package"], "panics");
    assert_eq!(watched["previous"]["generation"], first["generation"]);
    let since = gobbler.now();
    alice.set("online", Some("missed"));

    let line = sync_until_logged(&host, &["is rolled back"]);
    assert!(line.contains("ERROR") && line.contains(reason), "{line}");
    host.log().wait_for(&["rolled back", "INFO"], PATIENCE);
    gobbler.sync_until_says(&since, alice.id(), "missed");
    let now = admin.module("broadcast");
    for key in ["generation", "sha256", "package", "router"] {
        assert_eq!(now[key], first[key], "{now:#}");
    }
    assert_eq!(
        (&now["state"], &now["previous"]),
        (&json!("serving"), &Value::Null)
    );

    // It stays so, whatever else is read again; only who asks for it gets it again.
    let lines = host.log().len();
    host.hang_up();
    host.log().wait_for(
        &["was rolled back from what the config names, and stays so"],
        PATIENCE,
    );
    let again = host.log().wait_until(PATIENCE, |all| {
        all.get(lines..)?
            .iter()
            .find(|line| line.contains("config reloaded"))
            .cloned()
    });
    assert!(again.is_some_and(|line| line.contains("modules_reloaded=0")));
    assert_eq!(admin.module("broadcast")["generation"], first["generation"]);
    let asked = admin.json(&["modules", "reload", "broadcast"]);
    assert_eq!(asked["now"]["name"], "panics");
}

#[test]
fn calls_by_which_one_was_tried_out_are_not_counted() {
    let library = Library::of(artifacts::broadcast());
    let host = Host::start(&config(&library));
    let admin = Admin::of(&host);
    admin.json(&["modules", "reload", "broadcast"]);
    assert_eq!(admin.module("broadcast")["calls"]["total"], 0);
}

#[test]
fn one_that_is_off_comes_back_by_a_reload_and_what_it_missed_is_told() {
    let library = Library::of(artifacts::broadcast());
    let base = config(&library);
    let module_config = json!({"where": "get_users_for_states", "always_send_to_users": [GOBBLER]});
    let broken = as_broadcast(base.clone(), artifacts::fixture("panics"), &module_config).set(
        &["presence", "presence_router", "crash_budget"],
        json!({"crashes": 2, "within": "10m"}),
    );
    let host = Host::start(&broken);
    let admin = Admin::of(&host);
    let (alice, gobbler) = (host.user("alice"), host.user("presence_gobbler"));
    let since = gobbler.now();
    alice.set("online", Some("missed"));
    sync_until_logged(&host, &["has crashed 2 times", "and is off"]);
    let off = admin.module("broadcast");
    assert_eq!(
        (&off["state"], &off["dirty_users"]),
        (&json!("off"), &json!(1)),
        "{off:#}"
    );

    base.write_into(host.directory());
    admin.json(&["modules", "reload", "broadcast"]);
    gobbler.sync_until_says(&since, &id_of("alice"), "missed");
    // Its first minutes are looked after.
    assert_eq!(admin.module("broadcast")["state"], "watched");
    host.terminate().expect_code(0);
}

//! Looking at a running server and changing it: the admin socket, and the commands that use it.

mod destinations;
mod explain;
mod socket;

use std::fs;

use presence_router_tests::cli::run_cli;
use presence_router_tests::{Admin, Config, GOBBLER, Host, artifacts, id_of};
use serde_json::{Value, json};

/// A server with the modules `broadcast`, to the gobbler, and `for-carol`.
fn config() -> Config {
    let to = |user: &str| json!({"always_send_to_users": [user]});
    Config::neighbours()
        .admin()
        .module(artifacts::broadcast(), to(GOBBLER))
        .set(&["modules"], json!([entry("for-carol", &to(&id_of("carol")))]))
}

/// A broadcast module of another name.
fn entry(name: &str, config: &Value) -> Value {
    let library = artifacts::broadcast()
        .to_str()
        .expect("the tests' paths are UTF-8");
    json!({"module": library, "name": name, "config": config})
}

#[test]
fn modules_are_listed_for_people_and_for_programs() {
    let host = Host::start(&config());
    let admin = Admin::of(&host);
    let gobbler = host.user("presence_gobbler");
    let since = gobbler.now();
    host.user("alice").set("online", Some("counted"));
    gobbler.sync_until_says(&since, &id_of("alice"), "counted");

    let list = admin.json(&["modules", "list"]);
    let (status, answer) = admin.ask("GET", "/modules");
    assert_eq!(status, 200);
    let names = |list: &Value| -> Vec<(String, u64, String)> {
        let modules = list["modules"].as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        modules
            .map(|module| {
                (
                    text(&module["name"]),
                    module["generation"].as_u64().expect("a number"),
                    text(&module["sha256"]),
                )
            })
            .collect()
    };
    let loaded: Vec<_> = host
        .modules()
        .iter()
        .zip(["broadcast", "for-carol"])
        .map(|(module, name)| (name.to_owned(), module.generation, module.sha256.clone()))
        .collect();
    assert_eq!(names(&list), loaded);
    assert_eq!(names(&answer), loaded);
    let broadcast = &list["modules"][0];
    assert_eq!(broadcast["state"], "serving");
    assert!(broadcast["calls"]["total"].as_u64() >= Some(1), "{broadcast}");
    assert!(broadcast["latency"]["p99_ms"].as_f64() > Some(0.0), "{broadcast}");
    assert_eq!(admin.ask("GET", "/modules/for-carol").1["name"], "for-carol");

    let table = admin.run(&["modules", "list"]).expect_code(0).stdout.clone();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0][..6],
        ["NAME", "ROUTER", "VERSION", "GEN", "STATE", "SHA256"]
    );
    let generation = loaded[0].1.to_string();
    let sha256 = &loaded[0].2[..12];
    assert_eq!(
        rows[1][..6],
        ["broadcast", "Broadcast", "0.1.0", &generation, "serving", sha256]
    );
    assert_eq!(rows[2][0], "for-carol");
}

#[test]
fn a_module_is_swapped_rolled_back_ended_and_loaded_again() {
    let host = Host::start(&config());
    let admin = Admin::of(&host);
    let first = admin.module("broadcast")["generation"].as_u64();
    let swapped = admin.json(&["modules", "reload", "broadcast"]);
    assert_eq!(
        (&swapped["name"], &swapped["what"]),
        (&json!("broadcast"), &json!("reloaded"))
    );
    assert_eq!(swapped["before"]["generation"].as_u64(), first);
    let second = swapped["now"]["generation"].as_u64();
    assert!(second > first, "{swapped}");
    assert_eq!(admin.module("broadcast")["generation"].as_u64(), second);
    assert_eq!(
        admin.module("broadcast")["previous"]["generation"].as_u64(),
        first
    );

    let back = admin.run(&["modules", "rollback", "broadcast"]);
    let back = &back.expect_code(0).stdout;
    assert!(
        back.starts_with("module broadcast: rolled back\n  now:    "),
        "{back}"
    );
    let again = admin.run(&["modules", "rollback", "broadcast"]);
    again.expect_refusal(&["no generation of the module `broadcast` before"]);

    admin.json(&["modules", "unload", "for-carol"]);
    assert_eq!(
        admin.json(&["modules", "list"])["modules"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let gone = admin.run(&["modules", "unload", "for-carol"]);
    gone.expect_refusal(&["no module `for-carol` is loaded (loaded: `broadcast`)"]);
    assert_eq!(admin.ask("GET", "/modules/for-carol").0, 404);
    assert_eq!(admin.ask("POST", "/modules/for-carol/reload").0, 404);
    assert_eq!(admin.json(&["modules", "load", "for-carol"])["what"], "loaded");
    let gobbler = host.user("presence_gobbler");
    let since = gobbler.now();
    host.user("alice").set("online", Some("after all that"));
    gobbler.sync_until_says(&since, &id_of("alice"), "after all that");
    host.terminate().expect_code(0);
}

#[test]
fn a_refused_swap_says_why_as_check_does_and_what_serves_on() {
    let host = Host::start(&config());
    let admin = Admin::of(&host);
    let serving = admin.module("broadcast")["generation"].clone();
    config()
        .module(artifacts::broadcast(), json!({"always_send_to_users": ["bob"]}))
        .write_into(host.directory());
    let file = host.config_file();
    let checked = run_cli(["check".as_ref(), "-c".as_ref(), file.as_os_str()]);
    let told = checked.expect_code(1).stderr.trim_end().to_owned();

    let refused = admin.run(&["modules", "reload", "broadcast"]);
    refused.expect_refusal(&[
        &told,
        &format!("module broadcast: reload was refused at the step \"configure\"; generation {serving} (0.1.0) serves on, unchanged"),
    ]);
    let as_json = admin.run(&["modules", "reload", "broadcast", "--format", "json"]);
    let answer = as_json.expect_refusal(&[&told]).json();
    assert_eq!(
        (&answer["ok"], &answer["step"]),
        (&json!(false), &json!("configure"))
    );
    assert_eq!(answer["text"], told);
    assert_eq!(
        answer["errors"][0]["key"],
        "presence.presence_router.config.always_send_to_users[0]"
    );
    assert_eq!(answer["serving"]["generation"], serving);
    assert_eq!(admin.ask("POST", "/modules/broadcast/reload"), (409, answer));
    assert_eq!(admin.module("broadcast")["generation"], serving);
}

#[test]
fn a_config_that_is_wrong_elsewhere_does_not_prevent_a_rollback() {
    let host = Host::start(&config());
    let admin = Admin::of(&host);
    let first = admin.module("broadcast")["generation"].clone();
    admin.json(&["modules", "reload", "broadcast"]);
    config()
        .set(&["presence", "idle_timeout"], json!("soon"))
        .set(&["nonsense"], json!(5))
        .write_into(host.directory());
    let file = host.config_file();
    let file = file.to_str().expect("the tests' paths are UTF-8");
    run_cli(["modules", "rollback", "broadcast", "-c", file]).expect_code(0);
    assert_eq!(admin.module("broadcast")["generation"], first);

    fs::write(file, "a: [").expect("written");
    let output = run_cli(["modules", "list", "-c", file]);
    output.expect_refusal(&["homeserver.yaml:2", "--socket PATH reaches the server without it"]);
    config()
        .set(&["admin_socket"], Value::Null)
        .write_into(host.directory());
    let output = run_cli(["modules", "list", "-c", file]);
    output.expect_refusal(&["admin_socket: missing", "add a line such as"]);
    admin.run(&["modules", "list"]).expect_code(0);
}

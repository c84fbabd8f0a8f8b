//! Several modules: `presence.presence_router` and `modules` are checked, started, asked and stopped together.

use presence_router_tests::cli::run_cli;
use presence_router_tests::config::write_yaml;
use presence_router_tests::{Config, GOBBLER, Host, artifacts, id_of};
use serde_json::{Value, json};

/// An entry of `modules`.
fn entry(library: &std::path::Path, name: &str, config: &Value) -> Value {
    let library = library.to_str().expect("the tests' paths are UTF-8");
    json!({"module": library, "name": name, "config": config})
}

#[test]
fn the_routes_of_all_are_united() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let traces = json!({"started": directory.path().join("a"), "stopped": directory.path().join("b")});
    let to = |user: &str| json!({"always_send_to_users": [user]});
    let config = Config::neighbours()
        .module(artifacts::broadcast(), to(GOBBLER))
        .set(
            &["modules"],
            json!([
                entry(artifacts::broadcast(), "for-carol", &to(&id_of("carol"))),
                entry(artifacts::fixture("touches"), "touches", &traces),
                entry(artifacts::broadcast(), "for-dave", &to(&id_of("dave"))),
            ]),
        );
    let host = Host::start(&config);
    let loaded: Vec<_> = host
        .modules()
        .iter()
        .map(|module| (module.router.as_str(), module.generation))
        .collect();
    let [(first, 1), (second, 2), (_, 3), (fourth, 4)] = loaded[..] else {
        panic!("four modules, in the order of the config: {loaded:?}");
    };
    assert_eq!([first, second, fourth], ["Broadcast"; 3]);
    let readers = ["presence_gobbler", "carol", "dave", "bob"].map(|name| host.user(name));
    let since = readers.each_ref().map(|reader| reader.now());
    host.user("alice").set("online", Some("to whom it concerns"));
    for (reader, since) in readers.iter().zip(&since) {
        reader.sync_until_says(since, &id_of("alice"), "to whom it concerns");
    }
    host.terminate().expect_code(0);
}

#[test]
fn what_is_wrong_with_each_is_told_at_its_own_entry() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let broadcast = artifacts::broadcast().display().to_string();
    let yaml = format!(
        "server_name: example.org\n\
         presence:\n  \
           presence_router:\n    \
             module: {broadcast}\n    \
             config: {{blacklisted_users: [hidden]}}\n\
         modules:\n\
         - module: {broadcast}\n  \
           name: fine\n\
         - module: ./libmissing.so\n\
         - module: {broadcast}\n  \
           name: wrong\n  \
           config:\n    \
             always_send_to_users:\n    \
             - '@a:example.org'\n    \
             - bob\n"
    );
    let file = write_yaml(directory.path(), &yaml);
    let output = run_cli(["check".as_ref(), "-c".as_ref(), file.as_os_str()]);
    output.expect_code(1);
    for parts in [
        [
            "presence.presence_router.config.blacklisted_users[0]",
            "\"hidden\"",
            "homeserver.yaml:5",
        ],
        ["modules[1].module", "libmissing.so", "homeserver.yaml:9"],
        [
            "modules[2].config.always_send_to_users[1]",
            "\"bob\"",
            "homeserver.yaml:15",
        ],
    ] {
        output.expect_stderr(&parts);
    }
    assert!(!output.stderr.contains("modules[0]"), "{}", output.stderr);
}

#[test]
fn when_one_does_not_start_those_before_it_are_shut_down() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let trace = |name: &str| directory.path().join(name);
    let touches = |n: u32| {
        let (started, stopped) = (trace(&format!("started{n}")), trace(&format!("stopped{n}")));
        json!({"started": started, "stopped": stopped})
    };
    let file = Config::neighbours()
        .module(artifacts::fixture("touches"), touches(1))
        .set(
            &["modules"],
            json!([
                entry(
                    artifacts::fixture("panics"),
                    "panics",
                    &json!({"where": "new", "always_send_to_users": []})
                ),
                entry(artifacts::fixture("touches"), "third", &touches(3)),
            ]),
        )
        .write_into(directory.path());
    let output = run_cli(["run".as_ref(), "-c".as_ref(), file.as_os_str()]);
    output.expect_refusal(&["modules[0].module", "panicked in new"]);
    assert!(trace("started1").exists(), "the first is started");
    assert!(trace("stopped1").exists(), "the first is shut down");
    assert!(!trace("started3").exists(), "the third is not started");
}

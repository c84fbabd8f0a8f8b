//! `presence-router check`: what is wrong with a config is answered with file, line, key and what to do;
//! nothing is started.

use presence_router_tests::cli::run_cli;
use presence_router_tests::config::write_yaml;
use presence_router_tests::process::Output;
use presence_router_tests::{Config, artifacts};
use serde_json::{Value, json};

fn check(yaml: &str) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = write_yaml(directory.path(), yaml);
    run_cli(["check".as_ref(), "-c".as_ref(), file.as_os_str()])
}

/// A config whose module is broadcast; `MODULE` stands for its path.
fn check_broadcast(yaml: &str) -> Output {
    let path = artifacts::broadcast()
        .to_str()
        .expect("the tests' paths are UTF-8");
    check(&yaml.replace("MODULE", path))
}

#[test]
fn a_good_config_is_fine() {
    let output = check_broadcast(
        "server_name: example.org\n\
         presence:\n  \
           presence_router:\n    \
             module: MODULE\n    \
             config:\n      \
               always_send_to_users: ['@presence_gobbler:example.org']\n",
    );
    output.expect_code(0);
}

#[test]
fn a_slip_of_the_pen_is_answered_with_the_right_key() {
    let output = check("server_name: example.org\npresnce:\n  enabled: true\n");
    output.expect_refusal(&["presnce", "\"presence\"", "homeserver.yaml:2"]);
}

#[test]
fn a_wrong_type_is_answered_with_the_right_one() {
    let output = check("server_name: example.org\npresence:\n  idle_timeout: [5m]\n");
    output.expect_refusal(&["presence.idle_timeout", "30s", "homeserver.yaml:3"]);
}

#[test]
fn a_key_in_the_wrong_place_is_told_where_it_belongs() {
    let output = check("server_name: example.org\npresence_router:\n  module: broadcast\n");
    output.expect_refusal(&["presence_router", "under \"presence\"", "homeserver.yaml:2"]);
}

#[test]
fn a_bad_user_id_in_the_module_s_config_has_key_index_and_line() {
    let output = check_broadcast(
        "server_name: example.org\n\
         presence:\n  \
           presence_router:\n    \
             module: MODULE\n    \
             config:\n      \
               blacklisted_users:\n        \
                 - '@alice:example.org'\n        \
                 - bob\n",
    );
    output.expect_refusal(&[
        "presence.presence_router.config.blacklisted_users[1]",
        "\"bob\" is not a user id",
        "homeserver.yaml:8",
    ]);
}

#[test]
fn an_unknown_key_in_the_module_s_config_is_refused() {
    let output = check_broadcast(
        "server_name: example.org\n\
         presence:\n  \
           presence_router:\n    \
             module: MODULE\n    \
             config:\n      \
               blocklisted_users: []\n",
    );
    output.expect_refusal(&[
        "presence.presence_router.config.blocklisted_users",
        "blacklisted_users",
        "homeserver.yaml:6",
    ]);
}

#[test]
fn a_missing_module_is_answered_with_every_place_tried() {
    let output = check(
        "server_name: example.org\n\
         module_path: [/nowhere/modules]\n\
         presence:\n  \
           presence_router:\n    \
             module: brodcast\n",
    );
    output.expect_refusal(&[
        "presence.presence_router.module",
        "/nowhere/modules/libbrodcast.so",
        "homeserver.yaml:5",
    ]);
}

#[test]
fn a_config_that_is_not_there_or_no_yaml() {
    let absent = run_cli(["check", "-c", "absent.yaml"]);
    absent.expect_refusal(&["absent.yaml"]);
    check("server_name: [example.org\n").expect_refusal(&["homeserver.yaml:"]);
}

#[test]
fn a_refusal_can_be_had_as_json() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = write_yaml(directory.path(), "server_name: example.org\npresnce: {}\n");
    let arguments = [
        "check".as_ref(),
        "-c".as_ref(),
        file.as_os_str(),
        "--format".as_ref(),
        "json".as_ref(),
    ];
    let output = run_cli(arguments);
    output.expect_code(1);
    let said: Value = output.json();
    assert!(said.to_string().contains("presnce"), "{said}");
}

#[test]
fn wrong_arguments_are_a_matter_of_usage() {
    for arguments in [&["chekc"] as &[_], &["check"], &["check", "--frmat", "json"]] {
        run_cli(arguments).expect_code(2);
    }
}

#[test]
fn help_teaches() {
    for arguments in [
        &["--help"] as &[_],
        &["run", "--help"],
        &["check", "--help"],
        &["inspect", "--help"],
    ] {
        let output = run_cli(arguments);
        output.expect_code(0);
        assert!(output.stdout.contains("presence-router"), "{}", output.stdout);
    }
}

#[test]
fn nothing_is_started() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (started, stopped) = (directory.path().join("started"), directory.path().join("stopped"));
    let file = Config::neighbours()
        .module(
            artifacts::fixture("touches"),
            json!({"started": started, "stopped": stopped}),
        )
        .write_into(directory.path());
    run_cli(["check".as_ref(), "-c".as_ref(), file.as_os_str()]).expect_code(0);
    assert!(!started.exists() && !stopped.exists());
}

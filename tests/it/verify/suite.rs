//! The suite itself: its levels, its reports, its config, and what it leaves behind.

use std::collections::BTreeSet;
use std::path::Path;

use presence_router_tests::cli::Cli;
use presence_router_tests::{GOBBLER, artifacts};
use serde_json::{Value, json};

use super::verify;

#[test]
fn a_module_that_keeps_the_contract_passes_every_check() {
    let config = json!({"always_send_to_users": [GOBBLER], "blacklisted_users": ["@hidden:example.org"]});
    let output = verify(artifacts::broadcast(), &config, &["--level", "strict"]);
    output.expect_code(0);
    let report = output.json();
    let checks = report["checks"].as_array().expect("a list of checks");
    assert_eq!(checks.len(), 10);
    assert!(
        checks.iter().all(|check| check["verdict"] == "passed"),
        "{report:#}"
    );
    assert_eq!(report["seed"], 7);
    // For people, what goes on is told on the side.
    output.expect_stderr(&["[ 1/10] inspect", "[10/10] side-by-side"]);
}

#[test]
fn a_module_of_an_older_contract_passes() {
    let output = verify(
        artifacts::kept_module(),
        &json!({"always_send_to_users": [GOBBLER]}),
        &["--level", "basic"],
    );
    output.expect_code(0);
}

#[test]
fn a_crash_in_one_check_does_not_keep_the_others_from_being_made() {
    let output = verify(
        artifacts::fixture("deadly"),
        &json!({"how": "abort", "in": "states"}),
        &["--skip", "failing-host", "--skip", "shutdown"],
    );
    let report = output.expect_code(1).json();
    let verdicts: Vec<_> = report["checks"]
        .as_array()
        .expect("a list of checks")
        .iter()
        .map(|check| format!("{} {}", check["check"], check["verdict"]).replace('"', ""))
        .collect();
    let expected = [
        "inspect passed",
        "load passed",
        "answers crashed",
        "methods-line-up skipped",
        "same-answer skipped",
        "bad-config passed",
        "reload skipped",
        "side-by-side skipped",
    ];
    assert_eq!(verdicts, expected);
}

#[test]
fn a_seed_repeats_a_run() {
    let config = json!({"how": "off_by_one", "always_send_to_users": ["@g:example.org"]});
    let found = || {
        let output = verify(
            artifacts::fixture("misaligned"),
            &config,
            &["--only", "methods-line-up"],
        );
        output.json()["checks"][3]["findings"].clone()
    };
    let first = found();
    assert!(first[0]["message"].is_string(), "{first:#}");
    assert_eq!(first, found());
}

#[test]
fn the_report_of_junit_has_a_case_for_each_check() {
    let library = artifacts::fixture("deadly-constructor");
    let arguments = [
        "verify".as_ref(),
        library.as_os_str(),
        "--format".as_ref(),
        "junit".as_ref(),
    ];
    let output = Cli::new(arguments).run();
    output.expect_code(1);
    assert_eq!(
        output.stdout.matches("<testcase ").count(),
        10,
        "{}",
        output.stdout
    );
    assert_eq!(output.stdout.matches("<error ").count(), 1, "{}", output.stdout);
    assert_eq!(output.stdout.matches("<skipped ").count(), 8, "{}", output.stdout);
}

#[test]
fn a_homeservers_config_gives_the_modules_part() {
    let config = json!({
        "server_name": "example.org",
        "presence": {"presence_router": {"module": "two_routers.everyone"}},
        "modules": [{"module": "./elsewhere/libbroadcast.so", "config": {"always_send_to_users": [GOBBLER]}}],
    });
    verify(artifacts::broadcast(), &config, &["--level", "basic"]).expect_code(0);
    let library = artifacts::fixture("two-routers");
    let report = verify(library, &config, &["--level", "basic"])
        .expect_code(0)
        .json();
    assert_eq!(report["router"], "everyone");
}

#[test]
fn what_cannot_be_meant_is_wrong_usage() {
    let check = |library: &Path, config: &Value, arguments: &[&str], part: &str| {
        let output = verify(library, config, arguments);
        output.expect_code(2).expect_stderr(&[part]);
    };
    let two = artifacts::fixture("two-routers");
    check(two, &json!({}), &[], "say which with --router: everyone, nobody");
    check(
        two,
        &json!({}),
        &["--router", "somebody"],
        "has no router `somebody`",
    );
    check(
        two,
        &json!([1]),
        &["--router", "nobody"],
        "is not a mapping of keys to values",
    );
    let other = json!({"server_name": "example.org", "modules": [{"module": "other"}]});
    check(
        artifacts::broadcast(),
        &other,
        &[],
        "names no module whose file is libbroadcast.so",
    );
    check(
        artifacts::broadcast(),
        &json!({}),
        &["--level", "lax"],
        "invalid value 'lax'",
    );
}

#[test]
fn nothing_of_a_killed_check_is_left() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let names = || -> BTreeSet<_> {
        let entries = std::fs::read_dir(directory.path()).expect("readable");
        entries
            .map(|entry| entry.expect("readable").file_name())
            .collect()
    };
    let file = directory.path().join("config.json");
    std::fs::write(&file, json!({"how": "spin", "in": "parse_config"}).to_string()).expect("writable");
    let before = names();
    let library = artifacts::fixture("hangs");
    let arguments = [
        "verify".as_ref(),
        library.as_os_str(),
        "--config".as_ref(),
        file.as_os_str(),
    ];
    let limits = ["--only", "load", "--timeout", "2"].map(AsRef::as_ref);
    Cli::new(arguments.into_iter().chain(limits))
        .env("TMPDIR", directory.path())
        .run()
        .expect_code(1);
    assert_eq!(names(), before);
}

//! `presence-router verify`: passes what keeps the contract, and says of each bad fixture what is wrong with it.

mod suite;
mod verdicts;

use std::path::Path;
use std::time::Duration;

use presence_router_tests::artifacts;
use presence_router_tests::cli::Cli;
use presence_router_tests::process::Output;
use serde_json::Value;

/// How long a suite may take: it loads a module some hundred times, beside other tests that do so.
const SUITE: Duration = Duration::from_mins(5);

/// Runs the suite over a library with a config, in the form for programs.
#[track_caller]
fn verify(library: &Path, config: &Value, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("config.json");
    std::fs::write(&file, config.to_string()).expect("the directory can be written");
    let fixed = [
        "verify".as_ref(),
        library.as_os_str(),
        "--config".as_ref(),
        file.as_os_str(),
    ];
    let seed = ["--seed", "7", "--format", "json"];
    let more = seed.iter().chain(arguments).map(AsRef::as_ref);
    Cli::new(fixed.into_iter().chain(more)).run_within(SUITE)
}

/// The check went so, and what was found has all of these parts. Whatever else was made passed, or was skipped.
#[track_caller]
fn check(library: &Path, config: &Value, only: &str, verdict: &str, parts: &[&str]) {
    let output = verify(library, config, &["--only", only]);
    let report = output.json();
    let checks = report["checks"].as_array().expect("a list of checks");
    let found = checks.iter().find(|check| check["verdict"] != "passed");
    let found = found.unwrap_or_else(|| panic!("with {config}, all passed:\n{}", output.stdout));
    assert_eq!(found["verdict"], verdict, "with {config}:\n{found:#}");
    let text = found["findings"].to_string();
    for part in parts {
        assert!(text.contains(part), "with {config}, no {part:?} in:\n{found:#}");
    }
    let bad = ["failed", "crashed", "late"].contains(&verdict);
    assert_eq!(report["ok"], !bad, "with {config}");
    output.expect_code(i32::from(bad));
}

#[track_caller]
fn check_fixture(name: &str, config: &Value, only: &str, verdict: &str, parts: &[&str]) {
    check(artifacts::fixture(name), config, only, verdict, parts);
}

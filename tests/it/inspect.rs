//! `presence-router inspect`: says what a library is, and runs nothing of it.

use presence_router_tests::cli::{Cli, run_cli};
use presence_router_tests::{Config, artifacts};
use serde_json::json;

const TOUCH: &str = "PRESENCE_ROUTER_FIXTURE_TOUCH";

#[test]
fn a_module_is_described() {
    let library = artifacts::broadcast();
    let output = run_cli(["inspect".as_ref(), library.as_os_str()]);
    output.expect_code(0);
    for part in [
        "presence-router-broadcast",
        env!("CARGO_PKG_VERSION"),
        "Broadcast",
        "unwind",
    ] {
        assert!(output.stdout.contains(part), "no {part:?} in:\n{}", output.stdout);
    }
}

#[test]
fn a_module_is_described_as_json() {
    let library = artifacts::broadcast();
    let arguments = [
        "inspect".as_ref(),
        library.as_os_str(),
        "--format".as_ref(),
        "json".as_ref(),
    ];
    let output = run_cli(arguments);
    output.expect_code(0);
    let said = output.json();
    assert_eq!(said["manifest"]["name"], "presence-router-broadcast");
    assert_eq!(said["manifest"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(said["manifest"]["routers"], json!(["Broadcast"]));
    assert_eq!(said["manifest"]["panic"], "unwind");
    assert_eq!(said["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn every_router_of_a_library_is_named() {
    let library = artifacts::fixture("two-routers");
    let arguments = [
        "inspect".as_ref(),
        library.as_os_str(),
        "--format".as_ref(),
        "json".as_ref(),
    ];
    let said = run_cli(arguments).json();
    assert_eq!(said["manifest"]["routers"], json!(["everyone", "nobody"]));
}

#[test]
fn no_code_of_a_module_runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let touched = directory.path().join("touched");
    let library = artifacts::fixture("constructor");

    let inspect = Cli::new(["inspect".as_ref(), library.as_os_str()]).env(TOUCH, &touched);
    inspect.run().expect_code(0);
    assert!(!touched.exists(), "inspect ran the constructor");

    // That the constructor works at all shows when the library is loaded.
    let config = Config::neighbours()
        .module(library, json!({}))
        .write_into(directory.path());
    let check = Cli::new(["check".as_ref(), "-c".as_ref(), config.as_os_str()]).env(TOUCH, &touched);
    check.run().expect_code(0);
    assert!(touched.exists(), "check did not load the library");
}

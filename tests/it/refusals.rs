//! Libraries that must not be loaded: each is refused with a message of its own, and never crashes the host.

use std::path::Path;

use presence_router_tests::cli::run_cli;
use presence_router_tests::{Config, artifacts, bad};
use serde_json::json;

/// `check` and `run` refuse the library with these words.
#[track_caller]
fn check(library: &Path, parts: &[&str]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = Config::neighbours()
        .module(library, json!({}))
        .write_into(directory.path());
    for command in ["check", "run"] {
        run_cli([command.as_ref(), "-c".as_ref(), config.as_os_str()]).expect_refusal(parts);
    }
}

/// `inspect` refuses it too, and says so in these words beside what it found.
#[track_caller]
fn check_inspect(library: &Path, part: &str) {
    let output = run_cli(["inspect".as_ref(), library.as_os_str()]);
    output.expect_code(1);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains(part), "no {part:?} in:\n{said}");
}

#[track_caller]
fn check_made(make: impl Fn(&Path) -> std::path::PathBuf, parts: &[&str]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = make(directory.path());
    check(&library, parts);
    check_inspect(&library, parts[0]);
}

#[test]
fn what_is_no_library() {
    check_made(bad::text, &["not a shared library"]);
    check_made(bad::empty, &["empty"]);
    check_made(bad::directory, &["is a directory"]);
    check_made(bad::program, &["not a shared library"]);
    check_made(
        |directory| directory.join("absent.so"),
        &["not found", "absent.so"],
    );
}

#[test]
fn a_library_for_another_machine() {
    check_made(bad::other_machine, &["built for"]);
    check_made(bad::other_class, &["built for"]);
}

#[test]
fn a_library_that_is_no_module() {
    // Loading it would end the process: that this is a refusal shows that it is not loaded.
    let library = artifacts::fixture("constructor-aborts");
    check(library, &[".presence_router"]);
    check_inspect(library, ".presence_router");
}

#[test]
fn a_module_that_lost_its_section() {
    check_made(bad::without_section, &[".presence_router"]);
}

#[test]
fn a_module_cut_short_anywhere() {
    const ELF_HEADER: usize = 64;
    for bytes in bad::cuts() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let library = bad::cut_after(directory.path(), bytes);
        let parts: &[&str] = if bytes < ELF_HEADER { &[] } else { &["cut short"] };
        check(&library, parts);
        run_cli(["inspect".as_ref(), library.as_os_str()]).expect_code(1);
    }
}

#[test]
fn a_module_that_needs_a_library_which_is_not_there() {
    check_made(bad::needs_missing_library, &[bad::MISSING_LIBRARY]);
}

#[test]
fn a_module_built_with_another_version_of_the_contract() {
    check_made(bad::other_sdk, &["9.9.9", &artifacts::contract_version()]);
}

#[test]
fn a_module_whose_contract_was_changed() {
    // Only loading it shows; its manifest is as it should be.
    let library = artifacts::changed_layout();
    check(library, &["layout"]);
    run_cli(["inspect".as_ref(), library.as_os_str()]).expect_code(0);
}

#[test]
fn a_module_that_cannot_unwind() {
    let library = artifacts::aborts_on_panic();
    check(library, &["panic = \"abort\""]);
    check_inspect(library, "panic = \"abort\"");
}

#[test]
fn a_library_of_several_routers_when_none_is_named() {
    let library = artifacts::fixture("two-routers");
    check(library, &["everyone", "nobody"]);
}

#[test]
fn a_router_that_the_library_does_not_have() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = artifacts::fixture("two-routers");
    let module_path = library.parent().expect("a library is in a directory");
    let config = |module: &str| {
        Config::neighbours()
            .set(&["module_path"], json!([module_path]))
            .module_named(module, json!({}))
            .write_into(directory.path())
    };
    let check = |module: &str| run_cli(["check".as_ref(), "-c".as_ref(), config(module).as_os_str()]);
    check("two_routers.somebody").expect_refusal(&["somebody", "everyone", "nobody"]);
    check("two_routers.everyone").expect_code(0);
}

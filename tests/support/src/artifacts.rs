//! The programs and modules that the tests use, each built once a test process, when first asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::cargo::{self, Built, build, build_outside, target_dir, workspace};

/// The packages of the host, of the load program, and of the modules in `plugins/`.
const OURS: [&str; 7] = [
    "presence-router",
    "presence-router-load",
    "presence-router-broadcast",
    "presence-router-pairs",
    "presence-router-room-members",
    "presence-router-service-registry",
    "presence-router-selective",
];

/// The host's binary, `presence-router`.
pub fn host() -> &'static Path {
    ours().get("presence-router")
}

/// The load program, `presence-load`.
pub fn load() -> &'static Path {
    ours().get("presence-load")
}

/// The broadcast module.
pub fn broadcast() -> &'static Path {
    ours().get("broadcast")
}

/// A module of `plugins/`, by the name of its library.
pub fn plugin(name: &str) -> &'static Path {
    ours().get(name)
}

/// A bad or special module of `fixtures/`, by the name of its crate.
pub fn fixture(name: &str) -> &'static Path {
    static BUILT: OnceLock<Built> = OnceLock::new();
    let built = BUILT.get_or_init(|| build_outside(&fixtures(), &fixtures_target(), &["--workspace"]));
    built.get(&name.replace('-', "_"))
}

/// A module that cannot unwind.
pub fn aborts_on_panic() -> &'static Path {
    static BUILT: OnceLock<Built> = OnceLock::new();
    outside(&BUILT, "aborts-on-panic").get("aborts_on_panic")
}

/// A module built with the kept copy of the contract's first version.
pub fn kept_module() -> &'static Path {
    static BUILT: OnceLock<Built> = OnceLock::new();
    outside(&BUILT, "growth/kept-module").get("kept_module")
}

/// A module built with a contract that has a method more than the host's.
pub fn grown_module() -> &'static Path {
    static BUILT: OnceLock<Built> = OnceLock::new();
    outside(&BUILT, "growth/grown-module").get("grown_module")
}

/// A host whose contract has a method more than that of today's modules.
pub fn grown_host() -> &'static Path {
    static BUILT: OnceLock<Built> = OnceLock::new();
    // In our own target directory, where the host's many dependencies are built already.
    BUILT
        .get_or_init(|| build_outside(&fixtures().join("growth/grown-host"), target_dir(), &[]))
        .get("grown-host")
}

/// The example of a module outside of the workspace.
pub fn third_party_module() -> &'static Path {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT
        .get_or_init(|| build_outside(&third_party_directory(), &fixtures_target(), &[]))
        .get("team_lead")
}

/// Runs that example's own tests, and panics when they fail.
pub fn test_third_party_module() {
    cargo::test_outside(&third_party_directory(), &fixtures_target());
}

/// A broadcast module that says it is of the host's version, but in whose contract a method was inserted
/// between others.
pub fn changed_layout() -> &'static Path {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let copy = fixtures_target().join("changed-layout");
            change_layout(&copy);
            build_outside(&copy, &fixtures_target(), &["-p", "presence-router-broadcast"])
        })
        .get("broadcast")
}

/// Two builds of the broadcast module, as version 0.2.0 and as version 0.3.0: other files that route alike. Without what a
/// debugger reads, so that a test may load them a thousand times.
pub fn two_builds() -> &'static [PathBuf; 2] {
    static BUILT: OnceLock<[PathBuf; 2]> = OnceLock::new();
    BUILT.get_or_init(|| ["0.2.0", "0.3.0"].map(build_as))
}

/// The version of the contract, which need not be the host's.
pub fn contract_version() -> String {
    let manifest = read(&workspace().join("plugin-api/Cargo.toml"));
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    let line = line.expect("plugin-api/Cargo.toml has a line with its version");
    line.trim_matches('"').to_owned()
}

/// A directory under the target directory, for what is kept from one run of the tests to the next.
pub fn kept_directory(name: &str) -> PathBuf {
    let directory = target_dir().join(name);
    fs::create_dir_all(&directory)
        .unwrap_or_else(|error| panic!("{} cannot be made: {error}", directory.display()));
    directory
}

fn ours() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let packages: Vec<&str> = OURS.into_iter().flat_map(|package| ["-p", package]).collect();
        build(workspace(), target_dir(), &packages)
    })
}

fn outside(built: &'static OnceLock<Built>, name: &str) -> &'static Built {
    built.get_or_init(|| build_outside(&fixtures().join(name), &fixtures_target(), &[]))
}

fn fixtures() -> PathBuf {
    workspace().join("tests/fixtures")
}

pub(crate) fn fixtures_target() -> PathBuf {
    target_dir().join("fixtures")
}

fn third_party_directory() -> PathBuf {
    workspace().join("examples/third-party-module")
}

/// What a profile of the root Cargo.toml begins with.
const DEBUG: &str = "debug = \"line-tables-only\"\n";

/// Builds the broadcast module as another version of it, and as a library of another name, as both are built into the same
/// directory.
fn build_as(version: &str) -> PathBuf {
    let library = format!("broadcast_{}", version.replace('.', "_"));
    let copy = fixtures_target().join(&library);
    copy_broadcast(&copy, &|path, text| {
        if path.ends_with("plugins/broadcast/Cargo.toml") {
            replaced(&text, "name = \"broadcast\"\n", &format!("name = {library:?}\n"))
        } else if path == copy.join("Cargo.toml") {
            let version = format!("\nversion = {version:?}\n");
            replaced(&text, "\nversion = \"0.1.0\"\n", &version)
                .replace(DEBUG, &format!("{DEBUG}strip = true\n"))
        } else {
            text
        }
    });
    let built = build_outside(&copy, &fixtures_target(), &["-p", "presence-router-broadcast"]);
    built.get(&library).to_owned()
}

/// Before which line of `plugin-api/src/abi/host.rs` a method is inserted.
const BEFORE: &str = "/// Milliseconds since the Unix epoch.\n";
const INSERTED: &str = "/// Inserted by a test.\n            fn moon_phase(&self) -> u8;\n\n            ";

/// Copies the contract and the broadcast module, and changes the contract.
fn change_layout(copy: &Path) {
    copy_broadcast(copy, &|path, text| {
        if path.ends_with("plugin-api/src/abi/host.rs") {
            replaced(&text, BEFORE, &format!("{INSERTED}{BEFORE}"))
        } else {
            text
        }
    });
}

/// Replaces what is there once.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let found = text.matches(from).count();
    assert_eq!(
        found, 1,
        "{from:?} is not where the test kit looks for it, in:\n{text}"
    );
    text.replacen(from, to, 1)
}

/// What becomes of the text that is to stand in a file.
type Change<'a> = &'a dyn Fn(&Path, String) -> String;

/// Copies the contract and the broadcast module, as a workspace of their own.
fn copy_broadcast(copy: &Path, change: Change<'_>) {
    for package in ["plugin-api", "plugins/broadcast"] {
        copy_sources(&workspace().join(package), &copy.join(package), change);
    }
    let manifest = read(&workspace().join("Cargo.toml"));
    let members = manifest
        .lines()
        .find(|line| line.starts_with("members = [") && line.ends_with(']'));
    let members = members.expect("the root Cargo.toml has a line of members");
    let ours = "members = [\"plugin-api\", \"plugins/broadcast\"]";
    let path = copy.join("Cargo.toml");
    let text = change(&path, manifest.replacen(members, ours, 1));
    write_if_other(&path, &text);
}

/// Copies a crate. What is there already is left alone, so that it is not built anew.
fn copy_sources(from: &Path, to: &Path, change: Change<'_>) {
    let entries = fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    for entry in entries {
        let path = entry.expect("a directory of sources can be read").path();
        let copy = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy_sources(&path, &copy, change);
        } else {
            let text = change(&copy, read(&path));
            write_if_other(&copy, &text);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write_if_other(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return;
    }
    let directory = path.parent().expect("a file is in a directory");
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, text))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

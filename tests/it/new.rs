//! `presence-router new`: what it writes is built, tested, verified and served as its author would, and nothing is ever
//! overwritten.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use presence_router_tests::cli::Cli;
use presence_router_tests::process::Output;
use presence_router_tests::{Config, Host, Stranger, artifacts, id_of};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where the contract is, seen from this package.
const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-api");

/// How long the suite may take: it loads the module some hundred times, beside other tests that do so.
const SUITE: Duration = Duration::from_mins(5);

const FILES: [&str; 8] = [
    "Cargo.toml",
    "src/lib.rs",
    "tests/routing.rs",
    "homeserver.yaml",
    "verify.yaml",
    "README.md",
    ".gitignore",
    ".github/workflows/ci.yml",
];

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// An empty directory for what is built. It is the same in each run: cargo builds over what it built then, not beside it.
fn kept(name: &str) -> PathBuf {
    let directory = artifacts::kept_directory("new").join(name);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", directory.display()),
        _ => {}
    }
    fs::create_dir(&directory).expect("a directory can be made");
    // Ours lies further up, unless the target directory is elsewhere. A stranger has none.
    fs::write(directory.join("rustfmt.toml"), "").expect("can be written");
    directory
}

/// Runs `presence-router new` with these arguments in a directory.
#[track_caller]
fn new(directory: &Path, arguments: &[&str]) -> Output {
    let arguments = ["new"].iter().chain(arguments);
    Cli::new(arguments).in_directory(directory).run()
}

/// All that is in a directory, and below it.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            found.extend(entries(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn a_new_module_is_built_tested_verified_and_served_as_it_is() {
    let directory = kept("module");
    // In the folder of somebody's workspace, which it is to have nothing to do with.
    fs::write(directory.join("Cargo.toml"), "[workspace]\nmembers = []\n").expect("can be written");
    let output = new(&directory, &["support-team", "--api-path", CONTRACT]);
    output.expect_code(0);
    let module = Stranger::new(directory.join("support-team"));

    let workflow = yaml(&module, ".github/workflows/ci.yml");
    let steps = workflow["jobs"]["module"]["steps"].as_array().expect("steps");
    let steps: Vec<_> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    for step in &steps {
        take(&module, step);
    }
    // What it said is next is among them.
    let next = output.stdout.lines().rev().take(3).map(str::trim);
    assert!(
        next.clone().all(|command| steps.contains(&command)),
        "{output:#?}"
    );

    serves(&module);
}

/// Takes a step of its workflow: what is more than to get a compiler or a server.
#[track_caller]
fn take(module: &Stranger, step: &str) {
    let words: Vec<_> = step.split(' ').collect();
    match words.as_slice() {
        ["rustup", ..] => {}
        [
            "cargo",
            "install",
            "presence-router",
            "--locked",
            "--version",
            version,
        ] => {
            assert_eq!(*version, env!("CARGO_PKG_VERSION"));
        }
        ["cargo", "fmt", "--check"] => module.assert_formatted(),
        ["cargo", "build", "--release"] => module.build("support_team"),
        ["cargo", command, arguments @ ..] => module.cargo(command, arguments),
        ["presence-router", arguments @ ..] => {
            let command = Cli::new(arguments).in_directory(module.directory());
            let output = command.run_within(SUITE);
            output.expect_code(0);
            if arguments[0] == "verify" {
                let all = "ok: 10 passed, 0 warned, 0 failed, 0 skipped";
                assert!(output.stdout.contains(all), "{}", output.stdout);
            }
        }
        _ => panic!("no step that a test can take: {step}"),
    }
}

fn yaml(module: &Stranger, path: &str) -> Value {
    let text = fs::read_to_string(module.directory().join(path));
    serde_yaml::from_str(&text.expect("the file is there")).expect("YAML")
}

/// With its homeserver.yaml, as its README says: support sees alice, and bob does not.
fn serves(module: &Stranger) {
    let config = yaml(module, "homeserver.yaml");
    let library = module.directory().join("target/release/libsupport_team.so");
    let config = Config::empty()
        .join(config.as_object().expect("a mapping"))
        // Another port, as this one may be taken; and the config lies elsewhere.
        .set(
            &["listeners"],
            json!([{"port": 0, "bind_addresses": ["127.0.0.1"]}]),
        )
        .set(&["presence", "presence_router", "module"], json!(library));
    let host = Host::start(&config);
    assert_eq!(host.modules()[0].name, "support-team");
    assert_eq!(host.modules()[0].router, "SupportTeam");
    let (alice, bob, support) = (host.user("alice"), host.user("bob"), host.user("support"));
    let since = support.now();
    alice.set("online", Some("at work"));
    support.sync_until_says(&since, &id_of("alice"), "at work");
    support.presence_of(&id_of("alice")).expect(200);
    bob.presence_of(&id_of("alice")).expect(403);
    host.terminate().expect_code(0);
}

#[test]
fn without_a_path_it_asks_for_the_contract_of_this_server_s_version() {
    let directory = kept("versions");
    // So long a name that lines get long, and the name of one of the crate's own types.
    for name in [&*"a".repeat(60), "config"] {
        new(&directory, &[name]).expect_code(0);
        let module = Stranger::new(directory.join(name));
        module.assert_formatted();
        module.cargo("check", &["--tests"]);
    }
    let manifest = fs::read_to_string(directory.join("config/Cargo.toml")).expect("a manifest");
    let version = artifacts::contract_version();
    let requirement = version.rsplit_once('.').expect("a version has three numbers").0;
    let line = format!("presence-router-api = {{ version = \"{requirement}\" }}");
    assert!(
        manifest.lines().any(|found| found == line),
        "no {line} in:\n{manifest}"
    );
}

#[test]
fn a_version_that_was_asked_for_is_written() {
    let directory = directory();
    new(directory.path(), &["team", "--api-version", "=0.1.0"]).expect_code(0);
    let manifest = fs::read_to_string(directory.path().join("team/Cargo.toml")).expect("a manifest");
    assert_eq!(manifest.matches("version = \"=0.1.0\"").count(), 2, "{manifest}");
}

#[test]
fn programs_are_told_what_was_written() {
    let directory = directory();
    // An empty directory may be there.
    fs::create_dir(directory.path().join("here")).expect("can be made");
    let said = new(
        directory.path(),
        &["support-team", "--path", "here", "--format", "json"],
    );
    let said = said.expect_code(0).json();
    let written = directory.path().join("here").canonicalize().expect("it is there");
    assert_eq!(
        said,
        json!({
            "ok": true,
            "name": "support-team",
            "library": "libsupport_team.so",
            "directory": written,
            "files": FILES,
            "next": [
                "cargo test",
                "cargo build --release",
                "presence-router verify target/release/libsupport_team.so --config verify.yaml --level strict",
            ],
            "errors": [],
        })
    );
    let files: Vec<_> = entries(&written)
        .into_iter()
        .filter(|path| path.is_file())
        .collect();
    let mut expected: Vec<_> = FILES.iter().map(|file| written.join(file)).collect();
    expected.sort();
    assert_eq!(files, expected);
}

#[test]
fn what_is_no_crate_s_name_is_wrong_usage() {
    let directory = directory();
    for (name, reason) in [
        ("Support", "it has a 'S'; a name has words of lower-case letters"),
        ("../team", "it has a '.'"),
        ("7up", "it begins with '7'"),
        ("test", "a crate of Rust's own; add a word, as in `test-router`"),
        ("async", "it is a keyword of Rust"),
        ("presence-router-api", "choose another"),
    ] {
        new(directory.path(), &[name])
            .expect_code(2)
            .expect_stderr(&["<NAME>", reason]);
    }
    for (arguments, reason) in [
        (&["team", "--api-version", "newest"][..], "no version requirement"),
        (
            &["team", "--api-version", "1", "--api-path", CONTRACT],
            "cannot be used with",
        ),
        (&[], "<NAME>"),
    ] {
        new(directory.path(), arguments)
            .expect_code(2)
            .expect_stderr(&[reason]);
    }
    assert_eq!(entries(directory.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_place_that_is_taken_is_refused_and_left_as_it_is() {
    let directory = directory();
    let path = directory.path();
    fs::create_dir(path.join("full")).expect("can be made");
    fs::create_dir(path.join("empty")).expect("can be made");
    fs::write(path.join("full/mine"), "mine").expect("can be written");
    fs::write(path.join("file"), "mine").expect("can be written");
    symlink("empty", path.join("link")).expect("can be linked");
    symlink("nowhere", path.join("dangling")).expect("can be linked");
    let before = entries(path);
    let refused = |place: &str, reason: &str| {
        new(path, &["team", "--path", place]).expect_refusal(&[reason]);
    };
    refused("full", "full is not empty; choose another place with --path");
    refused("file", "file is there and is no directory; choose another place");
    refused("link", "link is there and is no directory");
    refused("dangling", "dangling is there and is no directory");
    refused("absent/team", "absent; make it, or choose another place");
    refused("file/team", "file/team cannot be looked at");
    new(&path.join("empty"), &["team", "--path", "."]).expect_refusal(&["is the directory that you are in"]);
    // Programs get it on standard output.
    let said = new(path, &["full", "--format", "json"])
        .expect_refusal(&["not empty"])
        .json();
    assert_eq!(said["ok"], false);
    assert_eq!(entries(path), before);
    assert_eq!(
        fs::read_to_string(path.join("full/mine")).expect("it is there"),
        "mine"
    );
    assert_eq!(
        fs::read_to_string(path.join("file")).expect("it is there"),
        "mine"
    );
}

#[test]
fn a_contract_that_is_none_is_refused() {
    let directory = directory();
    let path = directory.path();
    let absent = [
        "--api-path has to be the directory of presence-router-api",
        "absent/Cargo.toml",
    ];
    new(path, &["team", "--api-path", "absent"]).expect_refusal(&absent);
    let host = concat!(env!("CARGO_MANIFEST_DIR"), "/../host");
    new(path, &["team", "--api-path", host]).expect_refusal(&["is another crate's"]);
    assert_eq!(entries(path), Vec::<PathBuf>::new());
}

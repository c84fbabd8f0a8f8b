//! Where a module's file comes from: pins that `modules lock` writes, signatures of trusted keys, and who may write on
//! the way to the file.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use presence_router_tests::cli::run_cli;
use presence_router_tests::config::write_yaml;
use presence_router_tests::minisign::Signer;
use presence_router_tests::process::Output;
use presence_router_tests::{Config, Host, artifacts};
use serde_json::json;
use tempfile::TempDir;

/// A directory with a module of its own.
struct Place {
    directory: TempDir,
    module: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let module = directory.path().join("libbroadcast.so");
        fs::copy(artifacts::broadcast(), &module).expect("the module can be copied");
        set_mode(&module, 0o755);
        Self { directory, module }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the directory is ours");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the file is there")
    }

    /// `modules lock` of `homeserver.yaml`.
    #[track_caller]
    fn lock(&self, options: &[&str]) -> Output {
        self.command(&["modules", "lock"], options)
    }

    #[track_caller]
    fn command(&self, command: &[&str], options: &[&str]) -> Output {
        let config = self.path("homeserver.yaml");
        let arguments = command.iter().chain(options).map(OsStr::new);
        run_cli(arguments.chain(["-c".as_ref(), config.as_os_str()]))
    }

    /// Makes another module of it, which loads as before.
    fn change_module(&self) {
        let module = OpenOptions::new().append(true).open(&self.module);
        let changed = module.and_then(|mut module| module.write_all(b"behind the end"));
        changed.expect("the module is ours");
    }

    /// The text with the directory's name taken out.
    fn plain(&self, text: &str) -> String {
        text.replace(&self.directory.path().display().to_string(), "DIR")
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the file is ours");
}

/// With a comment, quotes, blank lines and no end of the last line.
const YAML: &str = "server_name: example.org   # ours\n\npresence:\n  presence_router:\n    module: \
                    './libbroadcast.so'  # who hears more\n    config: {}\n\n# the end";

#[test]
fn lock_adds_a_pin_and_leaves_all_else_as_it_is() {
    let place = Place::new();
    place.write("homeserver.yaml", YAML);
    set_mode(&place.path("homeserver.yaml"), 0o640);

    let output = place.lock(&["--check"]);
    output.expect_refusal(&["1 of 1 modules", "presence-router modules lock"]);
    assert!(output.stdout.contains("not pinned"), "{}", output.stdout);
    place.lock(&["--dry-run"]).expect_code(0);
    assert_eq!(place.read("homeserver.yaml"), YAML);

    let output = place.lock(&[]);
    output.expect_code(0);
    assert!(output.stdout.contains(": pin added ("), "{}", output.stdout);
    assert!(output.stdout.contains("homeserver.yaml:6)"), "{}", output.stdout);
    let pinned = place.read("homeserver.yaml");
    let new: Vec<_> = pinned
        .lines()
        .filter(|line| line.trim_start().starts_with("sha256:"))
        .collect();
    assert_eq!(new.len(), 1, "{pinned}");
    assert_eq!(pinned.replace(&format!("{}\n", new[0]), ""), YAML);
    let mode = fs::metadata(place.path("homeserver.yaml")).expect("the config is there");
    assert_eq!(mode.permissions().mode() & 0o7777, 0o640);

    place.command(&["check"], &[]).expect_code(0);
    place.lock(&["--check"]).expect_code(0);
    place.lock(&[]).expect_code(0);
    assert_eq!(place.read("homeserver.yaml"), pinned);
}

#[test]
fn lock_renews_the_pin_of_a_module_that_was_replaced() {
    let place = Place::new();
    place.write("homeserver.yaml", YAML);
    place.lock(&[]).expect_code(0);
    let first = place.read("homeserver.yaml");
    place.change_module();
    place
        .command(&["check"], &[])
        .expect_refusal(&["has sha256", "the config pins"]);
    let output = place.lock(&["--check", "--format", "json"]);
    output.expect_code(1);
    assert_eq!(output.json()["modules"][0]["state"], json!("differs"));
    assert_eq!(output.json()["ok"], json!(false));

    let output = place.lock(&["--format", "json"]);
    output.expect_code(0);
    let said = output.json();
    assert_eq!(said["modules"][0]["state"], json!("renewed"));
    assert_eq!(said["modules"][0]["line"], json!(6));
    let (old, new) = (&said["modules"][0]["before"], &said["modules"][0]["sha256"]);
    let texts = old.as_str().zip(new.as_str());
    let (old, new) = texts.expect("both hashes are told");
    assert_eq!(place.read("homeserver.yaml"), first.replace(old, new));
    place.command(&["check"], &[]).expect_code(0);
}

#[test]
fn each_pin_goes_into_the_file_that_names_its_module() {
    let place = Place::new();
    let main = "server_name: example.org\npresence:\n  presence_router:\n    module: ./libbroadcast.so\n";
    place.write("homeserver.yaml", main);
    let more = "modules:\n  - module: ./libbroadcast.so\n    name: second\n";
    place.write("more.yaml", more);
    let second = place.path("more.yaml");
    let second = second.to_str().expect("the tests' paths are UTF-8");
    run_cli(["modules", "lock", "-c", second]).expect_refusal(&["server_name", "missing"]);
    assert_eq!(place.read("more.yaml"), more);
    let config = place.path("homeserver.yaml");
    let output = run_cli([
        "modules",
        "lock",
        "-c",
        config.to_str().expect("the same"),
        "-c",
        second,
    ]);
    output.expect_code(0);
    assert!(
        place
            .read("homeserver.yaml")
            .starts_with(&format!("{main}    sha256: \""))
    );
    assert!(
        place
            .read("more.yaml")
            .contains("./libbroadcast.so\n    sha256: \"")
    );
}

#[test]
fn what_cannot_be_edited_safely_is_left_alone_and_told() {
    let place = Place::new();
    let yaml = "server_name: example.org\npresence: {presence_router: {module: ./libbroadcast.so}}\n";
    place.write("homeserver.yaml", yaml);
    place.lock(&[]).expect_refusal(&[
        "presence.presence_router.sha256",
        "write it by hand: sha256: \"",
        "homeserver.yaml:2",
    ]);
    assert_eq!(place.read("homeserver.yaml"), yaml);
}

#[test]
fn a_module_that_would_be_refused_is_not_pinned() {
    let place = Place::new();
    place.write("homeserver.yaml", YAML);
    set_mode(&place.module, 0o777);
    let (locked, checked) = (place.lock(&[]), place.command(&["check"], &[]));
    locked.expect_refusal(&["can be written by others (mode 777)", "homeserver.yaml:5"]);
    assert_eq!(locked.stderr, checked.stderr);
    set_mode(&place.module, 0o755);

    fs::create_dir(place.path("up")).expect("the directory is ours");
    let deeper = place.path("up/own");
    fs::create_dir(&deeper).expect("the directory is ours");
    fs::rename(&place.module, deeper.join("libbroadcast.so")).expect("both are ours");
    place.write("homeserver.yaml", &YAML.replace("./lib", "./up/own/lib"));
    place.command(&["check"], &[]).expect_code(0);
    set_mode(&place.path("up"), 0o777);
    place
        .lock(&[])
        .expect_refusal(&["others can replace files in directory", "up`"]);
}

/// `check` and `run` refuse the module with these words; with `allow_unsigned`, it is taken.
#[track_caller]
fn check_refused(place: &Place, trusted: &[&Signer], parts: &[&str]) {
    let config = config(place, trusted);
    config.write_into(place.directory.path());
    for command in ["check", "run"] {
        place.command(&[command], &[]).expect_refusal(parts);
    }
    let exempt = config.set(&["presence", "presence_router", "allow_unsigned"], json!(true));
    exempt.write_into(place.directory.path());
    place.command(&["check"], &[]).expect_code(0);
}

fn config(place: &Place, trusted: &[&Signer]) -> Config {
    let keys: Vec<_> = trusted.iter().map(|signer| signer.public_key()).collect();
    Config::neighbours()
        .module(&place.module, json!({}))
        .set(&["trusted_keys"], json!(keys))
}

#[test]
fn a_module_that_a_trusted_key_has_signed_is_served_with() {
    let (place, ours, other) = (Place::new(), Signer::new(1), Signer::new(2));
    ours.sign(&place.module);
    let host = Host::start(&config(&place, &[&other, &ours]));
    assert_eq!(host.modules().len(), 1);
}

#[test]
fn a_module_without_a_good_signature_is_refused() {
    let (place, ours, other) = (Place::new(), Signer::new(1), Signer::new(2));
    check_refused(
        &place,
        &[&ours],
        &["is not signed", "libbroadcast.so.minisig", "minisign -S -m"],
    );
    let signature = other.sign(&place.module);
    check_refused(
        &place,
        &[&ours],
        &["is signed by key 202020202020202", "trusted are 101010101010101"],
    );
    fs::write(&signature, "a note").expect("the directory is ours");
    check_refused(&place, &[&ours], &["cannot be read as a signature"]);
    ours.sign(&place.module);
    place.change_module();
    check_refused(&place, &[&ours], &["is not what key 101010101010101 has signed"]);
    ours.sign(&place.module);
    config(&place, &[&ours]).write_into(place.directory.path());
    place.command(&["check"], &[]).expect_code(0);
}

#[test]
fn keys_can_stand_in_files_and_an_empty_list_is_refused() {
    let (place, ours) = (Place::new(), Signer::new(1));
    let yaml = format!("{YAML}\ntrusted_keys: [ours.pub]\n");
    write_yaml(place.directory.path(), &yaml);
    place
        .command(&["check"], &[])
        .expect_refusal(&["trusted_keys[0]", "ours.pub", "homeserver.yaml:9"]);
    ours.write_public_key(&place.path("ours.pub"));
    place.lock(&[]).expect_refusal(&["is not signed"]);
    assert_eq!(place.plain(&place.read("homeserver.yaml")), yaml);
    ours.sign(&place.module);
    place.lock(&[]).expect_code(0);
    place.command(&["check"], &[]).expect_code(0);
    write_yaml(place.directory.path(), &yaml.replace("[ours.pub]", "[]"));
    place
        .command(&["check"], &[])
        .expect_refusal(&["trusted_keys", "names no key"]);
}

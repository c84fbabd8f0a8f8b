//! `presence-router generate-keys`: makes a signing key once, and what is wrong with one is told by `check`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use presence_router_tests::cli::run_cli;
use presence_router_tests::config::write_yaml;

#[test]
fn a_key_is_made_and_taken_by_the_config_that_names_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = "server_name: example.org\nsigning_key_path: a.key\n";
    let config = write_yaml(directory.path(), config);
    let check = || run_cli(["check".as_ref(), "-c".as_ref(), config.as_os_str()]);
    let run = || run_cli(["run".as_ref(), "-c".as_ref(), config.as_os_str()]);
    for output in [check(), run()] {
        output.expect_refusal(&[
            "signing_key_path: the keys cannot be read",
            "a.key does not exist; make it: presence-router generate-keys -o ",
            "homeserver.yaml:2",
        ]);
    }

    let file = directory.path().join("a.key");
    let generate = || run_cli(["generate-keys".as_ref(), "-o".as_ref(), file.as_os_str()]);
    let output = generate();
    output.expect_code(0);
    assert!(output.stdout.contains("ed25519:a_"), "{}", output.stdout);
    let mode = fs::metadata(&file).expect("was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "its owner's alone");
    let key = fs::read_to_string(&file).expect("was made");
    let seed = key.split_whitespace().last().expect("has three words");
    assert!(!output.stdout.contains(seed), "the key itself is not shown");
    check().expect_code(0);

    generate().expect_refusal(&["a.key exists already"]);
    assert_eq!(fs::read_to_string(&file).expect("is there"), key);

    fs::write(&file, format!("{key}{key}")).expect("is writable");
    let output = check();
    output.expect_refusal(&["a.key:2: not a signing key", "the same version"]);
    assert!(!output.stderr.contains(seed), "the key itself is not shown");
}

#[test]
fn without_a_file_the_key_goes_to_stdout() {
    let output = run_cli(["generate-keys"]);
    output.expect_code(0);
    let words: Vec<_> = output.stdout.split_whitespace().collect();
    assert_eq!((words.len(), words[0]), (3, "ed25519"));
    let said = run_cli(["generate-keys", "--format", "json"]).json();
    assert_eq!(said["ok"], true);
    assert!(
        said["key_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("ed25519:a_"))
    );
}

//! Runs cargo and reads from its own messages where it put what it built. Knows no crate by name.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// What a build made: for each target's name the file to use, a program or a shared library.
#[derive(Debug)]
pub(crate) struct Built(BTreeMap<String, PathBuf>);

impl Built {
    pub(crate) fn get(&self, target: &str) -> &Path {
        self.0
            .get(target)
            .unwrap_or_else(|| panic!("cargo built no {target:?}, only {:?}", self.0.keys()))
    }
}

/// Builds in the directory of a `Cargo.toml`, with these arguments, in the profile of this test.
///
/// A failing build panics with all that cargo wrote.
pub(crate) fn build(directory: &Path, target_dir: &Path, arguments: &[&str]) -> Built {
    let mut command = cargo(directory);
    command
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(arguments)
        .arg("--target-dir")
        .arg(target_dir);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let artifacts = artifacts(&run(command));
    for path in artifacts.values() {
        keep_others_out(path);
        keep_others_out(path.parent().expect("a file is in a directory"));
    }
    Built(artifacts)
}

/// Takes the right to write from everybody but the owner: where the umask leaves it to the group, the host would
/// refuse what was built.
pub(crate) fn keep_others_out(path: &Path) {
    const GROUP_AND_OTHERS_WRITE: u32 = 0o022;
    let keep = || -> std::io::Result<()> {
        let found = fs::metadata(path)?.permissions().mode();
        fs::set_permissions(path, Permissions::from_mode(found & !GROUP_AND_OTHERS_WRITE))
    };
    keep().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The same in a workspace other than ours. It gets the versions that ours is locked to, as it keeps no
/// lock file.
pub(crate) fn build_outside(directory: &Path, target_dir: &Path, arguments: &[&str]) -> Built {
    lock_like_ours(directory);
    build(directory, target_dir, arguments)
}

/// Runs the tests of a crate outside of our workspace.
pub(crate) fn test_outside(directory: &Path, target_dir: &Path) {
    lock_like_ours(directory);
    let mut command = cargo(directory);
    command.arg("test").arg("--target-dir").arg(target_dir);
    run(command);
}

/// Runs cargo in a directory. Panics with all that it wrote when it fails.
pub(crate) fn run_in<A: AsRef<OsStr>>(directory: &Path, arguments: impl IntoIterator<Item = A>) {
    let mut command = cargo(directory);
    command.args(arguments);
    run(command);
}

/// The root of our workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is a directory below the workspace")
}

/// Where cargo puts what it builds in our workspace.
pub(crate) fn target_dir() -> &'static Path {
    static TARGET_DIR: OnceLock<PathBuf> = OnceLock::new();
    TARGET_DIR.get_or_init(|| {
        let mut command = cargo(workspace());
        command.args(["metadata", "--format-version", "1", "--no-deps"]);
        let metadata: Value = serde_json::from_str(&run(command)).expect("cargo metadata is JSON");
        let directory = metadata["target_directory"].as_str();
        PathBuf::from(directory.expect("cargo metadata names the target directory"))
    })
}

fn cargo(directory: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(directory);
    command
}

fn run(mut command: Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cargo cannot be started: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}\n{}",
        plain_lines(&stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// What is no message of cargo's, such as the output of tests.
fn plain_lines(stdout: &str) -> String {
    let plain: Vec<_> = stdout.lines().filter(|line| !line.starts_with('{')).collect();
    plain.join("\n")
}

fn artifacts(messages: &str) -> BTreeMap<String, PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            let program = message["executable"].as_str();
            let library = || {
                let files = message["filenames"].as_array()?;
                let mut names = files.iter().filter_map(Value::as_str);
                names.find(|name| name.ends_with(std::env::consts::DLL_SUFFIX))
            };
            Some((name, PathBuf::from(program.or_else(library)?)))
        })
        .collect()
}

/// Gives a crate outside of our workspace the versions that ours is locked to.
pub(crate) fn lock_like_ours(directory: &Path) {
    let ours = workspace().join("Cargo.lock");
    fs::copy(&ours, directory.join("Cargo.lock"))
        .unwrap_or_else(|error| panic!("{} cannot be copied: {error}", ours.display()));
}

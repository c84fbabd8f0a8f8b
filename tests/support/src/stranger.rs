//! A crate outside of our workspace that a test has made: what its author would do with it. Crates of the repository are in
//! `artifacts`.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::artifacts::fixtures_target;
use crate::cargo::{self, keep_others_out, workspace};

/// A crate with a `Cargo.toml`.
///
/// Whatever version of the contract it asks for, it gets ours, if that is of this version: a registry need not have it.
#[derive(Debug)]
pub struct Stranger(PathBuf);

impl Stranger {
    /// The crate in this directory. It gets the versions that our workspace is locked to.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        cargo::lock_like_ours(&directory);
        Self(directory)
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// Builds it and puts its library where `cargo build --release` would. Panics when the build fails.
    pub fn build(&self, library: &str) {
        let ours = contract();
        let built = cargo::build(&self.0, &fixtures_target(), &["--config", &ours]);
        let release = self.0.join("target/release");
        let file = release.join(format!("lib{library}.so"));
        // Not what the umask says: a host refuses a library in a directory that others can write.
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&release)
            .and_then(|()| fs::copy(built.get(library), &file))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        keep_others_out(&file);
    }

    /// Runs a command of cargo's that builds, such as `test`. Panics with all that it wrote when it fails.
    pub fn cargo(&self, command: &str, arguments: &[&str]) {
        let target = fixtures_target();
        let target = target.to_str().expect("the tests' paths are UTF-8");
        let ours = contract();
        let fixed = [command, "--config", &ours, "--target-dir", target];
        cargo::run_in(&self.0, fixed.iter().chain(arguments));
    }

    /// Panics when it is not formatted.
    pub fn assert_formatted(&self) {
        cargo::run_in(&self.0, ["fmt", "--check"]);
    }
}

/// A setting of cargo's.
fn contract() -> String {
    let directory = workspace().join("plugin-api");
    let directory = directory.to_str().expect("the tests' paths are UTF-8");
    format!("patch.crates-io.presence-router-api.path={directory:?}")
}

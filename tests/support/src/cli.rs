//! Runs a command of the host to its end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{Output, Process};
use crate::{PATIENCE, artifacts};

/// A command of the host.
#[derive(Debug)]
pub struct Cli(Command);

impl Cli {
    /// `presence-router` with these arguments.
    pub fn new<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::of(artifacts::host(), arguments)
    }

    /// Another host's binary with these arguments.
    pub fn of<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self(command)
    }

    /// In this directory.
    #[must_use]
    pub fn in_directory(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// With this environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    /// Runs it to its end. Panics when there is none in time.
    #[track_caller]
    pub fn run(self) -> Output {
        self.run_within(PATIENCE)
    }

    /// The same for a command that has more to do than most.
    #[track_caller]
    pub fn run_within(self, patience: Duration) -> Output {
        Process::start(self.0).wait(patience)
    }
}

/// Runs `presence-router` with these arguments to its end.
#[track_caller]
pub fn run_cli<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    Cli::new(arguments).run()
}

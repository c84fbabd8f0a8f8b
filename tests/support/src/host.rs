//! The real binary, running: `presence-router run -c FILE --format json`.
//!
//! It is ready when it says so on its standard output. Dropped, it is killed; when the test panics, what it
//! logged is shown.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;

use crate::client::Client;
use crate::config::{CONFIG_FILE, Config};
use crate::footprint::Footprint;
use crate::log::Log;
use crate::process::{Output, Process};
use crate::user::User;
use crate::{PATIENCE, artifacts, id_of};

/// A running host.
#[derive(Debug)]
pub struct Host {
    /// `None` when it has ended.
    process: Option<Process>,
    log: Log,
    program: PathBuf,
    directory: TempDir,
    modules: Vec<LoadedModule>,
    listeners: Vec<Listener>,
}

/// The line that `run` prints for a loaded module.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LoadedModule {
    /// The name in its manifest.
    pub name: String,
    /// The version in its manifest.
    pub version: String,
    /// Which of its routers was started.
    pub router: String,
    /// How many times it was loaded, this time included.
    pub generation: u64,
    /// The hash of the file: at least the first 12 digits.
    pub sha256: String,
    /// The file.
    pub path: String,
}

/// The line that `run` prints for a listener.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Listener {
    /// Where it listens, such as `http://127.0.0.1:8008`.
    pub address: String,
    /// What it answers.
    pub resources: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Module(LoadedModule),
    Listening(Listener),
    Ready,
}

impl Host {
    /// Starts the host and waits until it is ready. Panics with what it wrote when it is not in time.
    #[track_caller]
    pub fn start(config: &Config) -> Self {
        Self::start_program(artifacts::host(), config)
    }

    /// The same with another host's binary.
    #[track_caller]
    pub fn start_program(program: &Path, config: &Config) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        config.write_into(directory.path());
        let (process, events) = run(program, directory.path());
        let mut host = Self {
            log: process.stderr.clone(),
            process: Some(process),
            program: program.to_owned(),
            directory,
            modules: Vec::new(),
            listeners: Vec::new(),
        };
        host.take_in(events);
        host
    }

    /// Ends it as an operator does, and starts it again with the same config and the same files.
    ///
    /// It may listen on another port afterwards: clients and users of before are of no use any more.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Ends it as an operator does, and keeps its files.
    #[track_caller]
    pub fn stop(&mut self) {
        let process = self.process.take().expect("it runs");
        process.terminate();
        process.wait(PATIENCE).expect_code(0);
    }

    /// Ends it as `kill -9` does, and keeps its files.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Starts it on the files that are there, when it was stopped or killed. As for [`restart`](Self::restart), clients of
    /// before are of no use any more.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        let (process, events) = run(&self.program, self.directory.path());
        self.log = process.stderr.clone();
        self.process = Some(process);
        self.modules.clear();
        self.listeners.clear();
        self.take_in(events);
    }

    fn take_in(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Module(module) => self.modules.push(module),
                Event::Listening(listener) => self.listeners.push(listener),
                Event::Ready => {}
            }
        }
    }

    /// The number of its process.
    #[track_caller]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// What it takes of the system now.
    #[track_caller]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.id())
    }

    /// The same, when it is as `wanted`. Panics when it is not in time.
    #[track_caller]
    pub fn footprint_when(&self, within: Duration, wanted: impl Fn(&Footprint) -> bool) -> Footprint {
        let deadline = Instant::now() + within;
        loop {
            let now = self.footprint();
            if wanted(&now) {
                return now;
            }
            assert!(
                Instant::now() < deadline,
                "not as it should be after {within:?}: {now}"
            );
            std::thread::yield_now();
        }
    }

    /// The modules that it says it has loaded.
    pub fn modules(&self) -> &[LoadedModule] {
        &self.modules
    }

    /// The listeners that it says it has.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// What it logs.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The directory of its config.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its config.
    pub fn config_file(&self) -> PathBuf {
        self.directory().join(CONFIG_FILE)
    }

    /// Its database, unless the config names another one.
    pub fn database(&self) -> PathBuf {
        self.directory().join("presence.db")
    }

    /// A client of its first listener, without a user.
    pub fn client(&self) -> Client {
        let listener = self.listeners.first().expect("a host has a listener");
        Client::new(&listener.address)
    }

    /// A user's client, by the localpart that the config names.
    pub fn user(&self, name: &str) -> User {
        User::new(self.client(), name)
    }

    /// Checks with the users of [`Config::neighbours`] that shared rooms work: bob, who shares one with alice, sees what she
    /// says.
    #[track_caller]
    pub fn check_shared_rooms(&self, says: &str) {
        let bob = self.user("bob");
        let since = bob.now();
        self.user("alice").set("online", Some(says));
        bob.sync_until_says(&since, &id_of("alice"), says);
    }

    /// Writes another config, and has it read by SIGHUP. Does not wait until it is in force.
    pub fn reload(&self, config: &Config) {
        config.write_into(self.directory());
        self.hang_up();
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        let process = self.process.as_ref().expect("it runs");
        process.hang_up();
    }

    /// Sends SIGTERM and waits for the end. Panics when there is none in time.
    #[track_caller]
    pub fn terminate(self) -> Output {
        self.terminate_within(PATIENCE)
    }

    /// The same with a deadline of the test's own.
    #[track_caller]
    pub fn terminate_within(mut self, within: Duration) -> Output {
        let process = self.process.take().expect("only this takes the process");
        process.terminate();
        process.wait(within)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- the host's log:\n{}\n--", self.log.text());
        }
    }
}

/// Starts the program on the `homeserver.yaml` of a directory, and answers what it says until it is ready.
#[track_caller]
fn run(program: &Path, directory: &Path) -> (Process, Vec<Event>) {
    let mut command = Command::new(program);
    command
        .arg("run")
        .arg("-c")
        .arg(directory.join("homeserver.yaml"));
    command.args(["--format", "json"]).current_dir(directory);
    let process = Process::start(command);
    let ready = process.stdout.wait_until(PATIENCE, |lines| {
        let events: Vec<Event> = lines.iter().map(|line| read_event(line)).collect();
        matches!(events.last(), Some(Event::Ready)).then_some(events)
    });
    let Some(events) = ready else {
        let (stdout, stderr) = (process.stdout.text(), process.stderr.text());
        panic!("the host is not ready; it wrote:\n{stdout}\n{stderr}");
    };
    (process, events)
}

fn read_event(line: &str) -> Event {
    serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("not a line of `run --format json`: {line}: {error}"))
}

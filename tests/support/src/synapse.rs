//! A real Synapse on the loopback, with a directory of its own that goes away with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::client::{Client, Request};
use crate::config::join;
use crate::log::Log;
use crate::process::Process;
use crate::python;

/// The release that the scripts of the comparison were recorded from.
const SYNAPSE: &str = "matrix-synapse==1.163.2";

/// It reads much Python when it starts, and makes its database.
const START: Duration = Duration::from_mins(2);
const STOP: Duration = Duration::from_secs(30);

const LISTENING: &str = "now listening on TCP port ";

/// Where Synapse is installed.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

/// A Synapse. Dropped, it is killed; when the test panics, what it logged is shown.
#[derive(Debug)]
pub struct Synapse {
    program: Program,
    /// Where its modules are.
    modules: PathBuf,
    directory: TempDir,
    process: Option<Process>,
}

impl Program {
    /// Installs it from `PyPI`, when it is not there yet. The error says why that cannot be.
    pub fn installed() -> Result<Self, String> {
        python::with("matrix-synapse", SYNAPSE).map(Self)
    }

    fn command(&self, modules: &Path, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command
            .args(["-B", "-m", "synapse.app.homeserver", "--config-path"])
            .arg(directory.join("homeserver.yaml"))
            .args(arguments)
            .current_dir(directory)
            .env("PYTHONPATH", modules);
        command
    }
}

impl Synapse {
    /// Starts it with what `config` says beyond what a test needs anyway: users register themselves, nothing is limited, and
    /// all that it keeps is in its directory. Its modules are Python files in `modules`.
    #[track_caller]
    pub fn start(program: &Program, modules: &Path, config: &Map<String, Value>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut synapse = Self {
            program: program.clone(),
            modules: modules.to_owned(),
            directory,
            process: None,
        };
        synapse.configure(config);
        let generate = synapse.command(&["--generate-keys"]);
        Process::start(generate).wait(START).expect_code(0);
        synapse.start_again();
        synapse
    }

    /// Writes another config, for the next start.
    pub fn configure(&self, config: &Map<String, Value>) {
        let mut whole = basics(self.directory.path());
        join(&mut whole, config);
        for (name, content) in [("homeserver.yaml", Value::Object(whole)), ("log.yaml", logging())] {
            let path = self.directory.path().join(name);
            // What is JSON is YAML too.
            fs::write(&path, content.to_string())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// Ends it, and keeps its files.
    #[track_caller]
    pub fn stop(&mut self) {
        let process = self.process.take().expect("it runs");
        process.terminate();
        process.wait(STOP);
    }

    /// Starts it on the files that are there, when it was stopped. It listens on other ports then.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        let process = Process::start(self.command(&[]));
        process.stderr.wait_for(&[LISTENING], START);
        self.process = Some(process);
    }

    /// What it logs: warnings, its ports, and each request that it has answered.
    pub fn log(&self) -> &Log {
        &self.process.as_ref().expect("it runs").stderr
    }

    /// A client of its listener without TLS.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::new(&format!("http://127.0.0.1:{}", self.port("")))
    }

    /// The port of its listener that speaks TLS.
    #[track_caller]
    pub fn tls_port(&self) -> u16 {
        self.port(" (TLS)")
    }

    /// The file with the key that it signs with.
    pub fn signing_key(&self) -> PathBuf {
        self.directory.path().join("signing.key")
    }

    /// Registers a user; their access token.
    #[track_caller]
    pub fn register(&self, name: &str) -> String {
        let body = json!({"username": name, "password": "secret", "auth": {"type": "m.login.dummy"}});
        let request = Request::new("POST", "/_matrix/client/v3/register").body(body.to_string());
        let answer = self.client().send(&request).expect(200);
        let token = answer["access_token"].as_str().expect("a new user has a token");
        token.to_owned()
    }

    /// The port of the first listener whose line in the log ends so.
    #[track_caller]
    fn port(&self, end: &str) -> u16 {
        let port = |line: &String| {
            let (_, port) = line.split_once(LISTENING)?;
            port.strip_suffix(end)?.parse().ok()
        };
        let found = self.log().wait_until(START, |lines| lines.iter().find_map(port));
        found.unwrap_or_else(|| panic!("no port{end} in:\n{}", self.log().text()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.program
            .command(&self.modules, self.directory.path(), arguments)
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        if let Some(process) = self.process.as_ref().filter(|_| std::thread::panicking()) {
            eprintln!("-- Synapse's log:\n{}\n--", process.stderr.text());
        }
    }
}

fn logging() -> Value {
    json!({
        "version": 1,
        "formatters": {"plain": {"format": "%(levelname)s %(name)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            // Says when it listens, and where.
            "synapse.app": {"level": "INFO"},
            // Says what was asked, by whom, and with which status it was answered.
            "synapse.access": {"level": "INFO"},
        },
        "disable_existing_loggers": false,
    })
}

fn basics(directory: &Path) -> Map<String, Value> {
    let no_limit = json!({"per_second": 1e6, "burst_count": 1_000_000});
    let config = json!({
        "database": {"name": "sqlite3", "args": {"database": directory.join("homeserver.db")}},
        "log_config": directory.join("log.yaml"),
        "pid_file": directory.join("homeserver.pid"),
        "media_store_path": directory.join("media"),
        "signing_key_path": directory.join("signing.key"),
        "macaroon_secret_key": "macaroon", "form_secret": "form",
        "enable_registration": true, "enable_registration_without_verification": true,
        "bcrypt_rounds": 4,
        "report_stats": false,
        "trusted_key_servers": [], "suppress_key_server_warning": true,
        "url_preview_enabled": false,
        // Every sync is answered anew.
        "caches": {"sync_response_cache_duration": 0},
        "rc_registration": no_limit,
        "rc_joins": {"local": no_limit, "remote": no_limit},
        "rc_joins_per_room": no_limit,
        "rc_room_creation": no_limit,
        "rc_presence": {"per_user": no_limit},
    });
    let Value::Object(config) = config else {
        unreachable!("it is written above as a mapping")
    };
    config
}

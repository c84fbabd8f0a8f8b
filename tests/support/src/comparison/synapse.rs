//! A real Synapse on the loopback, set up as our host is for the same script.
//!
//! It contacts nobody: registration is open, federation and previews are closed, and its database is a file that goes
//! away with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::script::{Script, USERS};
use super::server::Server;
use crate::client::{Client, Request, percent_encode};
use crate::config::join;
use crate::process::Process;
use crate::{SERVER, python};

/// The release that the scripts were recorded from.
const SYNAPSE: &str = "matrix-synapse==1.163.2";

/// It reads much Python when it starts, and makes its database.
const START: Duration = Duration::from_mins(2);
const STOP: Duration = Duration::from_secs(30);

/// Who makes the rooms and leaves them again. Not a user of the scripts: making a room is more than being in it.
const FOUNDER: &str = "founder";

/// Where Synapse is installed.
#[derive(Debug)]
pub struct Program(PathBuf);

/// A running Synapse.
#[derive(Debug)]
pub struct Synapse {
    python: PathBuf,
    directory: TempDir,
    process: Option<Process>,
    client: Client,
    tokens: BTreeMap<String, String>,
}

impl Program {
    /// Installs it from `PyPI`, when it is not there yet. The error says why that cannot be.
    pub fn installed() -> Result<Self, String> {
        python::with("matrix-synapse", SYNAPSE).map(Self)
    }

    /// Starts it, registers the users, and makes the rooms of the script.
    pub fn start(&self, script: &Script) -> Synapse {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        write_config(directory.path(), config(directory.path(), script));
        let keys = command(&self.0, directory.path(), &["--generate-keys"]);
        Process::start(keys).wait(START).expect_code(0);
        let (process, client) = start(&self.0, directory.path());
        let mut synapse = Synapse {
            python: self.0.clone(),
            directory,
            process: Some(process),
            client,
            tokens: BTreeMap::new(),
        };
        for name in USERS.into_iter().chain([FOUNDER]) {
            synapse.register(name);
        }
        let rooms: BTreeMap<_, _> = script
            .rooms
            .iter()
            .map(|(room, members)| (room, synapse.make_room(members)))
            .collect();
        if !script.excluded.is_empty() {
            // Their ids are known only now.
            let excluded: Vec<_> = script.excluded.iter().map(|room| &rooms[room]).collect();
            let mut config = config(synapse.directory.path(), script);
            config.insert("exclude_rooms_from_presence".to_owned(), json!(excluded));
            write_config(synapse.directory.path(), config);
            synapse.restart();
        }
        synapse
    }
}

impl Synapse {
    fn register(&mut self, name: &str) {
        let body = json!({"username": name, "password": "secret", "auth": {"type": "m.login.dummy"}});
        let request = Request::new("POST", "/_matrix/client/v3/register").body(body.to_string());
        let answer = self.client.send(&request).expect(200);
        let token = answer["access_token"].as_str().expect("a new user has a token");
        self.tokens.insert(name.to_owned(), token.to_owned());
    }

    fn make_room(&self, members: &[String]) -> String {
        let answer = self.post(FOUNDER, "createRoom", &json!({"preset": "public_chat"}));
        let room = answer["room_id"]
            .as_str()
            .expect("a new room has an id")
            .to_owned();
        let path = percent_encode(&room);
        for name in members {
            self.post(name, &format!("join/{path}"), &json!({}));
        }
        self.post(FOUNDER, &format!("rooms/{path}/leave"), &json!({}));
        room
    }

    fn post(&self, name: &str, path: &str, body: &Value) -> Value {
        let request = Request::new("POST", format!("/_matrix/client/v3/{path}"))
            .token(&self.token(name))
            .body(body.to_string());
        self.client.send(&request).expect(200)
    }
}

impl Server for Synapse {
    fn client(&self) -> Client {
        self.client.clone()
    }

    fn token(&self, name: &str) -> String {
        let token = self.tokens.get(name);
        token
            .unwrap_or_else(|| panic!("{name} was not registered"))
            .clone()
    }

    fn restart(&mut self) {
        let process = self.process.take().expect("it is put back below");
        process.terminate();
        process.wait(STOP);
        let (process, client) = start(&self.python, self.directory.path());
        self.process = Some(process);
        self.client = client;
    }
}

fn start(python: &Path, directory: &Path) -> (Process, Client) {
    let process = Process::start(command(python, directory, &[]));
    let line = process.stderr.wait_for(&["now listening on TCP port"], START);
    let port: u16 = line
        .rsplit(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no port in {line:?}"));
    (process, Client::new(&format!("http://127.0.0.1:{port}")))
}

fn command(python: &Path, directory: &Path, arguments: &[&str]) -> Command {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("comparison");
    let mut command = Command::new(python);
    command
        .args(["-B", "-m", "synapse.app.homeserver", "--config-path"])
        .arg(directory.join("homeserver.yaml"))
        .args(arguments)
        .current_dir(directory)
        .env("PYTHONPATH", modules);
    command
}

fn write_config(directory: &Path, config: Map<String, Value>) {
    let log = json!({
        "version": 1,
        "formatters": {"plain": {"format": "%(levelname)s %(name)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        // Says when it listens, and where.
        "loggers": {"synapse.app": {"level": "INFO"}},
        "disable_existing_loggers": false,
    });
    for (name, content) in [("homeserver.yaml", Value::Object(config)), ("log.yaml", log)] {
        let path = directory.join(name);
        // What is JSON is YAML too.
        fs::write(&path, content.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn config(directory: &Path, script: &Script) -> Map<String, Value> {
    let no_limit = json!({"per_second": 1e6, "burst_count": 1_000_000});
    let config = json!({
        "server_name": SERVER,
        "listeners": [{
            "port": 0,
            "bind_addresses": ["127.0.0.1"],
            "type": "http",
            "resources": [{"names": ["client"], "compress": false}],
        }],
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
        "ip_range_blacklist": ["0.0.0.0/0", "::/0"],
        "federation_domain_whitelist": [],
        // Every sync is answered anew.
        "caches": {"sync_response_cache_duration": 0},
        "rc_registration": no_limit,
        "rc_joins": {"local": no_limit, "remote": no_limit},
        "rc_joins_per_room": no_limit,
        "rc_room_creation": no_limit,
        "rc_presence": {"per_user": no_limit},
        "presence": {"presence_router": {
            "module": "broadcast_router.BroadcastRouter",
            "config": Script::module_config(),
        }},
    });
    let Value::Object(mut config) = config else {
        unreachable!("it is written above as a mapping")
    };
    join(&mut config, &script.config_of_both());
    config
}

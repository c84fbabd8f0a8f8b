//! A real Synapse, set up as our host is for the same script.
//!
//! It contacts nobody: federation and previews are closed.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::script::{Script, USERS};
use super::server::Server;
use crate::SERVER;
use crate::client::{Client, Request, percent_encode};
use crate::config::join;
use crate::synapse::{self, Program};

/// Who makes the rooms and leaves them again. Not a user of the scripts: making a room is more than being in it.
const FOUNDER: &str = "founder";

/// A running Synapse.
#[derive(Debug)]
pub struct Synapse {
    synapse: synapse::Synapse,
    tokens: BTreeMap<String, String>,
}

impl Synapse {
    /// Starts it, registers the users, and makes the rooms of the script.
    pub fn start(program: &Program, script: &Script) -> Self {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("comparison");
        let mut config = config(script);
        let mut synapse = Self {
            synapse: synapse::Synapse::start(program, &modules, &config),
            tokens: BTreeMap::new(),
        };
        for name in USERS.into_iter().chain([FOUNDER]) {
            let token = synapse.synapse.register(name);
            synapse.tokens.insert(name.to_owned(), token);
        }
        let rooms: BTreeMap<_, _> = script
            .rooms
            .iter()
            .map(|(room, members)| (room, synapse.make_room(members)))
            .collect();
        if !script.excluded.is_empty() {
            // Their ids are known only now.
            let excluded: Vec<_> = script.excluded.iter().map(|room| &rooms[room]).collect();
            config.insert("exclude_rooms_from_presence".to_owned(), json!(excluded));
            synapse.synapse.configure(&config);
            synapse.restart();
        }
        synapse
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
        self.client().send(&request).expect(200)
    }
}

impl Server for Synapse {
    fn client(&self) -> Client {
        self.synapse.client()
    }

    fn token(&self, name: &str) -> String {
        let token = self.tokens.get(name);
        token
            .unwrap_or_else(|| panic!("{name} was not registered"))
            .clone()
    }

    fn restart(&mut self) {
        self.synapse.stop();
        self.synapse.start_again();
    }
}

fn config(script: &Script) -> Map<String, Value> {
    let config = json!({
        "server_name": SERVER,
        "listeners": [{
            "port": 0,
            "bind_addresses": ["127.0.0.1"],
            "type": "http",
            "resources": [{"names": ["client"], "compress": false}],
        }],
        "ip_range_blacklist": ["0.0.0.0/0", "::/0"],
        "federation_domain_whitelist": [],
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

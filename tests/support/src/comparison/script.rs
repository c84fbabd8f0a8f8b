//! A script: what the servers are to be like, and the calls. Read from YAML.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::call::Call;
use crate::config::join;
use crate::{GOBBLER, id_of};

/// The users of every script, by their localparts.
pub(super) const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "hidden", "presence_gobbler"];

/// A file of `tests/comparison`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The name of its file, without the ending.
    #[serde(skip)]
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// What both configs get beyond the usual, by Synapse's names.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// The rooms, by any name, and their members.
    #[serde(default = "the_shared_room")]
    pub rooms: BTreeMap<String, Vec<String>>,
    /// Which of the rooms `exclude_rooms_from_presence` names.
    #[serde(default)]
    pub excluded: Vec<String>,
    /// Why our host does not do yet what this is about. The calls are then made to Synapse alone.
    #[serde(default)]
    pub pending: Option<String>,
    /// The calls, in their order.
    pub calls: Vec<Call>,
}

impl Script {
    /// What both configs get beyond the usual: what the script says, and times so long that none passes while the
    /// script runs, however slow the machine.
    pub(super) fn config_of_both(&self) -> Map<String, Value> {
        let times = json!({
            "last_active_granularity": "10m", "sync_online_timeout": "20m", "idle_timeout": "30m",
        });
        let mut config = Map::from_iter([("presence".to_owned(), times)]);
        join(&mut config, &self.config);
        config
    }

    /// The config of the module that routes to the gobbler.
    pub(super) fn module_config() -> Value {
        json!({"always_send_to_users": [GOBBLER], "blacklisted_users": [id_of("hidden")]})
    }
}

fn the_shared_room() -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([("shared".to_owned(), vec!["alice".to_owned(), "bob".to_owned()])])
}

/// Every script, by the order of their names. Panics when one is not as it should be.
pub fn scripts() -> Vec<Script> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("comparison");
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("a directory of scripts can be read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Script {
    let wrong = |what: &dyn std::fmt::Display| -> ! { panic!("{}: {what}", file.display()) };
    let text = fs::read_to_string(file).unwrap_or_else(|error| wrong(&error));
    let mut script: Script = serde_yaml::from_str(&text).unwrap_or_else(|error| wrong(&error));
    let name = file.file_stem().and_then(|stem| stem.to_str());
    name.expect("the scripts have plain names")
        .clone_into(&mut script.name);
    let mut cases = BTreeSet::new();
    for call in script.calls.iter().flat_map(Call::with_inner) {
        if let Err(what) = call.check() {
            wrong(&format!("{}: {what}", call.case));
        }
        if !cases.insert(&call.case) {
            wrong(&format!("two calls are named {:?}", call.case));
        }
    }
    script
}

//! The configuration: YAML files become plain, checked data, or errors that point at file and line.
//!
//! Owns the names of the keys, their defaults, and the merging of several files. It opens no socket and
//! loads no module: whether a module's own `config` is right, only the module knows, and what it says
//! is brought into the same form by [`module_config_error`].
//!
//! A load runs in steps, each of which reports all that it finds: read the files (`source`), note where
//! each key stands (`events`, `node`), merge, then read section by section (`reader`).

#![forbid(unsafe_code)]

mod access_tokens;
mod admin_socket;
mod containment;
mod database;
mod differences;
mod directory;
mod directory_files;
mod docs;
mod duration;
mod error;
mod events;
mod federation;
mod json;
mod key_path;
mod known_keys;
mod listeners;
mod log;
mod module;
mod node;
mod origins;
mod outgoing;
mod pins;
mod presence;
mod rate_limit;
mod reader;
mod room_ids;
mod roster;
mod roster_builder;
mod source;
mod trusted_keys;

#[cfg(test)]
mod checks;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use presence_router_api::is_server_name;

pub use crate::config::admin_socket::admin_socket;
pub use crate::config::containment::{AutomaticRollback, CrashBudget};
pub use crate::config::database::Database;
pub use crate::config::differences::{Applies, Difference, differences};
pub use crate::config::directory::{Directory, StaticUser};
pub use crate::config::docs::reference;
pub use crate::config::error::{ConfigError, ConfigErrors};
pub use crate::config::federation::{Federation, OldSigningKey};
pub use crate::config::listeners::{Bind, Listener, Resource};
pub use crate::config::log::{Log, LogFormat};
pub use crate::config::module::Module;
pub use crate::config::origins::{Origin, Origins, module_config_error};
pub use crate::config::outgoing::Outgoing;
pub use crate::config::pins::{Edited, Pin, Pinned, pin};
pub use crate::config::presence::{Presence, Tracking};
pub use crate::config::rate_limit::RateLimit;
pub use crate::config::roster::Roster;

use crate::config::key_path::KeyPath;
use crate::config::reader::{Field, Reader, Section};
use crate::config::source::Source;
use crate::minisign::PublicKey;

/// More than this is a slip of the pen.
const MAX_WORKER_THREADS: u64 = 1_024;

/// What the config files say, with the defaults filled in.
///
/// Wherever a value is a duration it is written as in Synapse: an integer and one of the units `ms`,
/// `s`, `m`, `h`, `d` (24 h), `w` (7 d), `y` (365 d), as in `30s`; or an integer of milliseconds. A path
/// that is not absolute starts at the directory of the file in which its key stands. A key without a
/// value counts as left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `server_name`: the name behind the `:` of the local users' ids. Required.
    pub server_name: String,
    /// `listeners`: where requests are taken. Default: one on 127.0.0.1:8008 for `client` and `health`.
    pub listeners: Vec<Listener>,
    /// `admin_socket`: the Unix socket on which the operator's commands are taken. Default: none.
    pub admin_socket: Option<PathBuf>,
    /// `presence`: timeouts, limits, and the module that routes. Default: see each key.
    pub presence: Presence,
    /// `exclude_rooms_from_presence`: rooms that do not count as shared. Default: none.
    pub exclude_rooms_from_presence: BTreeSet<String>,
    /// `rc_presence.per_user`: how often a user may set their presence. Default: as often as they like.
    pub rc_presence: Option<RateLimit>,
    /// `database`: where that is kept which outlives a restart. Default: see [`Database::File`].
    pub database: Database,
    /// `signing_key_path` and what else other servers are concerned by. Default: no federation.
    pub federation: Federation,
    /// `ip_range_blacklist` and `ip_range_whitelist`: which addresses this server may call. Default: public ones.
    pub outgoing: Outgoing,
    /// `modules`: more modules, which route in this order behind that of `presence.presence_router`. Default: none.
    pub modules: Vec<Module>,
    /// `module_path`: the directories in which a module given by its name is searched, in this order.
    /// Default: none.
    pub module_path: Vec<PathBuf>,
    /// `trusted_keys`: whose signature every module must have. Default: none, and nobody looks for one.
    pub trusted_keys: Vec<PublicKey>,
    /// `directory`: users and rooms when there is no homeserver to ask. Default: nobody.
    pub directory: Directory,
    /// `worker_threads`: how many threads serve requests. Default: one.
    pub worker_threads: NonZeroUsize,
    /// `log`: what is logged, and how. Default: `info`, as text.
    pub log: Log,
}

impl Config {
    /// All modules in the order in which they route: that of `presence.presence_router`, then `modules`. Each with the
    /// path of its key, for [`Origins::locate`] and [`module_config_error`].
    pub fn all_modules(&self) -> impl Iterator<Item = (String, &Module)> {
        let router = self.presence.presence_router.iter();
        let router = router.map(|module| ("presence.presence_router".to_owned(), module));
        let modules = self.modules.iter().enumerate();
        router.chain(modules.map(|(index, module)| (format!("modules[{index}]"), module)))
    }
}

/// Reads `files`, merges them key by key (mappings are united, of everything else the later file wins),
/// and checks the outcome. When it is right, the files of `directory.files` are read and checked too.
pub fn load(files: &[PathBuf]) -> Result<(Config, Origins), ConfigErrors> {
    let (mut config, origins) = read_and_parse(files)?.check()?;
    directory_files::read(&mut config.directory, &config.server_name, &origins)?;
    Ok((config, origins))
}

fn read_and_parse(files: &[PathBuf]) -> Result<Parsed, ConfigErrors> {
    let mut sources = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        match source::read(file) {
            Ok(source) => sources.push(source),
            Err(error) => errors.push(error),
        }
    }
    if files.is_empty() {
        errors.push(ConfigError::new("no config file was given; name one with -c"));
    }
    // Files that could be read are parsed even when another could not, so that one run tells of both.
    parse(&sources, errors)
}

/// The merged files, of which only the syntax is known to be right.
struct Parsed {
    root: serde_yaml::Value,
    origins: Origins,
}

/// `errors` are those that are known already.
fn parse(sources: &[Source], mut errors: Vec<ConfigError>) -> Result<Parsed, ConfigErrors> {
    let mut root = serde_yaml::Value::Null;
    let mut origins = Origins::default();
    for source in sources {
        match source.parse(origins.next_file()) {
            Ok((value, tree)) => {
                source::merge(&mut root, value);
                origins.add(source.file.clone(), tree);
            }
            Err(more) => errors.extend(more),
        }
    }
    ConfigErrors::of(errors).map_or(Ok(Parsed { root, origins }), Err)
}

impl Parsed {
    fn check(self) -> Result<(Config, Origins), ConfigErrors> {
        let mut reader = Reader::new(&self.origins);
        let config = read(&mut reader, &self.root);
        match ConfigErrors::of(reader.finish()) {
            None => Ok((config, self.origins)),
            Some(errors) => Err(errors),
        }
    }
}

/// The sections one after the other. What is wrong is kept by the reader, and a default stands in for it.
fn read(reader: &mut Reader<'_>, root: &serde_yaml::Value) -> Config {
    let root = Field::new(root, KeyPath::root());
    let root = reader.section(&root, &known_keys::ROOT);
    let get = |key| root.as_ref().and_then(|root| root.get(key));

    let server_name = root.as_ref().and_then(|root| read_server_name(reader, root));
    let presence = presence::read(reader, get("presence"));
    Config {
        listeners: listeners::read(reader, get("listeners")),
        admin_socket: admin_socket::read(reader, get("admin_socket")),
        modules: module::read_list(reader, get("modules"), presence.presence_router.as_ref()),
        presence,
        exclude_rooms_from_presence: room_ids::read(reader, get("exclude_rooms_from_presence")),
        rc_presence: rate_limit::read(reader, get("rc_presence")),
        database: database::read(reader, get("database")),
        federation: federation::read(reader, root.as_ref()),
        outgoing: outgoing::read(reader, get("ip_range_blacklist"), get("ip_range_whitelist")),
        module_path: read_module_path(reader, get("module_path")),
        trusted_keys: trusted_keys::read(reader, get("trusted_keys")),
        directory: directory::read(reader, get("directory"), server_name.as_deref()),
        worker_threads: read_worker_threads(reader, get("worker_threads")),
        log: log::read(reader, get("log")),
        server_name: server_name.unwrap_or_default(),
    }
}

fn read_server_name(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<String> {
    let Some(field) = root.get("server_name") else {
        let path = root.path.key("server_name");
        reader.error(&path, "missing; add a line such as \"server_name: example.org\"");
        return None;
    };
    let name = reader.text(&field)?;
    if is_server_name(name) {
        return Some(name.to_owned());
    }
    let message = format!(
        "{name:?} is not a server name; write a DNS name or an IP address, with a port if need be, such as \
         \"example.org\" or \"example.org:8448\""
    );
    reader.refuse(&field, message)
}

fn read_worker_threads(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> NonZeroUsize {
    let threads = field.and_then(|field| reader.integer(&field, 1..=MAX_WORKER_THREADS));
    let threads = threads.and_then(|threads| usize::try_from(threads).ok());
    threads.and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
}

fn read_module_path(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Vec<PathBuf> {
    let Some(directories) = field.and_then(|field| reader.list(&field)) else {
        return Vec::new();
    };
    directories
        .iter()
        .filter_map(|directory| reader.file_path(directory))
        .collect()
}

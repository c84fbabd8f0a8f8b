//! Configs for tests. What is built here is written as JSON, which is YAML too; tests of how a config reads
//! write their own text.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::{SERVER, id_of, token_of};

/// The name of the file that a config is written as.
pub(crate) const CONFIG_FILE: &str = "homeserver.yaml";
/// The name of the admin socket beside it.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";

/// A config of the host.
#[derive(Debug, Clone)]
pub struct Config(Value);

impl Config {
    /// A server without users, on a port of the system's choice.
    pub fn empty() -> Self {
        Self(json!({
            "server_name": SERVER,
            "listeners": [{"port": 0, "bind_addresses": ["127.0.0.1"]}],
        }))
    }

    /// alice and bob share a room; carol, dave, hidden and the gobbler share none.
    pub fn neighbours() -> Self {
        Self::empty()
            .users(&["alice", "bob", "carol", "dave", "hidden", "presence_gobbler"])
            .room("!shared:example.org", &["alice", "bob"])
    }

    /// Adds users by their localparts; [`token_of`] is the token of each.
    #[must_use]
    pub fn users(mut self, names: &[&str]) -> Self {
        let users = self.section(&["directory", "static", "users"]);
        for name in names {
            users.insert(id_of(name), json!({"access_tokens": [token_of(name)]}));
        }
        self
    }

    /// Sets a user's access tokens.
    #[must_use]
    pub fn tokens(mut self, name: &str, tokens: &[&str]) -> Self {
        let users = self.section(&["directory", "static", "users"]);
        users.insert(id_of(name), json!({"access_tokens": tokens}));
        self
    }

    /// Adds a room by the localparts of its members.
    #[must_use]
    pub fn room(mut self, room: &str, members: &[&str]) -> Self {
        let members: Vec<String> = members.iter().map(|name| id_of(name)).collect();
        self.section(&["directory", "static", "rooms"])
            .insert(room.to_owned(), json!(members));
        self
    }

    /// Sets the module, by its path, and its config.
    #[must_use]
    pub fn module(self, path: &Path, config: Value) -> Self {
        self.module_named(path.to_str().expect("the tests' paths are UTF-8"), config)
    }

    /// Sets the module, by what the config is to call it, and its config.
    #[must_use]
    pub fn module_named(mut self, name: &str, config: Value) -> Self {
        let router = self.section(&["presence", "presence_router"]);
        router.insert("module".to_owned(), json!(name));
        router.insert("config".to_owned(), config);
        self
    }

    /// Gives the server an admin socket.
    #[must_use]
    pub fn admin(self) -> Self {
        self.set(&["admin_socket"], json!(ADMIN_SOCKET))
    }

    /// Sets any key, by its path, such as `["presence", "idle_timeout"]`.
    #[must_use]
    pub fn set(mut self, path: &[&str], value: Value) -> Self {
        let (key, section) = path.split_last().expect("a path has a key");
        self.section(section).insert((*key).to_owned(), value);
        self
    }

    /// Sets what a mapping says, key by key; sections that both have are joined.
    #[must_use]
    pub fn join(mut self, other: &Map<String, Value>) -> Self {
        join(
            self.0.as_object_mut().expect("a test's sections are mappings"),
            other,
        );
        self
    }

    /// Writes it as `homeserver.yaml`.
    pub fn write_into(&self, directory: &Path) -> PathBuf {
        write_yaml(directory, &format!("{:#}\n", self.0))
    }

    fn section(&mut self, path: &[&str]) -> &mut Map<String, Value> {
        let mut section = &mut self.0;
        for key in path {
            section = section
                .as_object_mut()
                .expect("a test's sections are mappings")
                .entry((*key).to_owned())
                .or_insert_with(|| json!({}));
        }
        section.as_object_mut().expect("a test's sections are mappings")
    }
}

/// Puts what `other` says into `section`; what both have as mappings is joined.
pub(crate) fn join(section: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (key, value) in other {
        match (section.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => join(inner, value),
            _ => {
                section.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Writes any text as `homeserver.yaml`.
pub fn write_yaml(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join(CONFIG_FILE);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

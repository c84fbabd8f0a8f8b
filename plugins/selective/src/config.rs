//! The keys under `config:`, what serde cannot check about them, and the rules that they make. Knows nothing of look-ups.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use presence_router_api::{ConfigError, deserialize_duration, is_server_name};
use serde::Deserialize;

const MIN_CACHE_TTL: Duration = Duration::from_secs(1);
const MAX_CACHE_TTL: Duration = Duration::from_secs(60 * 60);
/// The longest room id, in bytes, by the Matrix specification.
const MAX_ROOM_ID_BYTES: usize = 255;

/// The keys under `config:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether presence is sent to this server's users alone. Default: false.
    #[serde(default)]
    pub(crate) local_only: bool,
    /// The other servers to whose users presence is sent. Default: all.
    #[serde(default)]
    pub(crate) allowed_servers: Option<Vec<String>>,
    /// Rooms with more members do not count. At least 2. Default: no limit.
    #[serde(default)]
    pub(crate) max_room_members: Option<usize>,
    /// Rooms that do not count. Default: none.
    #[serde(default)]
    pub(crate) excluded_rooms: Vec<String>,
    /// How long the host's answer about who is in which room is used: 1 second to 1 hour. Default: 10 seconds.
    #[serde(default = "default_cache_ttl", deserialize_with = "deserialize_duration")]
    pub(crate) cache_ttl: Duration,
}

fn default_cache_ttl() -> Duration {
    Duration::from_secs(10)
}

impl Config {
    /// What can be said about the config without knowing the server.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, message: &str| Err(ConfigError::new(key, message));
        if self.local_only && self.allowed_servers.is_some() {
            let message =
                "contradicts `local_only: true`, which allows no other server; remove one of the two";
            return refuse("allowed_servers", message);
        }
        for (index, server) in self.allowed_servers.iter().flatten().enumerate() {
            if !is_server_name(server) {
                let message = format!("{server:?} is not a server name, such as \"example.org\"");
                return refuse(&format!("allowed_servers[{index}]"), &message);
            }
        }
        if self.max_room_members.is_some_and(|most| most < 2) {
            let message = "has to be at least 2; remove the key for rooms of any size";
            return refuse("max_room_members", message);
        }
        for (index, room) in self.excluded_rooms.iter().enumerate() {
            if !room.starts_with('!') || room.len() < 2 || room.len() > MAX_ROOM_ID_BYTES {
                let message = format!(
                    "{room:?} is not a room id: it starts with '!', as in \"!big:example.org\", and has at most \
                     {MAX_ROOM_ID_BYTES} bytes; an alias such as \"#big:example.org\" is none"
                );
                return refuse(&format!("excluded_rooms[{index}]"), &message);
            }
        }
        if !(MIN_CACHE_TTL..=MAX_CACHE_TTL).contains(&self.cache_ttl) {
            return refuse("cache_ttl", "has to be from 1s to 1h");
        }
        Ok(())
    }
}

/// Where a user is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// This server.
    Us,
    /// Another server.
    Others,
}

/// What the config says about rooms and recipients, ready to be asked.
#[derive(Debug)]
pub(crate) struct Rules {
    server_name: String,
    /// All, when there is no set.
    allowed_servers: Option<HashSet<String>>,
    max_room_members: usize,
    excluded_rooms: HashSet<String>,
}

impl Rules {
    pub(crate) fn new(config: Config, server_name: &str) -> Self {
        let allowed = if config.local_only {
            Some(Vec::new())
        } else {
            config.allowed_servers
        };
        Self {
            server_name: server_name.to_owned(),
            allowed_servers: allowed.map(|servers| servers.into_iter().collect()),
            max_room_members: config.max_room_members.unwrap_or(usize::MAX),
            excluded_rooms: config.excluded_rooms.into_iter().collect(),
        }
    }

    pub(crate) fn origin(&self, user_id: &str) -> Origin {
        if server_of(user_id) == self.server_name {
            Origin::Us
        } else {
            Origin::Others
        }
    }

    /// Whether this server's users' presence may be sent to a user.
    pub(crate) fn may_receive(&self, user_id: &str) -> bool {
        let allowed = self.allowed_servers.as_ref();
        self.origin(user_id) == Origin::Us
            || allowed.is_none_or(|servers| servers.contains(server_of(user_id)))
    }

    /// Whether a recipient may be sent a user's presence, if they share a room that counts. What another server's user does
    /// is told to this server's users alone: that server tells its others.
    pub(crate) fn may_see(&self, recipient: &str, user_id: &str) -> bool {
        match self.origin(user_id) {
            Origin::Us => self.may_receive(recipient),
            Origin::Others => self.origin(recipient) == Origin::Us,
        }
    }

    pub(crate) fn counts(&self, room: &str) -> bool {
        !self.excluded_rooms.contains(room)
    }

    pub(crate) fn is_too_large(&self, members: usize) -> bool {
        members > self.max_room_members
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.allowed_servers {
            None => f.write_str("users of every server receive it")?,
            Some(servers) if servers.is_empty() => f.write_str("only users of this server receive it")?,
            Some(servers) => write!(
                f,
                "users of this server and of {} others receive it",
                servers.len()
            )?,
        }
        if self.max_room_members < usize::MAX {
            write!(
                f,
                ", rooms of more than {} members do not count",
                self.max_room_members
            )?;
        }
        write!(f, ", {} rooms are excluded", self.excluded_rooms.len())
    }
}

fn server_of(user_id: &str) -> &str {
    user_id.split_once(':').map_or("", |(_, server)| server)
}

#[cfg(test)]
mod tests {
    use presence_router_api::testing::Harness;

    use crate::Selective;

    #[test]
    fn bad_configs_are_refused_with_their_key() {
        let cases = [
            (r#"{"local_only": "yes"}"#, "local_only: invalid type"),
            (
                r#"{"local_only": true, "allowed_servers": ["a.example"]}"#,
                "allowed_servers: contradicts",
            ),
            (
                r#"{"allowed_servers": ["a.example", "https://b.example"]}"#,
                "allowed_servers[1]: \"https://b.example\" is not a server name",
            ),
            (
                r#"{"allowed_servers": "a.example"}"#,
                "allowed_servers: invalid type",
            ),
            (
                r#"{"max_room_members": 1}"#,
                "max_room_members: has to be at least 2",
            ),
            (r#"{"max_room_members": -5}"#, "max_room_members: invalid value"),
            (
                r##"{"excluded_rooms": ["!a:x", "#b:x"]}"##,
                "excluded_rooms[1]: \"#b:x\" is not a room id",
            ),
            (r#"{"cache_ttl": "0s"}"#, "cache_ttl: has to be from 1s to 1h"),
            (r#"{"cache_ttl": "61m"}"#, "cache_ttl: has to be from 1s to 1h"),
            (r#"{"max_members": 5}"#, "max_members: unknown field"),
        ];
        for (config, expected) in cases {
            let error = Harness::check_config::<Selective>(config)
                .expect_err(config)
                .to_string();
            assert!(error.starts_with(expected), "{config}: {error}");
        }
    }

    #[test]
    fn good_configs_are_taken() {
        for config in [
            "{}",
            r#"{"local_only": true, "max_room_members": 2, "cache_ttl": "1m"}"#,
            r#"{"allowed_servers": ["a.example:8448", "[::1]"], "excluded_rooms": ["!a:x", "!with-no-domain"]}"#,
        ] {
            assert_eq!(Harness::check_config::<Selective>(config), Ok(()), "{config}");
        }
    }
}

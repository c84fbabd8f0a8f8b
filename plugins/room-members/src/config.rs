//! The keys under `config:`, and what serde cannot check about them. Knows nothing of routing.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use presence_router_api::{ConfigError, UserId, deserialize_duration};
use serde::Deserialize;

/// The shortest time between two looks at the rooms.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// The longest. Beyond, a new member would wait for their first presence until nobody remembers why.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How many rooms there may be: each is asked for at each look.
const MAX_ROOMS: usize = 1_000;
/// The longest room id, in bytes, by the Matrix specification.
const MAX_ROOM_ID_BYTES: usize = 255;

/// The keys under `config:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For each room, the users whose presence its members see. Required; at most 1,000 rooms.
    pub(crate) rooms: BTreeMap<String, Vec<UserId>>,
    /// How often the members of the rooms are looked up: 1 second to 1 day. Default: 30 seconds.
    #[serde(default = "default_interval", deserialize_with = "deserialize_duration")]
    pub(crate) interval: Duration,
}

fn default_interval() -> Duration {
    Duration::from_secs(30)
}

impl Config {
    /// What can be said about the config without knowing the server.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&self.interval) {
            return Err(ConfigError::new("interval", "has to be from 1s to 1d"));
        }
        if self.rooms.is_empty() {
            return Err(ConfigError::new(
                "rooms",
                "there is no room; name one and its users, or remove the module",
            ));
        }
        if self.rooms.len() > MAX_ROOMS {
            return Err(ConfigError::new(
                "rooms",
                format!("{} rooms, {MAX_ROOMS} are allowed", self.rooms.len()),
            ));
        }
        for (room, users) in &self.rooms {
            let key = format!("rooms.{room}");
            if !room.starts_with('!') || room.len() < 2 || room.len() > MAX_ROOM_ID_BYTES {
                let message = format!(
                    "{room:?} is not a room id: it starts with '!', as in \"!support:example.org\", and has at most \
                     {MAX_ROOM_ID_BYTES} bytes; an alias such as \"#support:example.org\" is none"
                );
                return Err(ConfigError::new(key, message));
            }
            if users.is_empty() {
                return Err(ConfigError::new(
                    key,
                    "the list is empty; name whose presence the members see, or remove the room",
                ));
            }
            let mut seen = HashSet::new();
            if let Some(index) = users.iter().position(|user| !seen.insert(user)) {
                return Err(ConfigError::new(
                    format!("{key}[{index}]"),
                    format!("{:?} is listed twice; remove one", users[index].as_str()),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::testing::Harness;

    use crate::RoomMembers;

    #[test]
    fn bad_configs_are_refused_with_their_key() {
        let cases = [
            ("{}", "missing field `rooms`"),
            (r#"{"rooms": {}}"#, "rooms: there is no room"),
            (
                r##"{"rooms": {"#r:x": ["@a:x"]}}"##,
                "rooms.#r:x: \"#r:x\" is not a room id",
            ),
            (r#"{"rooms": {"!": ["@a:x"]}}"#, "rooms.!: \"!\" is not a room id"),
            (r#"{"rooms": {"!r:x": []}}"#, "rooms.!r:x: the list is empty"),
            (
                r#"{"rooms": {"!r:x": ["@a:x", "bob"]}}"#,
                "rooms.!r:x[1]: \"bob\" is not a user id",
            ),
            (
                r#"{"rooms": {"!r:x": ["@a:x", "@a:x"]}}"#,
                "rooms.!r:x[1]: \"@a:x\" is listed twice",
            ),
            (
                r#"{"rooms": {"!r:x": ["@a:x"]}, "interval": "often"}"#,
                "interval: \"often\" is not a duration",
            ),
            (
                r#"{"rooms": {"!r:x": ["@a:x"]}, "interval": 999}"#,
                "interval: has to be from 1s to 1d",
            ),
            (
                r#"{"rooms": {"!r:x": ["@a:x"]}, "interval": "2d"}"#,
                "interval: has to be from 1s to 1d",
            ),
            (
                r#"{"rooms": {"!r:x": ["@a:x"]}, "users": []}"#,
                "users: unknown field",
            ),
        ];
        for (config, expected) in cases {
            let error = Harness::check_config::<RoomMembers>(config)
                .expect_err(config)
                .to_string();
            assert!(error.starts_with(expected), "{config}: {error}");
        }
    }

    #[test]
    fn no_more_rooms_than_allowed() {
        let config = |rooms: usize| {
            let rooms: Vec<String> = (0..rooms).map(|n| format!(r#""!{n}:x": ["@a:x"]"#)).collect();
            format!(r#"{{"rooms": {{{}}}}}"#, rooms.join(", "))
        };
        let check = |rooms| Harness::check_config::<RoomMembers>(&config(rooms));
        assert_eq!(check(1_000), Ok(()));
        let error = check(1_001).expect_err("too many").to_string();
        assert_eq!(error, "rooms: 1001 rooms, 1000 are allowed");
    }
}

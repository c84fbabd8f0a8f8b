//! A module's configuration: the mapping under `config:` in the host's file.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::abi::failure::Failure;

/// The mapping under `config:`, before it is checked. YAML and JSON are the same here: it has crossed as JSON. Without
/// a `config:` it is an empty mapping.
///
/// ```
/// use presence_router_api::{ConfigValue, UserId};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Config {
///     friends: Vec<UserId>,
/// }
///
/// let value = ConfigValue::from_json(r#"{"friends": ["@alice:example.org", "bob"]}"#)?;
/// let error = value.parse::<Config>().err().expect("bob is not a user id");
/// assert_eq!(error.path(), "friends[1]");
/// # Ok::<(), presence_router_api::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigValue(serde_json::Value);

impl ConfigValue {
    /// Reads JSON text, the form in which a config crosses the boundary.
    ///
    /// # Errors
    /// When the text is not JSON; the path is empty.
    pub fn from_json(json: &str) -> Result<Self, ConfigError> {
        serde_json::from_str(json)
            .map(Self)
            .map_err(|error| ConfigError::new("", format!("the config is not JSON: {error}")))
    }

    /// Deserializes the whole mapping.
    ///
    /// # Errors
    /// When it is no mapping, or serde refuses it. The error names the key at fault.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        if !self.0.is_object() {
            // serde would read a list as a struct's fields in their order.
            return Err(ConfigError::new(
                "",
                "the config is not a mapping of keys to values",
            ));
        }
        serde_path_to_error::deserialize(self.0).map_err(|error| {
            let path = error.path().to_string();
            let message = error.into_inner().to_string();
            ConfigError {
                path: if path == "." { String::new() } else { path },
                message,
            }
        })
    }

    /// The value itself, for a module that reads it by hand.
    pub fn as_json(&self) -> &serde_json::Value {
        &self.0
    }
}

impl From<serde_json::Value> for ConfigValue {
    fn from(value: serde_json::Value) -> Self {
        Self(value)
    }
}

/// What is wrong with a module's config, and where.
///
/// The host shows it with the whole key and the line: `presence.presence_router.config.friends[1]: "bob"
/// is not a user id … (homeserver.yaml:14)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    message: String,
}

impl ConfigError {
    /// An error at `path`, a key of the module's config such as `friends[1]` or `limits.users`; empty for
    /// the config as a whole. The message is lower case, has no full stop, and says what to do.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }

    /// The key at fault, within the module's config, such as `friends[1]`; empty for the config as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong with it, and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            path: error.path.into(),
            ..Self::error(error.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;
    use crate::user_id::UserId;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors of deserializing it are looked at")]
    struct Config {
        users: Vec<UserId>,
        #[serde(default)]
        by_room: HashMap<String, Vec<UserId>>,
    }

    fn check(json: &str) -> String {
        ConfigValue::from_json(json)
            .and_then(ConfigValue::parse::<Config>)
            .expect_err(json)
            .to_string()
    }

    #[test]
    fn an_error_names_the_key_and_the_index() {
        insta::assert_snapshot!(check(r#"{"users": ["@a:b", 5]}"#), @"users[1]: invalid type: integer `5`, expected a string");
        insta::assert_snapshot!(
            check(r#"{"users": [], "by_room": {"!r:x": ["@a:b", "bob"]}}"#),
            @r#"by_room.!r:x[1]: "bob" is not a user id: it does not start with '@', as in "@alice:example.org""#
        );
        insta::assert_snapshot!(check(r#"{"users": [], "usrs": 1}"#), @"usrs: unknown field `usrs`, expected `users` or `by_room`");
        insta::assert_snapshot!(check("{}"), @"missing field `users`");
        insta::assert_snapshot!(check("nonsense"), @"the config is not JSON: expected ident at line 1 column 2");
    }
}

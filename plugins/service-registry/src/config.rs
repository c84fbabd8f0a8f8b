//! The keys under `config:`, and what serde cannot check about them. Knows nothing of polling and routing.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use presence_router_api::{ConfigError, Http, UserId, deserialize_duration};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that a service is kept without being listed again.
pub(crate) const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const MAX_HEADERS: usize = 32;
const MAX_URL_BYTES: usize = 2_048;

/// The keys under `config:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the registry is asked, by `GET`: `http://` or `https://`. Required.
    pub(crate) url: String,
    /// How often it is asked: 1 second to 1 day. Default: 30 seconds.
    #[serde(default = "default_interval", deserialize_with = "deserialize_duration")]
    pub(crate) interval: Duration,
    /// How long a service is kept after it was last listed, where the registry does not say: longer than the
    /// interval, at most 30 days. Default: 5 minutes.
    #[serde(default = "default_ttl", deserialize_with = "deserialize_duration")]
    pub(crate) ttl: Duration,
    /// By when the registry has to have answered: at most 1 minute. Default: 10 seconds.
    #[serde(default = "default_timeout", deserialize_with = "deserialize_duration")]
    pub(crate) timeout: Duration,
    /// Headers to send along, such as a token. Default: none.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Secret>,
    /// Users whose updates the services do not receive. Default: none.
    #[serde(default)]
    pub(crate) blacklisted_users: HashSet<UserId>,
}

fn default_interval() -> Duration {
    Duration::from_secs(30)
}

fn default_ttl() -> Duration {
    Duration::from_secs(5 * 60)
}

fn default_timeout() -> Duration {
    Http::DEFAULT_TIMEOUT
}

impl Config {
    /// What can be said about the config without asking the registry.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, message: &str| Err(ConfigError::new(key, message));
        if let Err(message) = check_url(&self.url) {
            return refuse("url", message);
        }
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&self.interval) {
            return refuse("interval", "has to be from 1s to 1d");
        }
        if self.ttl <= self.interval {
            let message = "has to be longer than `interval`, or one failed poll would end every service";
            return refuse("ttl", message);
        }
        if self.ttl > MAX_TTL {
            return refuse("ttl", "has to be at most 30d");
        }
        if self.timeout.is_zero() || self.timeout > Http::MAX_TIMEOUT {
            return refuse("timeout", "has to be longer than 0 and at most 1m");
        }
        if self.headers.len() > MAX_HEADERS {
            return refuse("headers", "are too many; 32 are allowed");
        }
        for (name, value) in &self.headers {
            let key = format!("headers.{name}");
            if name.is_empty() || !name.bytes().all(is_of_a_token) {
                return refuse(&key, "is not the name of a header");
            }
            if !value
                .0
                .bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_graphic())
            {
                // The value is not shown: it is a secret.
                return refuse(
                    &key,
                    "the value may hold letters, digits, signs and spaces of ASCII only",
                );
            }
        }
        Ok(())
    }
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err("has to start with https:// or http://");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with(':') {
        return Err("names no host");
    }
    if authority.contains('@') {
        return Err("may hold no user and password; send them by `headers`, which are kept secret");
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("may hold no spaces and no letters beyond ASCII; percent-encode them");
    }
    if url.len() > MAX_URL_BYTES {
        return Err("is too long; 2048 bytes are allowed");
    }
    Ok(())
}

/// Whether a byte may stand in a header's name: a `token` of RFC 9110, section 5.6.2.
fn is_of_a_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A text that no error and no log shows.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret(text.to_owned()))
    }

    // A number that somebody forgot to quote is a secret all the same: serde's own errors would show it.

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(unquoted())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(unquoted())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(unquoted())
    }
}

fn unquoted<E: Error>() -> E {
    E::custom("found a number, expected a string; put it in quotes")
}

#[cfg(test)]
mod tests {
    use presence_router_api::ConfigValue;
    use presence_router_api::testing::Harness;

    use super::*;
    use crate::ServiceRegistry;

    #[track_caller]
    fn refused(config: &str, expected: &str) {
        let error = Harness::check_config::<ServiceRegistry>(config)
            .expect_err(config)
            .to_string();
        assert!(error.starts_with(expected), "{config}: {error}");
    }

    #[test]
    fn bad_configs_are_refused_with_their_key() {
        refused("{}", "missing field `url`");
        refused(
            r#"{"url": "https://r.example/", "urls": 1}"#,
            "urls: unknown field",
        );
        for (url, expected) in [
            ("ftp://r.example/", "url: has to start with https:// or http://"),
            ("r.example", "url: has to start with https:// or http://"),
            ("https://", "url: names no host"),
            ("https:///services", "url: names no host"),
            ("https://:80/", "url: names no host"),
            (
                "https://me:secret@r.example/",
                "url: may hold no user and password",
            ),
            ("https://r.example/a b", "url: may hold no spaces"),
            ("https://r.example/ü", "url: may hold no spaces"),
        ] {
            refused(&format!(r#"{{"url": "{url}"}}"#), expected);
        }
        for (keys, expected) in [
            (r#""interval": "999ms""#, "interval: has to be from 1s to 1d"),
            (
                r#""interval": "25h", "ttl": "2d""#,
                "interval: has to be from 1s to 1d",
            ),
            (r#""interval": true"#, "interval: invalid type: boolean"),
            (r#""ttl": "30s""#, "ttl: has to be longer than `interval`"),
            (r#""ttl": "31d""#, "ttl: has to be at most 30d"),
            (r#""timeout": 0"#, "timeout: has to be longer than 0"),
            (
                r#""timeout": "61s""#,
                "timeout: has to be longer than 0 and at most 1m",
            ),
            (
                r#""headers": {"a b": "x"}"#,
                "headers.a b: is not the name of a header",
            ),
            (r#""headers": {"": "x"}"#, "headers.: is not the name of a header"),
            (
                r#""blacklisted_users": ["bob"]"#,
                "blacklisted_users[0]: \"bob\" is not a user id",
            ),
        ] {
            refused(&format!(r#"{{"url": "https://r.example/", {keys}}}"#), expected);
        }
    }

    #[test]
    fn no_error_shows_a_header_s_value() {
        for value in [
            "4711",
            "-4711",
            "47.11",
            r#""4711\n""#,
            r#""4711ü""#,
            r#"["4711"]"#,
        ] {
            let config = format!(r#"{{"url": "https://r.example/", "headers": {{"x-key": {value}}}}}"#);
            let error = Harness::check_config::<ServiceRegistry>(&config)
                .expect_err(value)
                .to_string();
            assert!(error.starts_with("headers.x-key: "), "{error}");
            assert!(!error.contains("47"), "{error}");
        }
        let config = r#"{"url": "https://r.example/", "headers": {"x-key": "4711"}}"#;
        let config: Config = ConfigValue::from_json(config)
            .and_then(ConfigValue::parse)
            .expect("is a config");
        assert!(!format!("{config:?}").contains("4711"), "{config:?}");
    }

    #[test]
    fn a_good_config_is_taken() {
        for config in [
            r#"{"url": "http://10.0.0.1:8080"}"#,
            r#"{"url": "https://r.example/v1/services?kind=bot", "interval": "1m", "ttl": "2m", "timeout": "60s",
                "headers": {"Authorization": "Bearer a-b.c"}, "blacklisted_users": ["@a:x"]}"#,
        ] {
            assert_eq!(
                Harness::check_config::<ServiceRegistry>(config),
                Ok(()),
                "{config}"
            );
        }
    }
}

//! The keys under `config:`, and what serde cannot check about them. Knows nothing of routing.

use std::collections::{BTreeMap, HashSet};

use presence_router_api::{ConfigError, UserId};
use serde::Deserialize;

/// The keys under `config:`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whom each of these users sees, beyond the people they share a room with. Default: none.
    #[serde(default)]
    pub(crate) sees: BTreeMap<UserId, Vec<UserId>>,
    /// Lists of users who all see each other. Default: none.
    #[serde(default)]
    pub(crate) see_each_other: Vec<Vec<UserId>>,
}

impl Config {
    /// What can be said about the config without knowing the server.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for (viewer, seen) in &self.sees {
            let key = format!("sees.{viewer}");
            if seen.is_empty() {
                return Err(ConfigError::new(
                    key,
                    "the list is empty; name whom they see, or remove the key",
                ));
            }
            if let Some(index) = seen.iter().position(|user| user == viewer) {
                return Err(ConfigError::new(
                    format!("{key}[{index}]"),
                    format!(
                        "{:?} sees their own presence anyway; remove them",
                        viewer.as_str()
                    ),
                ));
            }
            check_unique(&key, seen)?;
        }
        for (number, users) in self.see_each_other.iter().enumerate() {
            let key = format!("see_each_other[{number}]");
            check_unique(&key, users)?;
            if users.len() < 2 {
                return Err(ConfigError::new(
                    key,
                    "it takes two to see each other; add a user, or remove the list",
                ));
            }
        }
        Ok(())
    }
}

fn check_unique(key: &str, users: &[UserId]) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    match users.iter().position(|user| !seen.insert(user)) {
        None => Ok(()),
        Some(index) => Err(ConfigError::new(
            format!("{key}[{index}]"),
            format!("{:?} is listed twice; remove one", users[index].as_str()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::testing::Harness;

    use crate::Pairs;

    #[test]
    fn bad_configs_are_refused_with_their_key() {
        let cases = [
            (r#"{"sees": []}"#, "sees: invalid type"),
            (r#"{"sees": {"alice": ["@b:x"]}}"#, "\"alice\" is not a user id"),
            (
                r#"{"sees": {"@a:x": ["@b:x", "bob"]}}"#,
                "sees.@a:x[1]: \"bob\" is not a user id",
            ),
            (r#"{"sees": {"@a:x": "@b:x"}}"#, "sees.@a:x: invalid type: string"),
            (r#"{"sees": {"@a:x": []}}"#, "sees.@a:x: the list is empty"),
            (
                r#"{"sees": {"@a:x": ["@b:x", "@a:x"]}}"#,
                "sees.@a:x[1]: \"@a:x\" sees their own",
            ),
            (
                r#"{"sees": {"@a:x": ["@b:x", "@c:x", "@b:x"]}}"#,
                "sees.@a:x[2]: \"@b:x\" is listed twice",
            ),
            (
                r#"{"see_each_other": [["@a:x", "@b:x"], ["@c:x"]]}"#,
                "see_each_other[1]: it takes two",
            ),
            (
                r#"{"see_each_other": [["@a:x", "@a:x"]]}"#,
                "see_each_other[0][1]: \"@a:x\" is listed twice",
            ),
            (
                r#"{"see_each_other": ["@a:x", "@b:x"]}"#,
                "see_each_other[0]: invalid type",
            ),
            (r#"{"pairs": []}"#, "pairs: unknown field"),
        ];
        for (config, expected) in cases {
            let error = Harness::check_config::<Pairs>(config)
                .expect_err(config)
                .to_string();
            assert!(error.contains(expected), "{config}: {error}");
        }
    }

    #[test]
    fn good_configs_are_taken() {
        for config in [
            "{}",
            r#"{"sees": {"@a:x": ["@b:y"]}}"#,
            r#"{"see_each_other": [["@a:x", "@b:y"], ["@a:x", "@c:x"]]}"#,
        ] {
            assert_eq!(Harness::check_config::<Pairs>(config), Ok(()), "{config}");
        }
    }
}

//! The keys under `config:`, and what serde cannot check about them. Knows nothing of routing.

use std::collections::{BTreeMap, BTreeSet};

use presence_router_api::{ConfigError, UserId};
use serde::Deserialize;

/// The keys under `config:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For each lead, the members of their team. Required; at least one lead, at least one member each.
    pub(crate) leads: BTreeMap<UserId, Vec<UserId>>,
}

impl Config {
    /// What can be said about the config without knowing the server.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.leads.is_empty() {
            return Err(ConfigError::new(
                "leads",
                "nobody leads; name a lead and their team, or remove the module",
            ));
        }
        for (lead, team) in &self.leads {
            if team.is_empty() {
                return Err(ConfigError::new(
                    format!("leads.{lead}"),
                    "the team is empty; name its members, or remove the lead",
                ));
            }
            let mut seen = BTreeSet::new();
            for (index, member) in team.iter().enumerate() {
                let wrong = if member == lead {
                    "is the lead of this very team, who sees their own presence anyway; remove them"
                } else if seen.insert(member) {
                    continue;
                } else {
                    "is listed twice; remove one"
                };
                return Err(ConfigError::new(
                    format!("leads.{lead}[{index}]"),
                    format!("{:?} {wrong}", member.as_str()),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::{ConfigValue, PresenceRouter};

    use crate::TeamLead;

    fn refusal(json: &str) -> String {
        let value = ConfigValue::from_json(json).expect("the test's JSON is right");
        TeamLead::parse_config(value).expect_err(json).to_string()
    }

    #[test]
    fn bad_configs_are_refused_with_their_key() {
        let cases = [
            ("{}", "missing field `leads`"),
            (r#"{"leads": {}}"#, "leads: nobody leads"),
            (r#"{"leads": [], "x": 1}"#, "leads: invalid type"),
            (
                r#"{"leads": {"@l:a": ["@m:a"]}, "team": 1}"#,
                "team: unknown field",
            ),
            (r#"{"leads": {"lead": ["@m:a"]}}"#, "\"lead\" is not a user id"),
            (r#"{"leads": {"@l:a": []}}"#, "leads.@l:a: the team is empty"),
            (
                r#"{"leads": {"@l:a": ["@m:a", "bob"]}}"#,
                "leads.@l:a[1]: \"bob\" is not a user id",
            ),
            (
                r#"{"leads": {"@l:a": ["@m:a", "@m:a"]}}"#,
                "leads.@l:a[1]: \"@m:a\" is listed twice",
            ),
            (
                r#"{"leads": {"@l:a": ["@l:a"]}}"#,
                "leads.@l:a[0]: \"@l:a\" is the lead",
            ),
        ];
        for (json, expected) in cases {
            let error = refusal(json);
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn a_good_config_is_taken() {
        let value = ConfigValue::from_json(r#"{"leads": {"@l:a": ["@m:a", "@n:b"]}}"#).expect("JSON");
        assert!(TeamLead::parse_config(value).is_ok());
    }
}

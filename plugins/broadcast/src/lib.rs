//! Sends everybody's presence to a fixed list of users, but for that of blacklisted users.
//!
//! ```yaml
//! presence:
//!   presence_router:
//!     module: broadcast
//!     config:
//!       always_send_to_users: ["@presence_gobbler:example.org"]   # receive every update
//!       blacklisted_users: ["@alice:example.com"]                 # whose updates are not broadcast
//! ```
//!
//! Both keys may be left out and are then empty. The blacklist does not touch presence between people who
//! share a room.

#![forbid(unsafe_code)]

use std::collections::HashSet;

use presence_router_api::{
    Audience, ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes,
    StartError, StateUpdates, UserId, export_router,
};
use serde::Deserialize;

/// The keys under `config:`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Users, local or remote, who receive every update.
    #[serde(default)]
    always_send_to_users: Vec<UserId>,
    /// Users whose updates are not broadcast.
    #[serde(default)]
    blacklisted_users: HashSet<UserId>,
}

/// The router.
#[derive(Debug)]
pub struct Broadcast {
    recipients: HashSet<UserId>,
    blacklist: HashSet<UserId>,
    audience: Audience,
}

impl PresenceRouter for Broadcast {
    type Config = Config;

    fn parse_config(config: ConfigValue) -> Result<Config, ConfigError> {
        let config: Config = config.parse()?;
        let mut seen = HashSet::new();
        for (index, user) in config.always_send_to_users.iter().enumerate() {
            if !seen.insert(user) {
                return Err(ConfigError::new(
                    format!("always_send_to_users[{index}]"),
                    format!("{:?} is listed twice; remove one", user.as_str()),
                ));
            }
        }
        Ok(config)
    }

    fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
        let audience = api.register_audience(config.always_send_to_users.iter().cloned())?;
        log::info!(
            "every update goes to {} users, but for those of {} users",
            config.always_send_to_users.len(),
            config.blacklisted_users.len()
        );
        Ok(Self {
            recipients: config.always_send_to_users.into_iter().collect(),
            blacklist: config.blacklisted_users,
            audience,
        })
    }

    async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
        let mut routes = Routes::new();
        let wanted = updates
            .iter()
            .filter(|update| !self.blacklist.contains(update.user_id()));
        routes.send_all(wanted, &self.audience);
        Ok(routes)
    }

    async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
        // `All`: which of all users is then what `get_users_for_states` sends, so the blacklist holds.
        Ok(if self.recipients.contains(user_id) {
            InterestedUsers::All
        } else {
            InterestedUsers::none()
        })
    }
}

export_router!(Broadcast);

#[cfg(test)]
mod tests {
    use presence_router_api::SharedRoomPresence;
    use presence_router_api::testing::{FakeHost, Harness};

    use super::*;

    const CONFIG: &str = r#"{
        "always_send_to_users": ["@gobbler:example.org", "@far:remote.example"],
        "blacklisted_users": ["@hidden:example.org"]
    }"#;

    fn refusal(config: &str) -> String {
        Harness::start::<Broadcast>("example.org", config)
            .err()
            .expect("refused")
            .to_string()
    }

    #[test]
    fn everybody_is_sent_to_the_recipients_but_for_the_blacklisted() {
        let router = Harness::start::<Broadcast>("example.org", CONFIG).expect("starts");
        let sent = router
            .route(["@alice:example.org", "@hidden:example.org"])
            .expect("routes");
        let pairs: Vec<_> = sent.pairs().collect();
        assert_eq!(
            pairs,
            [
                ("@far:remote.example", "@alice:example.org"),
                ("@gobbler:example.org", "@alice:example.org")
            ]
        );
    }

    #[test]
    fn only_the_recipients_are_interested_in_everybody() {
        let router = Harness::start::<Broadcast>("example.org", CONFIG).expect("starts");
        assert_eq!(router.interested("@gobbler:example.org"), Ok(None));
        assert_eq!(router.interested("@alice:example.org"), Ok(Some([].into())));
        router.assert_methods_line_up(
            ["@alice:example.org", "@hidden:example.org"],
            ["@gobbler:example.org", "@alice:example.org", "@bob:example.org"],
        );
    }

    #[test]
    fn who_is_on_both_lists_receives_and_is_not_sent() {
        let both = r#"{"always_send_to_users": ["@a:example.org"], "blacklisted_users": ["@a:example.org"]}"#;
        let router = Harness::start::<Broadcast>("example.org", both).expect("starts");
        let sent = router
            .route(["@a:example.org", "@b:example.org"])
            .expect("routes");
        assert_eq!(
            sent.pairs().collect::<Vec<_>>(),
            [("@a:example.org", "@b:example.org")]
        );
        router.assert_methods_line_up(
            ["@a:example.org", "@b:example.org"],
            ["@a:example.org", "@b:example.org"],
        );
    }

    #[test]
    fn people_who_share_a_room_see_each_other_as_ever() {
        let router = Harness::start::<Broadcast>("example.org", CONFIG).expect("starts");
        assert_eq!(router.shared_room_presence(), SharedRoomPresence::Additive);
    }

    #[test]
    fn an_empty_config_routes_nothing() {
        let router = Harness::start::<Broadcast>("example.org", "{}").expect("starts");
        assert_eq!(
            router
                .route(["@alice:example.org"])
                .expect("routes")
                .pairs()
                .count(),
            0
        );
    }

    #[test]
    fn bad_configs_are_refused_with_their_key() {
        let cases = [
            (
                r#"{"blacklisted_users": ["@a:b", "bob"]}"#,
                "blacklisted_users[1]: \"bob\" is not a user id",
            ),
            (
                r#"{"always_send_to_users": "@a:b"}"#,
                "always_send_to_users: invalid type: string",
            ),
            (
                r#"{"always_send_to_users": [7]}"#,
                "always_send_to_users[0]: invalid type: integer",
            ),
            (
                r#"{"always_send_to_users": ["@a:b", "@a:b"]}"#,
                "always_send_to_users[1]: \"@a:b\" is listed twice",
            ),
            (r#"{"blocklisted_users": []}"#, "blocklisted_users: unknown field"),
            ("[]", "the config is not a mapping"),
        ];
        for (config, expected) in cases {
            let error = refusal(config);
            assert!(error.starts_with(expected), "{config}: {error}");
        }
    }

    #[test]
    fn a_host_that_refuses_audiences_is_a_start_error_not_a_panic() {
        let host = FakeHost::new("example.org");
        host.refuse_audiences();
        let error = Harness::start_on::<Broadcast>(&host, "{}")
            .err()
            .expect("refused");
        assert!(!error.panicked, "{error}");
    }

    #[test]
    fn shutdown_releases_the_audience() {
        let router = Harness::start::<Broadcast>("example.org", CONFIG).expect("starts");
        let host = router.shutdown().expect("shuts down");
        assert_eq!(host.audience_count(), 0);
    }
}

//! Shows chosen users the presence of other chosen users, pair by pair.
//!
//! ```yaml
//! presence:
//!   presence_router:
//!     module: pairs
//!     config:
//!       sees:               # alice sees bob and charlie; they do not see her by this
//!         "@alice:example.org": ["@bob:example.com", "@charlie:somewhere.org"]
//!       see_each_other:     # each sees the others of the list
//!         - ["@dora:example.org", "@emil:example.org"]
//! ```
//!
//! Both keys may be left out. Who shares a room sees each other as ever.

#![forbid(unsafe_code)]

mod config;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use presence_router_api::{
    ApiError, Audience, ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, RouterError,
    Routes, StartError, StateUpdates, UserId, export_router,
};

pub use crate::config::Config;

/// The router.
#[derive(Debug, Default)]
pub struct Pairs {
    /// For each user who is seen, those who see them.
    viewers_of: HashMap<UserId, Vec<Audience>>,
    /// For each user who sees, those whom they see. The members of a list in `see_each_other` share it.
    seen_by: HashMap<UserId, Vec<Arc<[UserId]>>>,
}

impl PresenceRouter for Pairs {
    type Config = Config;

    fn parse_config(config: ConfigValue) -> Result<Config, ConfigError> {
        let config: Config = config.parse()?;
        config.check()?;
        Ok(config)
    }

    fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
        let mut router = Self::default();
        log::info!(
            "{} users see chosen others, and {} lists of users see each other",
            config.sees.len(),
            config.see_each_other.len()
        );
        router.add_sees(config.sees, &api)?;
        for users in config.see_each_other {
            router.add_list(&users.into(), &api)?;
        }
        Ok(router)
    }

    async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
        let mut routes = Routes::new();
        for update in updates {
            for viewers in self.viewers_of.get(update.user_id()).into_iter().flatten() {
                routes.send(update, viewers);
            }
        }
        Ok(routes)
    }

    async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
        let lists = self.seen_by.get(user_id).into_iter().flatten();
        Ok(lists
            .flat_map(|list| list.iter())
            .filter(|user| *user != user_id)
            .cloned()
            .collect())
    }
}

export_router!(Pairs);

impl Pairs {
    fn add_sees(&mut self, sees: BTreeMap<UserId, Vec<UserId>>, api: &ModuleApi) -> Result<(), ApiError> {
        let mut viewers_of: BTreeMap<UserId, Vec<UserId>> = BTreeMap::new();
        for (viewer, seen) in sees {
            for user in &seen {
                viewers_of.entry(user.clone()).or_default().push(viewer.clone());
            }
            self.seen_by.entry(viewer).or_default().push(seen.into());
        }
        // Users who are seen by the same people share an audience.
        let mut audiences: HashMap<Vec<UserId>, Audience> = HashMap::new();
        for (user, viewers) in viewers_of {
            let audience = if let Some(audience) = audiences.get(&viewers) {
                audience.clone()
            } else {
                let audience = api.register_audience(viewers.iter().cloned())?;
                audiences.insert(viewers, audience.clone());
                audience
            };
            self.viewers_of.entry(user).or_default().push(audience);
        }
        Ok(())
    }

    fn add_list(&mut self, users: &Arc<[UserId]>, api: &ModuleApi) -> Result<(), ApiError> {
        let audience = api.register_audience(users.iter().cloned())?;
        for user in users.iter() {
            let viewers = self.viewers_of.entry(user.clone()).or_default();
            viewers.push(audience.clone());
            let seen = self.seen_by.entry(user.clone()).or_default();
            seen.push(Arc::clone(users));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::SharedRoomPresence;
    use presence_router_api::testing::{FakeHost, Harness, Routed};

    use super::*;

    /// The example of Synapse's page on presence router callbacks.
    const ONE_WAY: &str =
        r#"{"sees": {"@alice:example.org": ["@bob:example.com", "@charlie:somewhere.org"]}}"#;

    const USERS: [&str; 6] = [
        "@alice:example.org",
        "@bob:example.com",
        "@charlie:somewhere.org",
        "@dora:example.org",
        "@emil:example.org",
        "@eve:example.org",
    ];

    fn start(config: &str) -> Harness {
        Harness::start::<Pairs>("example.org", config).expect("starts")
    }

    /// Pairs of who sees and who is seen; oneself left out.
    fn pairs(sent: &Routed) -> Vec<(&str, &str)> {
        sent.pairs().filter(|(viewer, user)| viewer != user).collect()
    }

    #[test]
    fn who_sees_is_not_seen_by_that() {
        let router = start(ONE_WAY);
        let sent = router.route(USERS).expect("routes");
        assert_eq!(
            pairs(&sent),
            [
                ("@alice:example.org", "@bob:example.com"),
                ("@alice:example.org", "@charlie:somewhere.org"),
            ]
        );
        assert_eq!(router.interested("@bob:example.com"), Ok(Some([].into())));
        router.assert_methods_line_up(USERS, USERS);
    }

    #[test]
    fn the_users_of_a_list_see_each_other_and_nobody_else() {
        let router = start(r#"{"see_each_other": [["@dora:example.org", "@emil:example.org"]]}"#);
        let sent = router.route(USERS).expect("routes");
        assert_eq!(
            pairs(&sent),
            [
                ("@dora:example.org", "@emil:example.org"),
                ("@emil:example.org", "@dora:example.org"),
            ]
        );
        let interested = router.interested("@dora:example.org");
        assert_eq!(interested, Ok(Some(["@emil:example.org".to_owned()].into())));
        router.assert_methods_line_up(USERS, USERS);
    }

    #[test]
    fn what_stands_in_several_places_adds_up() {
        let router = start(
            r#"{
                "sees": {
                    "@eve:example.org": ["@alice:example.org", "@dora:example.org"],
                    "@alice:example.org": ["@dora:example.org"]
                },
                "see_each_other": [
                    ["@alice:example.org", "@dora:example.org"],
                    ["@dora:example.org", "@emil:example.org", "@bob:example.com"]
                ]
            }"#,
        );
        let sent = router.route(["@dora:example.org"]).expect("routes");
        assert_eq!(
            pairs(&sent),
            [
                ("@alice:example.org", "@dora:example.org"),
                ("@bob:example.com", "@dora:example.org"),
                ("@emil:example.org", "@dora:example.org"),
                ("@eve:example.org", "@dora:example.org"),
            ]
        );
        router.assert_methods_line_up(USERS, USERS);
    }

    #[test]
    fn people_who_share_a_room_see_each_other_as_ever() {
        assert_eq!(
            start(ONE_WAY).shared_room_presence(),
            SharedRoomPresence::Additive
        );
    }

    #[test]
    fn users_with_the_same_viewers_share_an_audience_and_shutdown_releases_it() {
        let router = start(ONE_WAY);
        assert_eq!(router.host().audience_count(), 1);
        let host = router.shutdown().expect("shuts down");
        assert_eq!(host.audience_count(), 0);
    }

    #[test]
    fn a_host_that_refuses_audiences_is_a_start_error_not_a_panic() {
        let host = FakeHost::new("example.org");
        host.refuse_audiences();
        for config in [ONE_WAY, r#"{"see_each_other": [["@a:x", "@b:x"]]}"#] {
            let error = Harness::start_on::<Pairs>(&host, config).err().expect("refused");
            assert!(!error.panicked, "{error}");
        }
    }
}

//! Team leads see the presence of the members of their teams, whether or not they share a room.
//!
//! ```yaml
//! presence:
//!   presence_router:
//!     module: ./target/release/libteam_lead.so
//!     config:
//!       leads:
//!         "@lead:example.org": ["@member:example.org", "@colleague:remote.example"]
//! ```
//!
//! A lead is a user of this server; members may be on any. A lead who is a member of another lead's team is
//! seen by that lead. Who shares a room sees each other as ever.

#![forbid(unsafe_code)]

mod config;

use std::collections::{BTreeMap, HashMap, HashSet};

use presence_router_api::{
    Audience, ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes,
    StartError, StateUpdates, UserId, export_router,
};

pub use crate::config::Config;

/// The router.
#[derive(Debug)]
pub struct TeamLead {
    /// For each member, the leads who see them, as the host keeps them.
    leads_of: HashMap<UserId, Audience>,
    /// For each lead, the members of their team.
    team_of: HashMap<UserId, HashSet<UserId>>,
}

impl PresenceRouter for TeamLead {
    type Config = Config;

    fn parse_config(config: ConfigValue) -> Result<Config, ConfigError> {
        let config: Config = config.parse()?;
        config.check()?;
        Ok(config)
    }

    fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
        for lead in config.leads.keys() {
            // Only here and not in `parse_config`: which server this is, the API alone knows.
            if !api.is_mine(lead) {
                return Err(StartError::new(format!(
                    "{lead} is not a user of {}; a lead has to be, remove them from `leads`",
                    api.server_name()
                )));
            }
        }
        let mut leads_of: BTreeMap<UserId, Vec<UserId>> = BTreeMap::new();
        for (lead, team) in &config.leads {
            for member in team {
                leads_of.entry(member.clone()).or_default().push(lead.clone());
            }
        }
        let members = leads_of.len();
        let leads_of = register(leads_of, &api)?;
        tracing::info!(leads = config.leads.len(), members, "team leads are ready");
        Ok(Self {
            leads_of,
            team_of: config
                .leads
                .into_iter()
                .map(|(lead, team)| (lead, team.into_iter().collect()))
                .collect(),
        })
    }

    async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
        let mut routes = Routes::new();
        for update in updates.iter() {
            if let Some(leads) = self.leads_of.get(update.user_id()) {
                routes.send(update, leads);
            }
        }
        Ok(routes)
    }

    async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
        Ok(match self.team_of.get(user_id) {
            Some(team) => InterestedUsers::Users(team.clone()),
            None => InterestedUsers::none(),
        })
    }
}

export_router!(TeamLead);

/// Registers each distinct set of leads once: members of one team share an audience.
fn register(
    leads_of: BTreeMap<UserId, Vec<UserId>>,
    api: &ModuleApi,
) -> Result<HashMap<UserId, Audience>, StartError> {
    let mut audiences: HashMap<Vec<UserId>, Audience> = HashMap::new();
    let mut registered = HashMap::new();
    for (member, leads) in leads_of {
        let audience = match audiences.get(&leads) {
            Some(audience) => audience.clone(),
            None => {
                let audience = api.register_audience(leads.iter().cloned())?;
                audiences.insert(leads, audience.clone());
                audience
            }
        };
        registered.insert(member, audience);
    }
    Ok(registered)
}

#[cfg(test)]
mod tests {
    use presence_router_api::testing::Harness;

    use super::*;

    const TEAMS: &str = r#"{"leads": {
        "@ann:example.org": ["@carol:example.org", "@dave:remote.example"],
        "@ben:example.org": ["@carol:example.org", "@ann:example.org"]
    }}"#;

    fn start(config: &str) -> Result<Harness, String> {
        Harness::start::<TeamLead>("example.org", config).map_err(|error| error.to_string())
    }

    #[test]
    fn leads_see_their_members_and_nobody_else_does() {
        let router = start(TEAMS).expect("starts");
        let routed = router
            .route([
                "@carol:example.org",
                "@dave:remote.example",
                "@ann:example.org",
                "@eve:example.org",
            ])
            .expect("routes");
        let pairs: Vec<_> = routed.pairs().collect();
        assert_eq!(
            pairs,
            [
                ("@ann:example.org", "@carol:example.org"),
                ("@ann:example.org", "@dave:remote.example"),
                ("@ben:example.org", "@ann:example.org"),
                ("@ben:example.org", "@carol:example.org"),
            ]
        );
    }

    #[test]
    fn both_methods_agree() {
        let users = [
            "@ann:example.org",
            "@ben:example.org",
            "@carol:example.org",
            "@dave:remote.example",
            "@eve:example.org",
        ];
        start(TEAMS).expect("starts").assert_methods_line_up(users, users);
    }

    #[test]
    fn members_of_one_team_share_an_audience() {
        let config = r#"{"leads": {"@ann:example.org": ["@a:x", "@b:x", "@c:x"]}}"#;
        let router = start(config).expect("starts");
        assert_eq!(router.host().audience_count(), 1);
        let host = router.shutdown().expect("shuts down");
        assert_eq!(host.audience_count(), 0);
    }

    #[test]
    fn a_lead_of_another_server_is_refused() {
        let error = start(r#"{"leads": {"@ann:other.example": ["@a:x"]}}"#).err();
        let error = error.expect("refused");
        assert!(
            error.starts_with("@ann:other.example is not a user of example.org"),
            "{error}"
        );
    }
}

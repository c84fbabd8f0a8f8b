//! Sends every presence update to the service users that a registry lists over HTTP: bots, bridges, monitors that come
//! and go.
//!
//! ```yaml
//! presence:
//!   presence_router:
//!     module: service_registry
//!     config:
//!       url: https://registry.example.org/services
//!       interval: 30s       # how often the registry is asked
//!       ttl: 5m             # how long a service is kept after it was last listed
//!       headers: {authorization: Bearer a-long-random-text}
//!       blacklisted_users: ["@ceo:example.org"]   # whose updates the services do not receive
//! ```
//!
//! Only `url` is required. People who share a room see each other as ever.

#![forbid(unsafe_code)]

mod answer;
mod config;
mod outcome;
mod registry;
mod services;

use std::sync::Arc;

use presence_router_api::{
    ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes, StartError,
    StateUpdates, UserId, export_router,
};

pub use crate::config::Config;
use crate::registry::Registry;

/// The router.
#[derive(Debug)]
pub struct ServiceRegistry {
    registry: Arc<Registry>,
}

impl PresenceRouter for ServiceRegistry {
    type Config = Config;

    fn parse_config(config: ConfigValue) -> Result<Config, ConfigError> {
        let config: Config = config.parse()?;
        config.check()?;
        Ok(config)
    }

    fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
        log::info!(
            "the services of a registry receive every update, but for those of {} users; asked every {:?}",
            config.blacklisted_users.len(),
            config.interval
        );
        Ok(Self {
            registry: Registry::start(config, &api)?,
        })
    }

    async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
        let mut routes = Routes::new();
        if let Some(recipients) = self.registry.recipients() {
            let wanted = updates
                .iter()
                .filter(|update| !self.registry.is_blacklisted(update.user_id()));
            routes.send_all(wanted, &recipients.audience);
        }
        Ok(routes)
    }

    async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
        // `All`: which of all users is then what `get_users_for_states` sends, so the blacklist holds.
        let recipients = self.registry.recipients();
        Ok(match recipients {
            Some(recipients) if recipients.users.contains(user_id) => InterestedUsers::All,
            _ => InterestedUsers::none(),
        })
    }
}

export_router!(ServiceRegistry);

#[cfg(test)]
mod tests;

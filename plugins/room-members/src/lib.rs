//! Sends the presence of chosen users to the members of chosen rooms, whoever these are at the time.
//!
//! ```yaml
//! presence:
//!   presence_router:
//!     module: room_members
//!     config:
//!       rooms:        # the members of this room see alice and bob, who need not be in it
//!         "!support:example.org": ["@alice:example.org", "@bob:example.org"]
//!       interval: 30s # how often the members are looked up
//! ```
//!
//! Who shares a room with alice or bob sees them as ever.

#![forbid(unsafe_code)]

mod config;
mod members;
mod watch;

use std::sync::Arc;

use presence_router_api::{
    ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes, StartError,
    StateUpdates, UserId, export_router,
};

pub use crate::config::Config;
use crate::watch::Watch;

/// The router.
#[derive(Debug)]
pub struct RoomMembers {
    watch: Arc<Watch>,
}

impl PresenceRouter for RoomMembers {
    type Config = Config;

    fn parse_config(config: ConfigValue) -> Result<Config, ConfigError> {
        let config: Config = config.parse()?;
        config.check()?;
        Ok(config)
    }

    fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
        log::info!(
            "the members of {} rooms see chosen users; looked up every {:?}",
            config.rooms.len(),
            config.interval
        );
        Ok(Self {
            watch: Watch::start(config, &api)?,
        })
    }

    async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
        Ok(self.watch.snapshot().route(updates))
    }

    async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
        Ok(self.watch.snapshot().interested(user_id, self.watch.sent()))
    }
}

export_router!(RoomMembers);

#[cfg(test)]
mod tests;

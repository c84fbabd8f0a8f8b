//! Replaces presence between people who share a room by stricter rules: not by every room, not by large ones, not to every
//! server.
//!
//! ```yaml
//! presence:
//!   presence_router:
//!     module: selective
//!     config:
//!       allowed_servers: [friends.example]        # beside our own; or `local_only: true`
//!       max_room_members: 200                     # larger rooms do not count
//!       excluded_rooms: ["!announcements:example.org"]
//! ```
//!
//! All keys may be left out; then people see each other as without the module.

#![forbid(unsafe_code)]

mod cache;
mod config;
mod join;
mod rooms;

use std::collections::HashMap;
use std::sync::Arc;

use presence_router_api::{
    Audience, ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, PresenceState,
    RouterError, Routes, SharedRoomPresence, StartError, StateUpdates, Update, UserId, export_router,
};

pub use crate::config::Config;
use crate::config::{Origin, Rules};
use crate::rooms::{Room, RoomIds, Rooms};

/// The router.
#[derive(Debug)]
pub struct Selective {
    api: ModuleApi,
    rooms: Rooms,
}

impl PresenceRouter for Selective {
    type Config = Config;

    fn parse_config(config: ConfigValue) -> Result<Config, ConfigError> {
        let config: Config = config.parse()?;
        config.check()?;
        Ok(config)
    }

    fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
        let cache_ttl = config.cache_ttl;
        let rules = Rules::new(config, api.server_name());
        log::info!("presence in shared rooms goes by these rules: {rules}");
        Ok(Self {
            rooms: Rooms::new(api.clone(), rules, cache_ttl),
            api,
        })
    }

    async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
        let rooms_of = self
            .rooms
            .of_users(updates.iter().map(|update| update.user_id()))
            .await?;
        let rooms = self
            .rooms
            .with_ids(rooms_of.values().flat_map(|ids| ids.iter()))
            .await?;
        let mut routes = route(updates, &rooms_of, &rooms, self.rooms.rules());
        self.introduce(&mut routes).await;
        Ok(routes)
    }

    async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
        let rules = self.rooms.rules();
        let ids = self.rooms.of_users([user_id.as_str()]).await?;
        let rooms = self
            .rooms
            .with_ids(ids.values().flat_map(|ids| ids.iter()))
            .await?;
        Ok(rooms
            .values()
            .filter(|room| room.members.contains(user_id))
            .flat_map(|room| &room.members)
            .filter(|member| *member != user_id && rules.may_see(user_id.as_str(), member.as_str()))
            .cloned()
            .collect())
    }

    fn shared_room_presence(&self) -> SharedRoomPresence {
        SharedRoomPresence::Replace
    }
}

export_router!(Selective);

impl Selective {
    /// Sends the states of those who have come into a room to its members, who are told of changes only from then on.
    async fn introduce(&self, routes: &mut Routes) {
        let introductions = self.rooms.take_introductions();
        if introductions.is_empty() {
            return;
        }
        let users = introductions.iter().map(|introduction| introduction.user.clone());
        let states = match self.api.current_state_for_users(users).await {
            Ok(states) => states,
            Err(error) => {
                log::debug!("nobody is told yet who has come into their rooms: {error}");
                return self.rooms.keep_introductions(introductions);
            }
        };
        for (introduction, state) in introductions.iter().zip(states) {
            let origin = self.rooms.rules().origin(introduction.user.as_str());
            if let Some(audience) = introduction.room.audience(origin) {
                // Clients take who is not told of for offline.
                if state.state != PresenceState::Offline {
                    routes.send_state(state, audience);
                }
            }
        }
    }
}

/// Each state to the members of its user's rooms. A room is named once, however many of its members' states there are.
fn route(
    updates: &StateUpdates,
    rooms_of: &HashMap<&str, RoomIds>,
    rooms: &HashMap<Arc<str>, Arc<Room>>,
    rules: &Rules,
) -> Routes {
    let mut by_audience: HashMap<(&str, Origin), (&Audience, Vec<Update<'_>>)> = HashMap::new();
    for update in updates {
        let user = update.user_id();
        let origin = rules.origin(user);
        for id in rooms_of.get(user).into_iter().flat_map(|ids| ids.iter()) {
            // The members decide, in both methods: a user may have left since their rooms were looked up.
            let room = rooms.get(id).filter(|room| room.members.contains(user));
            if let Some(audience) = room.and_then(|room| room.audience(origin)) {
                let (_, updates) = by_audience
                    .entry((id, origin))
                    .or_insert_with(|| (audience, Vec::new()));
                updates.push(update);
            }
        }
    }
    let mut routes = Routes::new();
    for (audience, updates) in by_audience.into_values() {
        routes.send_all(updates, audience);
    }
    routes
}

#[cfg(test)]
mod tests;

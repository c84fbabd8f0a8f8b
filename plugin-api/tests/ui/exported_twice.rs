//! A library has one root symbol.

use presence_router_api::{
    InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes, StartError, StateUpdates, UserId,
};

struct Nobody;

impl PresenceRouter for Nobody {
    type Config = std::collections::HashMap<String, String>;

    fn new(_: Self::Config, _: ModuleApi) -> Result<Self, StartError> {
        Ok(Self)
    }

    async fn get_users_for_states(&self, _: &StateUpdates) -> Result<Routes, RouterError> {
        Ok(Routes::new())
    }

    async fn get_interested_users(&self, _: &UserId) -> Result<InterestedUsers, RouterError> {
        Ok(InterestedUsers::none())
    }
}

presence_router_api::export_router!(Nobody);
presence_router_api::export_routers! { "again" => Nobody }

fn main() {}

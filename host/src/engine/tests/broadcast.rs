//! The module of most tests: sends everybody's presence to a few.

use std::sync::{Arc, OnceLock};

use presence_router_api::{Audience, InterestedUsers, ModuleApi, Routes, StateUpdates, UserId};

use crate::engine::tests::kit::{id, localpart};
use crate::modules::puppet::Puppet;

/// Whom a broadcast goes to, and whose presence it leaves out.
#[derive(Clone, Copy)]
pub(super) struct Broadcast {
    pub(super) to: &'static [&'static str],
    pub(super) but_of: &'static [&'static str],
}

impl Broadcast {
    /// Sends everybody's presence to an audience that is registered once.
    pub(super) fn puppet(self) -> Arc<Puppet> {
        Arc::new(self.plain_puppet())
    }

    /// The same, of which more is to be said.
    pub(super) fn plain_puppet(self) -> Puppet {
        let audience = OnceLock::new();
        Puppet::new(
            move |api, updates| self.route(updates, audience.get_or_init(|| self.audience(api))),
            move |user| self.interested(user),
        )
    }

    /// The same by an audience that is registered for each batch, and released.
    pub(super) fn forgetful_puppet(self) -> Arc<Puppet> {
        Arc::new(Puppet::new(
            move |api, updates| self.route(updates, &self.audience(api)),
            move |user| self.interested(user),
        ))
    }

    pub(super) fn audience(self, api: &ModuleApi) -> Audience {
        api.register_audience(self.to.iter().map(|name| id(name)))
            .expect("registers")
    }

    pub(super) fn route(self, updates: &StateUpdates, audience: &Audience) -> Routes {
        let hidden: Vec<_> = self.but_of.iter().map(|name| id(name)).collect();
        let mut routes = Routes::new();
        let shown = updates
            .iter()
            .filter(|update| hidden.iter().all(|id| id.as_str() != update.user_id()));
        routes.send_all(shown, audience);
        routes
    }

    pub(super) fn interested(self, user: &UserId) -> InterestedUsers {
        if self.to.contains(&localpart(user)) {
            InterestedUsers::All
        } else {
            InterestedUsers::none()
        }
    }
}

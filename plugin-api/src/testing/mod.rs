//! For a module's own tests: a fake host, and a harness that calls a router as the host does.
//!
//! ```
//! # use presence_router_api::{Audience, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes};
//! # use presence_router_api::{StartError, StateUpdates, UserId};
//! # #[derive(serde::Deserialize)] struct Config { to: UserId }
//! # struct ToOne { to: UserId, audience: Audience }
//! # impl PresenceRouter for ToOne {
//! #     type Config = Config;
//! #     fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
//! #         Ok(Self { audience: api.register_audience([config.to.clone()])?, to: config.to })
//! #     }
//! #     async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
//! #         let mut routes = Routes::new();
//! #         routes.send_all(updates.iter(), &self.audience);
//! #         Ok(routes)
//! #     }
//! #     async fn get_interested_users(&self, user: &UserId) -> Result<InterestedUsers, RouterError> {
//! #         Ok(if *user == self.to { InterestedUsers::All } else { InterestedUsers::none() })
//! #     }
//! # }
//! use presence_router_api::testing::Harness;
//!
//! let router = Harness::start::<ToOne>("example.org", r#"{"to": "@carol:example.org"}"#)?;
//! assert!(router.route(["@alice:example.org"])?.sees("@carol:example.org", "@alice:example.org"));
//! router.assert_methods_line_up(["@alice:example.org"], ["@bob:example.org", "@carol:example.org"]);
//! # Ok::<(), presence_router_api::testing::HarnessError>(())
//! ```

mod fake_host;
mod harness;
#[cfg(test)]
mod tests;

use abi_stable::std_types::{RArc, RString, RVec};

pub use fake_host::{FakeHost, Recorded, SentRequest, Service};
pub use harness::{Harness, HarnessError, Routed};

use crate::abi::state::{PresenceState, UserPresenceState};
use crate::updates::StateUpdates;

/// A batch in which these users have just come online: active at [`FakeHost::START_MS`], without a status message. To
/// build a [`Routes`](crate::Routes) in a unit test.
pub fn state_updates<U: Into<RString>>(users: impl IntoIterator<Item = U>) -> StateUpdates {
    StateUpdates::new(RArc::new(online(users)), None)
}

fn online<U: Into<RString>>(users: impl IntoIterator<Item = U>) -> RVec<UserPresenceState> {
    users
        .into_iter()
        .map(|user| UserPresenceState {
            state: PresenceState::Online,
            last_active_ts: FakeHost::START_MS,
            currently_active: true,
            ..UserPresenceState::offline(user)
        })
        .collect()
}

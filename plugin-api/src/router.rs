//! The extension point: what a module implements.

use std::collections::HashSet;
use std::future::Future;

use serde::de::DeserializeOwned;

use crate::abi::router::SharedRoomPresence;
use crate::config::{ConfigError, ConfigValue};
use crate::error::{RouterError, StartError};
use crate::module_api::ModuleApi;
use crate::routes::Routes;
use crate::updates::StateUpdates;
use crate::user_id::UserId;

/// Decides who, beyond the people who share a room, sees whose presence.
///
/// This page is a guide to writing a module. It builds one that sends everybody's presence to the members of
/// a support team, step by step; the pieces together compile.
///
/// # 1. A crate that builds one shared library
///
/// ```toml
/// [package]
/// name = "support-team"
/// version = "0.1.0"
/// description = "The support team sees everybody's presence"   # shown by `presence-router inspect`
/// edition = "2024"
///
/// [lib]
/// crate-type = ["cdylib", "rlib"]      # the cdylib is shipped, the rlib is for your tests
///
/// [dependencies]
/// presence-router-api = "0.1"
/// serde = { version = "1", features = ["derive"] }
/// log = "0.4"                          # or tracing, with its feature "log"
///
/// [dev-dependencies]
/// presence-router-api = { version = "0.1", features = ["testing"] }
/// ```
///
/// A module needs no async runtime: its futures run on one that the host keeps for it. Leave the panic
/// strategy at its default, `unwind`; the host refuses a library built with `panic = "abort"`, as it could
/// not survive a panic in it.
///
/// # 2. The configuration
///
/// A type that serde can read. The host checks it before anything starts, and tells the operator the key and
/// the line: a [`UserId`] that is none, a missing key, and with `deny_unknown_fields` a key that you do not know.
/// For more, implement [`parse_config`](Self::parse_config) yourself.
///
/// ```
/// # use presence_router_api::UserId;
/// # use serde::Deserialize;
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// pub struct Config {
///     team: Vec<UserId>,
/// }
/// ```
///
/// # 3. The router
///
/// [`get_users_for_states`](Self::get_users_for_states) is asked where a batch of changed states goes.
/// [`get_interested_users`](Self::get_interested_users) is asked whose presence a user may see: when they
/// sync for the first time, when they catch up, and when they ask for one user's presence. The two are sides of
/// one coin: **if a state of A is sent to B, then B must be interested in A, and the other way round.** A module
/// whose methods disagree shows people as online in one place and not in another.
///
/// ```
/// # use presence_router_api::UserId;
/// # #[derive(serde::Deserialize)] pub struct Config { team: Vec<UserId> }
/// use std::collections::HashSet;
///
/// use presence_router_api::{
///     Audience, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes, StartError, StateUpdates,
///     export_router,
/// };
///
/// pub struct SupportTeam {
///     team: HashSet<UserId>,
///     audience: Audience,
/// }
///
/// impl PresenceRouter for SupportTeam {
///     type Config = Config;
///
///     fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
///         // The host keeps the list; answers name it by a handle.
///         let audience = api.register_audience(config.team.iter().cloned())?;
///         Ok(Self { team: config.team.into_iter().collect(), audience })
///     }
///
///     async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
///         let mut routes = Routes::new();
///         routes.send_all(updates.iter(), &self.audience);
///         Ok(routes)
///     }
///
///     async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
///         Ok(if self.team.contains(user_id) { InterestedUsers::All } else { InterestedUsers::none() })
///     }
/// }
///
/// export_router!(SupportTeam);
///
/// // A unit test, without a host and without dlopen:
/// # #[cfg(feature = "testing")] {
/// use presence_router_api::testing::Harness;
///
/// let router = Harness::start::<SupportTeam>("example.org", r#"{"team": ["@carol:example.org"]}"#)?;
/// let routed = router.route(["@alice:example.org"])?;
/// assert!(routed.sees("@carol:example.org", "@alice:example.org"));
/// assert!(!routed.sees("@bob:example.org", "@alice:example.org"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # 4. Build, look, run
///
/// ```text
/// cargo build --release
/// presence-router inspect target/release/libsupport_team.so     # reads it, runs nothing
/// presence-router check -c homeserver.yaml                      # config and module, starts nothing
/// presence-router run -c homeserver.yaml
/// ```
///
/// with, in `homeserver.yaml`:
///
/// ```yaml
/// presence:
///   presence_router:
///     module: ./target/release/libsupport_team.so
///     config:
///       team: ["@carol:example.org"]
/// ```
///
/// # What happens around your code
///
/// * **Calls may overlap.** `&self` is shared; the host runs batches one after the other, but asks
///   `get_interested_users` meanwhile.
/// * **A call has a deadline** (`call_timeout`, one second by default). One that overruns is dropped; a
///   method that blocks its thread costs this module its runtime, and nobody else anything. The host asks again
///   later, with the newest states: nothing that you could not route is lost.
/// * **A panic** in any method, poll or drop is caught, logged with the method's name, and counts as a failed
///   call. State behind a lock may then be poisoned; handle it as you would in any server.
/// * **An error** from either method is logged and skipped; shared rooms and other modules go on.
/// * **Threads** that you start yourself must end in [`shutdown`](Self::shutdown). Prefer
///   [`ModuleApi::spawn`]: its tasks end by themselves.
/// * **The library is never unloaded**, not even after `shutdown`; statics live as long as the process.
pub trait PresenceRouter: Send + Sync + Sized + 'static {
    /// The configuration, checked.
    type Config: DeserializeOwned + Send + 'static;

    /// Checks the mapping under `config:`. Runs before any module starts; must have no side effects.
    ///
    /// The default reads it with serde.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key; the host then refuses to start, or keeps the old config.
    fn parse_config(config: ConfigValue) -> Result<Self::Config, ConfigError> {
        config.parse()
    }

    /// Starts an instance. Several may live at once, each with its own config.
    ///
    /// # Errors
    /// A [`StartError`]; the host then refuses to start, or keeps the old instance.
    fn new(config: Self::Config, api: ModuleApi) -> Result<Self, StartError>;

    /// Where states that changed go, beyond the people who share a room with their users.
    ///
    /// # Errors
    /// A [`RouterError`]; the host logs it and asks again later with the newest states.
    fn get_users_for_states(
        &self,
        updates: &StateUpdates,
    ) -> impl Future<Output = Result<Routes, RouterError>> + Send;

    /// Whose presence `user_id`, a local user, receives beyond the people they share a room with.
    ///
    /// # Errors
    /// A [`RouterError`]; the host logs it and serves shared rooms.
    fn get_interested_users(
        &self,
        user_id: &UserId,
    ) -> impl Future<Output = Result<InterestedUsers, RouterError>> + Send;

    /// Whether the routes come in addition to presence between people who share a room, or instead of it.
    /// Asked once, after the start.
    fn shared_room_presence(&self) -> SharedRoomPresence {
        SharedRoomPresence::Additive
    }

    /// The last call to this instance. Ends what it started; spawned tasks end by themselves.
    fn shutdown(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Whose presence a user receives beyond the people they share a room with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterestedUsers {
    /// These users', local or remote.
    Users(HashSet<UserId>),
    /// Everybody's. Which states exactly is then what
    /// [`get_users_for_states`](PresenceRouter::get_users_for_states) sends to the user.
    All,
}

impl InterestedUsers {
    /// Nobody's.
    pub fn none() -> Self {
        Self::Users(HashSet::new())
    }
}

impl FromIterator<UserId> for InterestedUsers {
    fn from_iter<I: IntoIterator<Item = UserId>>(users: I) -> Self {
        Self::Users(users.into_iter().collect())
    }
}

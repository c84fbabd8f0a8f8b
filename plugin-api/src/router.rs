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
/// not survive a panic in it. Rust 1.85 or newer will do; it need not be the compiler of the host.
///
/// # 2. The configuration
///
/// A type that serde can read: what stands under `config:` in the host's file. The host has it checked before anything
/// starts, and tells the operator the key and the line: a [`UserId`] that is none, a missing key, and with
/// `deny_unknown_fields` a key that you do not know. To check more, implement [`parse_config`](Self::parse_config)
/// yourself. A module without settings has an empty struct: `struct Config {}`.
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
/// Two methods decide.
///
/// * [`get_users_for_states`](Self::get_users_for_states) looks from the sender: these users' states changed, who is
///   told? It is called for every change.
/// * [`get_interested_users`](Self::get_interested_users) looks from the recipient: this user syncs, whose presence
///   do they get? It is called when they sync for the first time, when they catch up, and when they ask for one
///   user's presence. When the answer is [`InterestedUsers::All`], the host puts the states of all users
///   through `get_users_for_states`, and takes what that sends to this user.
///
/// They are two sides of one coin: **if a state of A is sent to B, then B must be interested in A, and the other way
/// round.** A module whose methods disagree shows people as online in one place and not in another. Let
/// `Harness::assert_methods_line_up` in your tests compare them.
///
/// Nobody needs to share a room with a recipient, and presence between those who do goes on as ever, unless
/// [`shared_room_presence`](Self::shared_room_presence) says otherwise. A recipient may be a user of another homeserver.
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
/// router.assert_methods_line_up(
///     ["@alice:example.org", "@carol:example.org"],
///     ["@bob:example.org", "@carol:example.org"],
/// );
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
///   `get_interested_users` meanwhile. Keep what changes behind a lock, and hold none across an `await`.
/// * **A method is polled once** before its future gets a real waker; the host then polls it again at once. Answer
///   without an `await` where you can: such an answer crosses without a future.
/// * **A call has a deadline** (`call_timeout`, one second by default). One that overruns is dropped at its `await`; a
///   method that blocks its thread costs this module its runtime, and nobody else anything. The host asks again
///   later, with the newest states: nothing that you could not route is lost.
/// * **A panic** in any method, poll or drop is caught, logged with the method's name, and counts as a failed
///   call. State behind a lock may then be poisoned; handle it as you would in any server. Only a `Drop` that
///   panics while another panic unwinds through it cannot be caught, in any Rust program: it ends the process.
/// * **An error** from either method is logged and skipped; shared rooms and other modules go on.
/// * **Log records** of the `log` crate reach the host's log under the module's name, from any thread and as long as an
///   instance lives. What `parse_config` logs before the first instance is lost; say it in the [`ConfigError`].
/// * **Threads** that you start yourself must end in [`shutdown`](Self::shutdown); a panic in one is logged and
///   ends that thread. Prefer [`ModuleApi::spawn`]: its tasks end by themselves.
/// * **The library is never unloaded**, not even after `shutdown`; statics live as long as the process.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no presence router",
    label = "does not implement `PresenceRouter`",
    note = "a library exports types that implement `presence_router_api::PresenceRouter`; its page is a guide"
)]
pub trait PresenceRouter: Send + Sync + Sized + 'static {
    /// The configuration, checked. A type with rules of its own can be read through a plainer one by
    /// `#[serde(try_from = "Plain")]`.
    type Config: DeserializeOwned + Send + 'static;

    /// Checks the mapping under `config:`. Runs before any module starts, also when the operator only asks for a check;
    /// must have no side effects. It has ten seconds.
    ///
    /// The default reads it with serde.
    ///
    /// ```
    /// # use presence_router_api::{ConfigError, ConfigValue};
    /// # #[derive(serde::Deserialize)] struct Config { max_users: u32 }
    /// # struct R;
    /// # impl R {
    /// fn parse_config(config: ConfigValue) -> Result<Config, ConfigError> {
    ///     let config: Config = config.parse()?;
    ///     if config.max_users == 0 {
    ///         return Err(ConfigError::new("max_users", "0 routes nothing; give at least 1"));
    ///     }
    ///     Ok(config)
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key; the host then refuses to start, or keeps the old config.
    fn parse_config(config: ConfigValue) -> Result<Self::Config, ConfigError> {
        config.parse()
    }

    /// Starts an instance. Several may live at once, each with its own config: when the operator loads a new config, the
    /// next one starts while the last one still serves. It has ten seconds; what takes longer goes into a
    /// [task](ModuleApi::spawn).
    ///
    /// # Errors
    /// A [`StartError`]; the host then refuses to start, or keeps the old instance.
    fn new(config: Self::Config, api: ModuleApi) -> Result<Self, StartError>;

    /// Where states that changed go, beyond the people who share a room with their users. Synapse's
    /// [`get_users_for_states`].
    ///
    /// # Errors
    /// A [`RouterError`]; the host logs it and asks again later with the newest states.
    ///
    /// [`get_users_for_states`]: https://element-hq.github.io/synapse/latest/modules/presence_router_callbacks.html
    fn get_users_for_states(
        &self,
        updates: &StateUpdates,
    ) -> impl Future<Output = Result<Routes, RouterError>> + Send;

    /// Whose presence `user_id`, a local user, receives beyond the people they share a room with. Synapse's
    /// [`get_interested_users`].
    ///
    /// # Errors
    /// A [`RouterError`]; the host logs it and serves shared rooms.
    ///
    /// [`get_interested_users`]: https://element-hq.github.io/synapse/latest/modules/presence_router_callbacks.html
    fn get_interested_users(
        &self,
        user_id: &UserId,
    ) -> impl Future<Output = Result<InterestedUsers, RouterError>> + Send;

    /// Whether the routes come in addition to presence between people who share a room, or instead of it.
    /// Asked once, after the start. Synapse knows only the former, the default.
    fn shared_room_presence(&self) -> SharedRoomPresence {
        SharedRoomPresence::Additive
    }

    /// No call begins after this one; some may still run. Ends what the instance started; spawned tasks end by
    /// themselves, after it. The host waits for it, but not for ever.
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

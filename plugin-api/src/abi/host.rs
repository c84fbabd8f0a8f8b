//! What a module calls: the host's side of `ModuleApi`.

#![expect(
    non_local_definitions,
    clippy::cast_possible_wrap,
    clippy::cast_ptr_alignment,
    reason = "abi_stable's macros expand to these, and check the layout themselves"
)]
#![cfg_attr(
    feature = "growth-probe",
    expect(
        unused_braces,
        clippy::used_underscore_binding,
        reason = "abi_stable's macro expands a short default body to these"
    )
)]

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, ROption, RResult, RStr, RString, RVec};
use async_ffi::{FfiFuture, FutureExt};

use super::failure::Failure;
use super::requests::{HttpAnswer, HttpCall, Metric, MetricAction, PresenceSetting, StoredValue};
use super::state::UserPresenceState;

/// A log level, as the `log` crate numbers them: 1 error, 2 warn, 3 info, 4 debug, 5 trace; 0 is off.
pub type LogLevel = u8;

/// An answer that comes when the host has it.
pub type Answer<T> = FfiFuture<RResult<T, Failure>>;

/// What a method answers that the host does not have.
fn too_old<T: Send + 'static>(method: &str) -> Answer<T> {
    std::future::ready(RResult::RErr(Failure::too_old(method))).into_ffi()
}

/// Up to `spawn` are the methods that every version has. What comes later is appended behind the last prefix field, with
/// a default body: in an older host a newer module then gets the default.
macro_rules! define_host_api {
    ($($appended:tt)*) => {
        /// What the host offers to one module instance.
        #[sabi_trait]
        pub trait HostApi: Send + Sync + 'static {
            /// Writes a log record under the module's name.
            fn log(&self, level: LogLevel, target: RStr<'_>, message: RStr<'_>);

            /// The most verbose level that is written at all.
            fn max_log_level(&self) -> LogLevel;

            /// The homeserver's name.
            fn server_name(&self) -> RStr<'_>;

            /// Whether a user id (or a bare server name) is this homeserver's.
            fn is_mine(&self, id: RStr<'_>) -> bool;

            /// `@localpart:server_name`, or the id unchanged when it is qualified already.
            fn get_qualified_user_id(&self, localpart: RStr<'_>) -> RResult<RString, Failure>;

            /// Keeps a list of users and names it by a handle.
            fn register_audience(&self, users: RVec<RString>) -> RResult<u64, Failure>;

            /// The module holds no more copies of the handle. Answers on their way still count.
            fn release_audience(&self, audience: u64);

            /// Milliseconds since the Unix epoch.
            fn now_ms(&self) -> u64;

            /// Ready after so many milliseconds.
            fn sleep(&self, ms: u64) -> FfiFuture<()>;

            /// Runs a task on the module's background runtime until it ends or the module is shut down.
            #[sabi(last_prefix_field)]
            fn spawn(&self, task: FfiFuture<()>) -> RResult<(), Failure>;

            /// The name of this worker; nothing in a server that is one process. Since 0.1.1, as all that follows.
            fn worker_name(&self) -> ROption<RStr<'_>> {
                ROption::RNone
            }

            /// Has these users receive the states of all online local users whom they may see.
            fn send_local_online_presence_to(&self, _users: RVec<RString>) -> Answer<()> {
                too_old("send_local_online_presence_to")
            }

            /// Sets users' presence, local or remote.
            fn set_presence_for_users(&self, _updates: RVec<PresenceSetting>) -> Answer<()> {
                too_old("set_presence_for_users")
            }

            /// The state of each user, in the order in which they are asked for.
            fn current_state_for_users(&self, _users: RVec<RString>) -> Answer<RVec<UserPresenceState>> {
                too_old("current_state_for_users")
            }

            /// Who is in a room, sorted.
            fn get_users_in_room(&self, _room_id: RString) -> Answer<RVec<RString>> {
                too_old("get_users_in_room")
            }

            /// Which rooms a user is in, sorted.
            fn get_rooms_for_user(&self, _user_id: RString) -> Answer<RVec<RString>> {
                too_old("get_rooms_for_user")
            }

            /// Which servers have users in a room, sorted.
            fn get_current_hosts_in_room(&self, _room_id: RString) -> Answer<RVec<RString>> {
                too_old("get_current_hosts_in_room")
            }

            /// Makes an HTTP request. Ends it when the future is dropped.
            fn http(&self, _call: HttpCall) -> Answer<HttpAnswer> {
                too_old("http")
            }

            /// The value that the module has stored under a key.
            fn storage_get(&self, _key: RString) -> Answer<ROption<RVec<u8>>> {
                too_old("storage")
            }

            /// Stores a value under a key, in place of the one that is there.
            fn storage_put(&self, _key: RString, _value: RVec<u8>) -> Answer<()> {
                too_old("storage")
            }

            /// Forgets a key; whether there was one.
            fn storage_delete(&self, _key: RString) -> Answer<bool> {
                too_old("storage")
            }

            /// What is stored under keys that begin with `prefix` and are greater than `after`: the first `limit`, by
            /// the order of their bytes.
            fn storage_scan(
                &self,
                _prefix: RString,
                _after: ROption<RString>,
                _limit: u32,
            ) -> Answer<RVec<StoredValue>> {
                too_old("storage")
            }

            /// Makes a metric known and names it by a number. The same metric gets the same number.
            fn register_metric(&self, _metric: Metric) -> RResult<u64, Failure> {
                RResult::RErr(Failure::too_old("counter, gauge and histogram"))
            }

            /// Records a value. A number that is no metric's is ignored.
            fn record_metric(&self, _metric: u64, _action: MetricAction, _value: f64) {}

            $($appended)*
        }
    };
}

#[cfg(not(feature = "growth-probe"))]
define_host_api! {}

#[cfg(feature = "growth-probe")]
define_host_api! {
    /// What a later version may append: an older host answers 0.
    fn growth_probe(&self) -> u32 { 0 }
}

/// A boxed host API.
pub type HostApiBox = HostApi_TO<RBox<()>>;

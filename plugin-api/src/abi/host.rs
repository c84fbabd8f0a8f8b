//! What a module calls: the host's side of `ModuleApi`.

#![expect(
    non_local_definitions,
    reason = "abi_stable's macros expand to these, and check the layout themselves"
)]
#![cfg_attr(
    feature = "growth-probe",
    expect(
        unused_braces,
        clippy::cast_ptr_alignment,
        clippy::used_underscore_binding,
        reason = "abi_stable's macro expands a method with a default body to these"
    )
)]

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, RResult, RStr, RString, RVec};
use async_ffi::FfiFuture;

use super::failure::Failure;

/// A log level, as the `log` crate numbers them: 1 error, 2 warn, 3 info, 4 debug, 5 trace; 0 is off.
pub type LogLevel = u8;

/// The methods that every version has. What comes later is appended behind the last prefix field, with
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

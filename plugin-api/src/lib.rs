//! The contract between [presence-router] and its routing modules: all that a module author depends on.
//!
//! Start at [`PresenceRouter`]: its page is a guide to writing a module. [`ModuleApi`] is what a module may
//! ask of the host, [`Routes`] and [`InterestedUsers`] are what it answers, `testing` (a feature) is what its
//! tests use. What crosses the boundary is in [`abi`]; an author needs none of it.
//!
//! The feature `testing` (off by default) adds the module `testing`; turn it on in your dev-dependencies alone.
//!
//! The crate knows no async runtime, no Matrix library and no host. It builds with Rust 1.85.
//!
//! [presence-router]: https://github.com/presence-router/presence-router

pub mod abi;
mod config;
mod duration;
mod error;
mod export;
mod module_api;
mod router;
mod routes;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod updates;
mod user_id;

pub use crate::abi::router::SharedRoomPresence;
pub use crate::abi::state::{PresenceState, UserPresenceState};
pub use crate::config::{ConfigError, ConfigValue};
pub use crate::duration::deserialize_duration;
pub use crate::error::{ApiError, RouterError, StartError};
pub use crate::module_api::ModuleApi;
pub use crate::module_api::http::{Http, HttpError, HttpRequest, HttpResponse};
pub use crate::module_api::logger::Logger;
pub use crate::module_api::metrics::{Counter, Gauge, Histogram};
pub use crate::module_api::presence::PresenceUpdate;
pub use crate::module_api::storage::Storage;
pub use crate::router::{InterestedUsers, PresenceRouter};
pub use crate::routes::{Audience, Routes};
pub use crate::updates::{StateUpdates, Update, Updates};
pub use crate::user_id::{InvalidUserId, MAX_USER_ID_BYTES, UserId, is_server_name};

/// The version of this crate that a module is built with; it stands in the module's manifest.
pub const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The target triple that this crate is built for; it stands in the module's manifest.
pub const TARGET: &str = env!("PRESENCE_ROUTER_TARGET");

/// The section of a module's library that holds its manifest.
pub const MANIFEST_SECTION: &str = ".presence_router";

/// For the export macros.
#[doc(hidden)]
pub mod __private {
    pub use abi_stable::library::LibHeader;

    pub use crate::export::instance::RouterEntry;
    pub use crate::export::library::{Library, check_names, header, root_module};
    pub use crate::export::manifest::{Piece, bytes, len};
    pub use crate::{SDK_VERSION, TARGET};

    /// The compiler that built this crate, and so the module.
    pub const RUSTC: &str = env!("PRESENCE_ROUTER_RUSTC");

    /// The manifest's bytes as text.
    pub const fn text(bytes: &'static [u8]) -> &'static str {
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

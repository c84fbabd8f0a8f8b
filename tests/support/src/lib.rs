//! The test kit: builds what the tests need, starts the real binary, and talks to it as clients do.
//!
//! ```ignore
//! let config = Config::neighbours().module(artifacts::broadcast(), json!({"always_send_to_users":
//! [GOBBLER]})); let host = Host::start(&config); host.user("alice").set("online", Some("hi")); let seen =
//! host.user("bob").sync(&SyncRequest::initial());
//! ```
//!
//! Nothing here sleeps or tries again: every wait is for a state, has a deadline, and says what it saw when
//! that passes. It knows the host from outside alone: its arguments, its output, its HTTP.

#![forbid(unsafe_code)]
#![expect(
    clippy::missing_panics_doc,
    reason = "a test that cannot go on panics, and says why; so does all of the kit"
)]

pub mod admin;
pub mod artifacts;
pub mod bad;
mod cargo;
pub mod cli;
pub mod client;
pub mod comparison;
pub mod config;
pub mod federation;
pub mod footprint;
pub mod host;
pub mod log;
pub mod minisign;
pub mod process;
pub mod python;
pub mod stranger;
pub mod synapse;
pub mod sync;
pub mod user;
pub mod web;

pub use crate::admin::Admin;
pub use crate::cli::Cli;
pub use crate::client::{Client, Request};
pub use crate::config::Config;
pub use crate::footprint::Footprint;
pub use crate::host::Host;
pub use crate::stranger::Stranger;
pub use crate::sync::{PresenceEvent, SyncAnswer, SyncRequest};
pub use crate::user::User;
pub use crate::web::Web;

use std::time::Duration;

/// The server's name in every test.
pub const SERVER: &str = "example.org";

/// Who receives everybody's presence where a test's module routes it.
pub const GOBBLER: &str = "@presence_gobbler:example.org";

/// How long to wait for what must happen, on a slow machine under load. No test waits as long when all is
/// well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The user id of a localpart.
pub fn id_of(name: &str) -> String {
    format!("@{name}:{SERVER}")
}

/// The access token of a localpart.
pub fn token_of(name: &str) -> String {
    format!("{name}-token")
}

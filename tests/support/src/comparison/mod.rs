//! The comparison with Synapse: one script of HTTP calls, run against any server that offers presence.
//!
//! The scripts are data, in `tests/comparison`; its `README.md` says how to write one. Here are their reading, their
//! running, and the two servers: ours, and a real Synapse.

mod call;
mod outcome;
mod run;
mod script;
mod server;
mod synapse;

pub use self::call::{Call, Recorded};
pub use self::outcome::Outcome;
pub use self::run::run;
pub use self::script::{Script, scripts};
pub use self::server::{Ours, Server};
pub use self::synapse::Synapse;

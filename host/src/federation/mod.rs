//! Speaks the server-server protocol: who we are to other servers, how they are found, and what is asked of them.
//!
//! Knows nothing of presence, of the engine or of our HTTP routes. `docs/federation.md` says what is refused.

#![forbid(unsafe_code)]

mod authorization;
mod client;
mod discovery;
mod identity;
mod key_file;
mod names;
mod pool;
mod setup;
mod transport;
mod well_known;

#[cfg(test)]
mod tests;

pub use crate::federation::client::{Answer, FederationClient, RequestError};
pub use crate::federation::discovery::{ResolveError, Resolved};
pub use crate::federation::identity::{Identity, IdentityError};
pub use crate::federation::key_file::{KeyFault, KeyFileError, NewKey, SigningKeys};
pub use crate::federation::names::{Lookup, Names, NamesError, Service, SystemNames};
pub use crate::federation::setup::{Limits, Ports, Setup, SetupError};
pub use crate::federation::transport::ConnectError;

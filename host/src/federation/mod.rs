//! Speaks the server-server protocol: who we are to other servers, how they are found, what is asked of them and sent to
//! them; who asks us, and what they say.
//!
//! Knows nothing of presence's rules, of the engine or of our HTTP routes. `docs/federation.md` says what is refused.

#![forbid(unsafe_code)]

mod authorization;
mod canonical;
mod carrier;
mod client;
mod discovery;
mod identity;
mod key_file;
mod keys;
mod names;
mod outbox;
mod pool;
mod recent;
mod seen;
mod sender;
mod setup;
#[cfg(test)]
pub(crate) mod signing;
#[cfg(test)]
mod tests;
mod transaction;
mod transport;
mod well_known;
mod x_matrix;

pub use crate::federation::client::{Answer, FederationClient, RequestError};
pub use crate::federation::discovery::{ResolveError, Resolved};
pub use crate::federation::identity::{Identity, IdentityError};
pub use crate::federation::key_file::{KeyFault, KeyFileError, NewKey, SigningKeys};
pub use crate::federation::keys::{KeyFetcher, KeyRing, NoKey, VerifyKey};
pub use crate::federation::names::{Lookup, Names, NamesError, Service, SystemNames};
pub use crate::federation::outbox::{Contact, Outbox, Taken, Waits};
pub use crate::federation::seen::{Begun, InFlight, Seen};
pub use crate::federation::sender::{Carrier, Sender, Sending, Undelivered};
pub use crate::federation::setup::{Limits, Ports, Setup, SetupError};
pub use crate::federation::transaction::{
    Counts, MAX_VALUES, Malformed, PresenceEntry, ScanError, Transaction, scan,
};
pub use crate::federation::transport::ConnectError;
pub use crate::federation::x_matrix::{BadSignature, SignedRequest, XMatrix, XMatrixError};

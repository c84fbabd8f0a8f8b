//! Speaks the server-server protocol: who we are to other servers, how they are found, and what is asked of them.
//!
//! Knows nothing of presence, of the engine or of our HTTP routes. `docs/federation.md` says what is refused.

#![forbid(unsafe_code)]

mod identity;
mod key_file;

pub use crate::federation::identity::{Identity, IdentityError};
pub use crate::federation::key_file::{KeyFault, KeyFileError, NewKey, SigningKeys};

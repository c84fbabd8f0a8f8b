//! The contract between presence-router and its routing modules.

pub mod abi;
mod user_id;

pub use crate::abi::state::{PresenceState, UserPresenceState};
pub use crate::user_id::{InvalidUserId, MAX_USER_ID_BYTES, UserId, is_server_name};

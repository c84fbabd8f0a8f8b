//! Who shares a room with whom, and whose token is this.
//!
//! A [`Source`] says it, as events; the [`Directory`] is what they add up to, and answers without waiting. Knows no presence.

mod index;
mod joins;
mod membership;
mod room;
mod roster_changes;
mod source;
mod static_source;
mod tokens;
mod user_ids;

pub use crate::directory::index::{Directory, RoomKey, ServerKey};
pub use crate::directory::membership::{Joined, MembershipChange};
pub use crate::directory::source::{Event, Revocation, Source, TokenOwner, Told, Watcher};
pub use crate::directory::static_source::{Replaced, StaticSource};

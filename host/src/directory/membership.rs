//! What an event of a source does to who is in which room. Knows no directory.

use crate::directory::index::RoomKey;
use crate::presence::UserKey;

/// Somebody came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MembershipChange {
    /// Who.
    pub user: UserKey,
    /// The room.
    pub room: RoomKey,
    /// Whether they came, and whether that counts.
    pub joined: Joined,
}

/// What kind of change it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// They came, into a room that counts.
    Seen,
    /// They came into a room that is excluded from presence.
    Unseen,
    /// They have gone.
    Left,
}

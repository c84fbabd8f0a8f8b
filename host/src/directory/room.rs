//! One room: who is in it, since when, and of which homeservers they are.

use std::sync::Arc;

use crate::directory::index::ServerKey;
use crate::directory::joins::Joins;
use crate::presence::UserKey;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: Arc<str>,
    /// Sorted.
    pub(super) members: Vec<UserKey>,
    /// None, for most rooms: all members have been there from the start.
    pub(super) joins: Option<Box<Joins>>,
    /// The other homeservers that have members in it, each with how many.
    pub(super) servers: Vec<(ServerKey, u32)>,
    pub(super) excluded: bool,
}

impl Room {
    /// When a member came; 0 from the start.
    pub(super) fn joined(&self, user: UserKey) -> u64 {
        self.joins.as_ref().map_or(0, |joins| joins.of(user))
    }
}

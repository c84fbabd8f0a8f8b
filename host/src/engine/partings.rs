//! When people have ceased to share a room. Who has not read since then may know somebody by a room that shows them no more.

use crate::presence::{ByUser, UserKey};

/// The last partings of this run, as positions of the stream. What was before the run counts as none: who has not read since
/// then asks the modules for all that they have routed.
#[derive(Debug, Default)]
pub(super) struct Partings {
    of: ByUser<u64>,
    of_everybody: u64,
}

impl Partings {
    /// A user has left a room.
    pub(super) fn left(&mut self, user: UserKey, position: u64) {
        self.of.insert(user, position);
    }

    /// Rooms count no more.
    pub(super) fn everybody_left(&mut self, position: u64) {
        self.of_everybody = position;
    }

    /// Whether two users may have ceased to share a room after a position.
    pub(super) fn are_after(&self, position: u64, reader: UserKey, user: UserKey) -> bool {
        let of = |user| self.of.get(&user).copied().unwrap_or(0);
        position < self.of_everybody.max(of(reader)).max(of(user))
    }
}

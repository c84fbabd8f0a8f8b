//! When the members of one room came into it, as positions of the stream. Who was there from the start has no entry.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::presence::UserKey;

/// The joins of one room.
#[derive(Debug, Default)]
pub(super) struct Joins {
    by_user: HashMap<UserKey, u64>,
    by_position: BTreeMap<u64, UserKey>,
    /// Nobody counts as having been there before this.
    everybody: u64,
}

impl Joins {
    /// A room of which it is only known that its members changed up to a position: they all count as having come then.
    pub(super) fn of_all_at(position: u64) -> Self {
        Self {
            everybody: position,
            ..Self::default()
        }
    }

    pub(super) fn joined(&mut self, user: UserKey, position: u64) {
        self.left(user);
        self.by_user.insert(user, position);
        self.by_position.insert(position, user);
    }

    pub(super) fn left(&mut self, user: UserKey) {
        if let Some(position) = self.by_user.remove(&user) {
            self.by_position.remove(&position);
        }
    }

    /// When a member came; 0 from the start.
    pub(super) fn of(&self, user: UserKey) -> u64 {
        self.by_user.get(&user).copied().unwrap_or(0).max(self.everybody)
    }

    /// Whether all members came before or at a position.
    pub(super) fn none_after(&self, position: u64) -> bool {
        self.everybody <= position
            && self
                .by_position
                .last_key_value()
                .is_none_or(|(newest, _)| *newest <= position)
    }

    /// Those who came after a position; `None` when these are all members.
    pub(super) fn after(&self, position: u64) -> Option<impl Iterator<Item = UserKey> + '_> {
        let later = (Bound::Excluded(position), Bound::Unbounded);
        (self.everybody <= position).then(|| self.by_position.range(later).map(|(_, user)| *user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: UserKey = UserKey(0);
    const B: UserKey = UserKey(1);

    fn after(joins: &Joins, position: u64) -> Option<Vec<UserKey>> {
        joins.after(position).map(Iterator::collect)
    }

    #[test]
    fn who_comes_again_has_come_once() {
        let mut joins = Joins::default();
        joins.joined(A, 5);
        joins.joined(B, 6);
        joins.left(A);
        assert_eq!(after(&joins, 0), Some(vec![B]));
        joins.joined(A, 7);
        assert_eq!(after(&joins, 0), Some(vec![B, A]));
        assert_eq!((joins.of(A), joins.of(B)), (7, 6));
        assert!(joins.none_after(7) && !joins.none_after(6));
    }

    #[test]
    fn members_of_a_room_that_has_changed_somehow_have_all_come_then() {
        let mut joins = Joins::of_all_at(10);
        assert_eq!(joins.of(A), 10);
        assert_eq!(after(&joins, 9), None);
        joins.joined(B, 12);
        assert_eq!(after(&joins, 10), Some(vec![B]));
        assert!(!joins.none_after(9));
    }
}

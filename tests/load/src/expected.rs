//! What was to arrive at those who listen, and what of it did.

use std::collections::{HashMap, HashSet};

use crate::stamp::Seen;
use crate::targets::User;
use crate::writer::Written;

/// Sums over all pairs of one who listens and a writer whom they are to see.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Updates in the window, once for each listener.
    pub(crate) updates: u64,
    /// Of these, those for observers.
    pub(crate) observer_updates: u64,
    /// Pairs whose writer had an acknowledged update.
    pub(crate) pairs: u64,
    /// Of these, those whose last one never arrived.
    pub(crate) missing_final: u64,
}

impl Expected {
    /// Looks at the rooms of each listener, not at each writer: there may be 20,000 of one and 200,000 of the other.
    pub(crate) fn of(users: &[User], written: &[Written], seen: &[(usize, Seen)]) -> Self {
        let mut in_room: HashMap<u32, Vec<&Written>> = HashMap::new();
        let written: Vec<_> = written.iter().filter(|written| written.last.is_some()).collect();
        for written in &written {
            for room in users.get(written.user).map_or(&[][..], |user| &user.rooms) {
                in_room.entry(*room).or_default().push(written);
            }
        }
        let mut expected = Self::default();
        for (reader, seen) in seen {
            let Some(reader) = users.get(*reader) else {
                continue;
            };
            if reader.is_observer() {
                for written in &written {
                    expected.observer_updates += written.updates;
                    expected.add(written, seen);
                }
                continue;
            }
            let rooms = reader.rooms.iter().filter_map(|room| in_room.get(room));
            let mut once = HashSet::new();
            for written in rooms.flatten().filter(|written| once.insert(written.user)) {
                expected.add(written, seen);
            }
        }
        expected
    }

    fn add(&mut self, written: &Written, seen: &Seen) {
        self.updates += written.updates;
        self.pairs += 1;
        // A newer one may have arrived that was never acknowledged.
        self.missing_final += u64::from(seen.newest(written.user) < written.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Stamp;
    use crate::targets::Role;

    fn written(user: usize, updates: u64, last: Option<u64>) -> Written {
        Written { user, updates, last }
    }

    fn seen(stamps: &[(usize, u64)]) -> Seen {
        let mut seen = Seen::default();
        for &(writer, at) in stamps {
            seen.note(Stamp { writer, at });
        }
        seen
    }

    #[test]
    fn who_shares_two_rooms_is_one_pair_and_observers_are_paired_with_all() {
        let users = [
            User::nameless(&[1, 2], Role::User),
            User::nameless(&[1, 2], Role::User),
            User::nameless(&[3], Role::User),
            User::nameless(&[], Role::Observer),
        ];
        let written = [written(1, 5, Some(50)), written(2, 7, Some(70))];
        let readers = [(0, seen(&[(1, 50)])), (3, seen(&[(1, 51), (2, 60)]))];
        let wanted = Expected {
            updates: 5 + 5 + 7,
            observer_updates: 12,
            pairs: 3,
            missing_final: 1,
        };
        assert_eq!(Expected::of(&users, &written, &readers), wanted);
    }

    #[test]
    fn a_writer_without_an_acknowledged_update_is_not_waited_for() {
        let users = [User::nameless(&[1], Role::User), User::nameless(&[1], Role::User)];
        let expected = Expected::of(&users, &[written(1, 0, None)], &[(0, seen(&[]))]);
        assert_eq!(expected, Expected::default());
    }
}

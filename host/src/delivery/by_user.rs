//! Something of each of some users. Takes memory in proportion to the most that there were, whoever they are.

use crate::presence::{ByUser, UserKey};

/// From so many on, entries stand in a row by the numbers of their users, when these numbers are not far apart.
const ENOUGH: usize = 32;
/// A row is begun with at most so many places for an entry.
const BEGUN: usize = 4;
/// And is given up where it would have more than so many.
const GIVEN_UP: usize = 16;

/// Entries by user. Where most of the users up to a number have one, finding it takes no search.
#[derive(Debug)]
pub(super) enum Entries<T> {
    /// Of users who may be far apart.
    Map { map: ByUser<T>, greatest: u32 },
    /// Each at the number of its user.
    Row { row: Vec<Option<T>>, len: usize },
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self::Map {
            map: ByUser::default(),
            greatest: 0,
        }
    }
}

impl<T: Copy> Entries<T> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Map { map, .. } => map.len(),
            Self::Row { len, .. } => *len,
        }
    }

    #[inline]
    pub(super) fn get(&self, user: UserKey) -> Option<&T> {
        match self {
            Self::Row { row, .. } => row.get(user.0 as usize)?.as_ref(),
            Self::Map { map, .. } => map.get(&user),
        }
    }

    /// Returns what was there before.
    pub(super) fn insert(&mut self, user: UserKey, entry: T) -> Option<T> {
        if let Self::Row { row, len } = self {
            let index = user.0 as usize;
            if let Some(place) = row.get_mut(index) {
                let before = place.replace(entry);
                *len += usize::from(before.is_none());
                return before;
            }
            if index < GIVEN_UP * *len {
                row.resize(index + 1, None);
                row[index] = Some(entry);
                *len += 1;
                return None;
            }
            self.spread(user);
        }
        let Self::Map { map, greatest } = self else {
            unreachable!("a row has been used, or given up");
        };
        *greatest = user.0.max(*greatest);
        let before = map.insert(user, entry);
        if map.len() >= ENOUGH && (*greatest as usize) < BEGUN * map.len() {
            self.gather();
        }
        before
    }

    pub(super) fn remove(&mut self, user: UserKey) -> Option<T> {
        match self {
            Self::Row { row, len } => {
                let removed = row.get_mut(user.0 as usize)?.take();
                *len -= usize::from(removed.is_some());
                removed
            }
            Self::Map { map, .. } => map.remove(&user),
        }
    }

    /// In no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (UserKey, &T)> + '_ {
        let (map, row) = match self {
            Self::Map { map, .. } => (Some(map), &[][..]),
            Self::Row { row, .. } => (None, row.as_slice()),
        };
        let in_row = (0..).zip(row);
        let in_row = in_row.filter_map(|(user, entry)| Some((UserKey(user), entry.as_ref()?)));
        let in_map = map.into_iter().flatten();
        in_row.chain(in_map.map(|(user, entry)| (*user, entry)))
    }

    /// Puts the entries in a row.
    fn gather(&mut self) {
        let Self::Map { map, greatest } = self else {
            return;
        };
        let mut row = vec![None; *greatest as usize + 1];
        for (user, entry) in &*map {
            row[user.0 as usize] = Some(*entry);
        }
        let len = map.len();
        *self = Self::Row { row, len };
    }

    /// Puts the entries in a map, for one comes whose place in the row would be too far off.
    fn spread(&mut self, newcomer: UserKey) {
        let map = self.iter().map(|(user, entry)| (user, *entry)).collect();
        let greatest = newcomer.0;
        *self = Self::Map { map, greatest };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(entries: &Entries<u64>) -> usize {
        match entries {
            Entries::Map { map, .. } => map.capacity(),
            Entries::Row { row, .. } => row.capacity(),
        }
    }

    #[test]
    fn memory_is_taken_for_those_who_have_an_entry_wherever_they_are() {
        let mut entries = Entries::default();
        for user in (0..200).map(|number| UserKey(number * 10_000)) {
            entries.insert(user, 1);
        }
        assert!(capacity(&entries) < 1_000);
        assert!(matches!(entries, Entries::Map { .. }));
    }

    #[test]
    fn entries_of_neighbours_stand_in_a_row_until_one_of_far_off_comes() {
        let mut entries = Entries::default();
        for user in (0..200).map(UserKey) {
            entries.insert(user, u64::from(user.0));
        }
        assert!(matches!(entries, Entries::Row { .. }));
        entries.insert(UserKey(1_000_000), 7);
        assert!(matches!(entries, Entries::Map { .. }));
        assert!(capacity(&entries) < 1_000);
        assert_eq!((entries.len(), entries.get(UserKey(199))), (201, Some(&199)));
        assert_eq!(entries.get(UserKey(1_000_000)), Some(&7));
        assert_eq!(entries.remove(UserKey(1_000_000)), Some(7));
        assert_eq!((entries.iter().count(), entries.len()), (200, 200));
    }
}

//! The newest entry of each user, by user and by position.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::presence::{ByUser, UserKey};

/// A log that is never longer than there are users.
#[derive(Debug)]
pub(super) struct Log<T> {
    by_user: ByUser<LogEntry<T>>,
    by_position: BTreeMap<u64, UserKey>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct LogEntry<T> {
    pub(super) position: u64,
    pub(super) value: T,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self {
            by_user: ByUser::default(),
            by_position: BTreeMap::new(),
        }
    }
}

impl<T: Copy> Log<T> {
    pub(super) fn note(&mut self, user: UserKey, position: u64, value: T) {
        if let Some(older) = self.by_user.insert(user, LogEntry { position, value }) {
            self.by_position.remove(&older.position);
        }
        self.by_position.insert(position, user);
    }

    pub(super) fn remove(&mut self, user: UserKey) {
        if let Some(entry) = self.by_user.remove(&user) {
            self.by_position.remove(&entry.position);
        }
    }

    pub(super) fn of(&self, user: UserKey) -> Option<LogEntry<T>> {
        self.by_user.get(&user).copied()
    }

    pub(super) fn users(&self) -> impl Iterator<Item = (UserKey, LogEntry<T>)> + '_ {
        self.by_user.iter().map(|(user, entry)| (*user, *entry))
    }

    /// The position of the newest entry; 0 without any.
    pub(super) fn newest(&self) -> u64 {
        self.by_position
            .last_key_value()
            .map_or(0, |(position, _)| *position)
    }

    /// The entries after a position, oldest first.
    pub(super) fn after(&self, position: u64) -> impl Iterator<Item = (UserKey, T)> + '_ {
        self.range((Bound::Excluded(position), Bound::Unbounded))
    }

    /// The entries in a range of positions, oldest first.
    pub(super) fn range(
        &self,
        positions: (Bound<u64>, Bound<u64>),
    ) -> impl Iterator<Item = (UserKey, T)> + '_ {
        self.by_position
            .range(positions)
            .filter_map(|(_, user)| self.by_user.get(user).map(|entry| (*user, entry.value)))
    }
}

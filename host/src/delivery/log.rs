//! The newest entry of each user, by user and by position. Knows not what the entries say.

use std::collections::{BTreeMap, VecDeque};
use std::iter;
use std::ops::Bound;

use crate::delivery::by_user::Entries;
use crate::presence::UserKey;

/// So many places of entries that have been replaced are kept, at least, before those of all are put in a new row.
const FEW: usize = 64;

/// A log that is never longer than there are users.
#[derive(Debug)]
pub(super) struct Log<T> {
    by_user: Entries<LogEntry<T>>,
    /// Where entries were made, by growing positions. A place whose user has a newer entry, or none any more, counts for
    /// nothing; at most half of the places do, and [`FEW`].
    places: VecDeque<Place>,
    /// The places of entries that did not come in order: at a start, as they were stored.
    out_of_order: BTreeMap<u64, UserKey>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct LogEntry<T> {
    pub(super) position: u64,
    pub(super) value: T,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    position: u64,
    user: UserKey,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self {
            by_user: Entries::default(),
            places: VecDeque::new(),
            out_of_order: BTreeMap::new(),
        }
    }
}

impl<T: Copy> Log<T> {
    /// An entry at 0 is before all others: it is found by its user alone.
    pub(super) fn note(&mut self, user: UserKey, position: u64, value: T) {
        let older = self.by_user.insert(user, LogEntry { position, value });
        if older.is_some_and(|older| older.position == position) {
            return;
        }
        self.has_no_place_any_more(older);
        if position == 0 {
            return;
        }
        let place = Place { position, user };
        match self.places.back() {
            Some(last) if last.position > position => {
                self.out_of_order.insert(position, user);
            }
            _ => self.places.push_back(place),
        }
        self.drop_places();
    }

    pub(super) fn remove(&mut self, user: UserKey) {
        let older = self.by_user.remove(user);
        self.has_no_place_any_more(older);
        self.drop_places();
    }

    pub(super) fn of(&self, user: UserKey) -> Option<LogEntry<T>> {
        self.by_user.get(user).copied()
    }

    pub(super) fn users(&self) -> impl Iterator<Item = (UserKey, LogEntry<T>)> + '_ {
        self.by_user.iter().map(|(user, entry)| (user, *entry))
    }

    /// The position of the newest entry; 0 without any.
    pub(super) fn newest(&self) -> u64 {
        let in_order = self.places.iter().rev().find(|place| self.counts(place));
        let other = self.out_of_order.last_key_value();
        let other = other.map_or(0, |(position, _)| *position);
        in_order.map_or(0, |place| place.position).max(other)
    }

    /// The entries after a position, oldest first.
    pub(super) fn after(&self, position: u64) -> impl Iterator<Item = (UserKey, T)> + '_ {
        self.range((Bound::Excluded(position), Bound::Unbounded))
    }

    /// How many entries are after a position, counted up to a limit. Where there are many more places than that, it is taken for
    /// reached, without looking which of them count.
    pub(super) fn count_after_at_most(&self, position: u64, limit: usize) -> usize {
        let first = self.first_place(|at| at > position);
        if self.places.len() - first > 4 * limit + FEW {
            return limit;
        }
        let in_order = self.places.range(first..).filter(|place| self.counts(place));
        let count = in_order.take(limit).count();
        if count == limit || self.out_of_order.is_empty() {
            return count;
        }
        let after = (Bound::Excluded(position), Bound::Unbounded);
        count + self.out_of_order.range(after).take(limit - count).count()
    }

    /// The entries in a range of positions, oldest first.
    pub(super) fn range(
        &self,
        positions: (Bound<u64>, Bound<u64>),
    ) -> impl Iterator<Item = (UserKey, T)> + '_ {
        let (from, to) = positions;
        let first = match from {
            Bound::Included(from) => self.first_place(|position| position >= from),
            Bound::Excluded(from) => self.first_place(|position| position > from),
            Bound::Unbounded => 0,
        };
        let ends_before = move |position: u64| match to {
            Bound::Included(to) => position <= to,
            Bound::Excluded(to) => position < to,
            Bound::Unbounded => true,
        };
        let mut in_order = self
            .places
            .range(first..)
            .copied()
            .take_while(move |place| ends_before(place.position))
            .peekable();
        // As the ends of the range may be the wrong way around, of which a map makes a panic.
        let mut others = self
            .out_of_order
            .range((from, Bound::Unbounded))
            .map(|(position, user)| Place {
                position: *position,
                user: *user,
            })
            .take_while(move |place| ends_before(place.position))
            .peekable();
        let places = iter::from_fn(move || match (in_order.peek(), others.peek()) {
            (Some(one), Some(other)) if other.position < one.position => others.next(),
            (None, _) => others.next(),
            _ => in_order.next(),
        });
        places.filter_map(|place| {
            let entry = self.by_user.get(place.user)?;
            (entry.position == place.position).then_some((place.user, entry.value))
        })
    }

    /// The index of the first place of a position of which this holds; of all later ones it holds too. Who reads has mostly
    /// read all but the latest, so it is looked for from the end on.
    fn first_place(&self, holds: impl Fn(u64) -> bool) -> usize {
        let len = self.places.len();
        let holds_at = |index: usize| self.places.get(index).is_none_or(|place| holds(place.position));
        let mut step = 1;
        while step <= len && holds_at(len - step) {
            step *= 2;
        }
        // It does not hold before the one, and holds from the other on.
        let (mut before, mut from) = (len.saturating_sub(step), len - step / 2);
        while before < from {
            let middle = before + (from - before) / 2;
            if holds_at(middle) {
                from = middle;
            } else {
                before = middle + 1;
            }
        }
        from
    }

    fn counts(&self, place: &Place) -> bool {
        let entry = self.by_user.get(place.user);
        entry.is_some_and(|entry| entry.position == place.position)
    }

    fn has_no_place_any_more(&mut self, entry: Option<LogEntry<T>>) {
        if let Some(entry) = entry
            && !self.out_of_order.is_empty()
        {
            self.out_of_order.remove(&entry.position);
        }
    }

    /// Drops places that count for nothing.
    fn drop_places(&mut self) {
        while let Some(first) = self.places.front()
            && !self.counts(first)
        {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.by_user.len() + FEW {
            let by_user = &self.by_user;
            let counts = |place: &Place| {
                let entry = by_user.get(place.user);
                entry.is_some_and(|entry| entry.position == place.position)
            };
            self.places.retain(counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;

    use proptest::prelude::*;

    use super::*;

    /// What a log is, as plainly as it can be said: who is at which position, and with what.
    #[derive(Default)]
    struct Plain(Map<UserKey, (u64, u32)>);

    impl Plain {
        fn range(&self, positions: (Bound<u64>, Bound<u64>)) -> Vec<(UserKey, u32)> {
            let mut found: Vec<_> = self
                .0
                .iter()
                .map(|(user, (at, value))| (*at, *user, *value))
                .collect();
            found.retain(|(at, ..)| *at > 0 && std::ops::RangeBounds::contains(&positions, at));
            found.sort_unstable();
            found.into_iter().map(|(_, user, value)| (user, value)).collect()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Note(u32),
        NoteEarlier(u32, u64),
        NoteAtNone(u32),
        Remove(u32),
    }

    fn user() -> impl Strategy<Value = u32> {
        prop_oneof![9 => 0..40_u32, 1 => 0..4_000_u32]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => user().prop_map(Step::Note),
            3 => (user(), 1..500_u64).prop_map(|(user, back)| Step::NoteEarlier(user, back)),
            1 => user().prop_map(Step::NoteAtNone),
            2 => user().prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn a_log_holds_the_newest_entry_of_each_user_in_order(
            steps in prop::collection::vec(step(), 0..400),
            (from, to) in (0..600_u64, 0..600_u64),
        ) {
            let (mut log, mut plain) = (Log::default(), Plain::default());
            let mut position = 0;
            let mut taken = std::collections::BTreeSet::new();
            for (number, step) in (0_u32..).zip(steps) {
                match step {
                    Step::Note(user) => {
                        position += 1;
                        while !taken.insert(position) {
                            position += 1;
                        }
                        log.note(UserKey(user), position, number);
                        plain.0.insert(UserKey(user), (position, number));
                    }
                    Step::NoteEarlier(user, back) => {
                        // Nothing else was ever noted there.
                        let at = (position + 3).saturating_sub(back).max(1);
                        if taken.insert(at) {
                            log.note(UserKey(user), at, number);
                            plain.0.insert(UserKey(user), (at, number));
                        }
                    }
                    Step::NoteAtNone(user) => {
                        log.note(UserKey(user), 0, number);
                        plain.0.insert(UserKey(user), (0, number));
                    }
                    Step::Remove(user) => {
                        log.remove(UserKey(user));
                        plain.0.remove(&UserKey(user));
                    }
                }
                prop_assert!(log.places.len() <= 2 * plain.0.len() + FEW);
            }
            for positions in [
                (Bound::Unbounded, Bound::Unbounded),
                (Bound::Excluded(from), Bound::Unbounded),
                (Bound::Excluded(from), Bound::Included(to)),
                (Bound::Included(from), Bound::Excluded(to)),
            ] {
                prop_assert_eq!(log.range(positions).collect::<Vec<_>>(), plain.range(positions));
            }
            let mut users: Vec<_> = log.users().map(|(user, entry)| (user, (entry.position, entry.value))).collect();
            users.sort_unstable();
            prop_assert_eq!(users, plain.0.iter().map(|(user, entry)| (*user, *entry)).collect::<Vec<_>>());
            let after = plain.range((Bound::Excluded(from), Bound::Unbounded)).len();
            for limit in [0, 1, 5, 1_000] {
                let count = log.count_after_at_most(from, limit);
                let is_long = log.places.len() > 4 * limit + FEW;
                prop_assert!(count == after.min(limit) || (is_long && count == limit));
            }
            prop_assert_eq!(log.newest(), plain.0.values().map(|(at, _)| *at).max().unwrap_or(0));
        }
    }
}

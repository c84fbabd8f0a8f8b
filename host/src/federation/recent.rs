//! A map with a bound, which forgets what was used longest ago.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// The map. Each operation takes `O(log n)`.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// The keys by when they were last used. As long as `entries`.
    by_use: BTreeMap<u64, K>,
    uses: u64,
    most: usize,
}

#[derive(Debug)]
struct Entry<V> {
    used: u64,
    value: V,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    /// Holds `most` entries, one at the least.
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            most: most.max(1),
        }
    }

    /// The value of a key, which is used now.
    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.uses, key);
        }
        entry.used = self.uses;
        Some(&mut entry.value)
    }

    /// Puts in a value, in place of the one before.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        if self.entries.len() >= self.most
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        let used = self.uses;
        self.by_use.insert(used, key.clone());
        self.entries.insert(key, Entry { used, value });
    }

    /// Takes out a value.
    pub(super) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Entry { used, value } = self.entries.remove(key)?;
        self.by_use.remove(&used);
        Some(value)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.by_use.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        assert_eq!(recent.get("a"), Some(&mut 1));
        recent.insert("c", 3);
        assert_eq!(recent.get("b"), None);
        assert_eq!(
            (recent.get("a").copied(), recent.get("c").copied()),
            (Some(1), Some(3))
        );
        assert_eq!(recent.len(), 2);
    }

    #[test]
    fn a_key_is_there_once() {
        let mut recent = Recent::new(2);
        for value in 0..5 {
            recent.insert("a", value);
        }
        recent.insert("b", 9);
        assert_eq!(recent.get("a"), Some(&mut 4));
        assert_eq!(recent.remove("a"), Some(4));
        assert_eq!(recent.remove("a"), None);
        assert_eq!(recent.len(), 1);
    }
}

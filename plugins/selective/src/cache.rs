//! Answers of the host, kept for a while, and never more than there is room for. Asks nobody.

use std::collections::HashMap;
use std::sync::Arc;

/// How much a cache may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) entries: usize,
    /// The sum of what [`Cache::insert`] is told of the weight of each entry.
    pub(crate) weight: usize,
}

/// Values by key, each fresh until a moment of its own. When it is full, what is not fresh goes; when that does not help,
/// everything.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    entries: HashMap<Arc<str>, Entry<V>>,
    weight: usize,
    bounds: Bounds,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: usize,
    /// In milliseconds since the Unix epoch.
    until: u64,
}

/// What a cache has under a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<V> {
    /// To be used.
    Fresh(V),
    /// To be asked for anew.
    Stale(V),
    /// Never asked for, or long ago.
    Nothing,
}

impl<V: Clone> Cache<V> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            entries: HashMap::new(),
            weight: 0,
            bounds,
        }
    }

    pub(crate) fn get(&self, key: &str, now: u64) -> Found<V> {
        match self.entries.get(key) {
            Some(entry) if entry.until > now => Found::Fresh(entry.value.clone()),
            Some(entry) => Found::Stale(entry.value.clone()),
            None => Found::Nothing,
        }
    }

    /// Keeps a value, fresh until a moment. One that is too heavy by itself is not kept.
    pub(crate) fn insert(&mut self, key: Arc<str>, value: V, weight: usize, until: u64, now: u64) {
        self.remove(&key);
        if self.is_full(weight) {
            self.entries.retain(|_, entry| entry.until > now);
            self.weight = self.entries.values().map(|entry| entry.weight).sum();
        }
        if self.is_full(weight) {
            self.entries.clear();
            self.weight = 0;
        }
        if !self.is_full(weight) {
            self.weight += weight;
            let entry = Entry { value, weight, until };
            self.entries.insert(key, entry);
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.weight -= entry.weight;
        }
    }

    fn is_full(&self, weight: usize) -> bool {
        self.entries.len() >= self.bounds.entries || self.weight.saturating_add(weight) > self.bounds.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        entries: 3,
        weight: 10,
    };

    fn cache(entries: &[(&str, usize, u64)]) -> Cache<()> {
        let mut cache = Cache::new(BOUNDS);
        for (key, weight, until) in entries {
            cache.insert(Arc::from(*key), (), *weight, *until, 0);
        }
        cache
    }

    fn keys(cache: &Cache<()>) -> Vec<&str> {
        let mut keys: Vec<&str> = cache.entries.keys().map(|key| &**key).collect();
        keys.sort_unstable();
        assert_eq!(
            cache.weight,
            cache.entries.values().map(|entry| entry.weight).sum::<usize>()
        );
        keys
    }

    #[test]
    fn a_value_is_fresh_until_its_moment() {
        let cache = cache(&[("a", 1, 5)]);
        assert_eq!(cache.get("a", 4), Found::Fresh(()));
        assert_eq!(cache.get("a", 5), Found::Stale(()));
        assert_eq!(cache.get("b", 4), Found::Nothing);
    }

    #[test]
    fn when_full_the_stale_go_first_and_then_all() {
        let mut cache = cache(&[("a", 1, 5), ("b", 1, 9), ("c", 1, 9)]);
        cache.insert("d".into(), (), 1, 9, 5);
        assert_eq!(keys(&cache), ["b", "c", "d"]);
        cache.insert("d".into(), (), 2, 9, 5);
        assert_eq!(
            keys(&cache),
            ["b", "c", "d"],
            "one that is replaced takes no place"
        );
        cache.insert("e".into(), (), 1, 9, 5);
        assert_eq!(keys(&cache), ["e"]);
    }

    #[test]
    fn weights_are_bounded_as_entries_are() {
        let mut cache = cache(&[("a", 6, 9), ("b", 4, 9)]);
        assert_eq!(keys(&cache), ["a", "b"]);
        cache.insert("c".into(), (), 1, 9, 0);
        assert_eq!(keys(&cache), ["c"]);
        cache.insert("too heavy".into(), (), 11, 9, 0);
        assert!(keys(&cache).is_empty());
        cache.remove("c");
        assert!(keys(&cache).is_empty());
    }
}

//! The numbers of users, by their ids, and what they are to this homeserver. Knows nothing else of them.

use std::hash::BuildHasher;
use std::hint::black_box;

use hashbrown::{DefaultHashBuilder, HashTable};
use presence_router_api::UserId;

use crate::presence::UserKey;

/// Ids by number, and numbers by id.
#[derive(Debug, Default)]
pub(super) struct UserIds {
    /// By number.
    known: Vec<Known>,
    /// The numbers, found by the ids.
    keys: HashTable<UserKey>,
    hasher: DefaultHashBuilder,
}

/// A user. What is needed together stands together, for among many users it is in no cache.
#[derive(Debug)]
struct Known {
    id: UserId,
    standing: Standing,
}

/// What a user is to this homeserver.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// Whether the id is of this homeserver.
    pub(super) ours: bool,
    /// Whether they are this homeserver's, and can sync.
    pub(super) local: bool,
}

impl UserIds {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn id(&self, key: UserKey) -> Option<&UserId> {
        self.known.get(key.0 as usize).map(|known| &known.id)
    }

    pub(super) fn standing(&self, key: UserKey) -> Standing {
        let known = self.known.get(key.0 as usize);
        known.map_or_else(Standing::default, |known| known.standing)
    }

    pub(super) fn standing_mut(&mut self, key: UserKey) -> Option<&mut Standing> {
        self.known
            .get_mut(key.0 as usize)
            .map(|known| &mut known.standing)
    }

    pub(super) fn key(&self, id: &str) -> Option<UserKey> {
        self.find(self.hasher.hash_one(id), id)
    }

    /// The numbers of some users. Where many are known, each stands in places of its own, none of which the processor has at
    /// hand; looked at one kind after the other, they are fetched from memory side by side.
    pub(super) fn keys_of(&self, ids: &[&UserId]) -> Vec<Option<UserKey>> {
        let hashes: Vec<u64> = ids.iter().map(|id| self.hasher.hash_one(id.as_str())).collect();
        // The first with the same few bits of its hash is mostly the one.
        let candidates = hashes.iter().filter_map(|hash| self.keys.find(*hash, |_| true));
        let candidates: Vec<UserKey> = candidates.copied().collect();
        let look = |seen, user: &UserKey| seen ^ self.look_at(*user);
        black_box(candidates.iter().fold(0, look));
        let look = |seen, user: &UserKey| seen ^ self.look_closer(*user);
        black_box(candidates.iter().fold(0, look));
        let found = hashes.iter().zip(ids);
        found.map(|(hash, id)| self.find(*hash, id.as_str())).collect()
    }

    /// Looks at where the id of a user is. The outcome says nothing.
    pub(super) fn look_at(&self, user: UserKey) -> u64 {
        self.id(user).map_or(0, |id| id.as_str().len() as u64)
    }

    /// Looks at the id of a user. The outcome says nothing.
    pub(super) fn look_closer(&self, user: UserKey) -> u64 {
        let id = self.id(user).map_or(&[][..], |id| id.as_str().as_bytes());
        // It may lie across two lines of the cache.
        id.first().map_or(0, |byte| u64::from(*byte)) ^ id.last().map_or(0, |byte| u64::from(*byte))
    }

    /// Adds somebody who has no number yet.
    pub(super) fn insert(&mut self, id: &UserId, standing: Standing) -> UserKey {
        let number = u32::try_from(self.known.len()).expect("fewer than 2^32 users fit into memory");
        let key = UserKey(number);
        let id = id.clone();
        self.known.push(Known { id, standing });
        let (known, hasher) = (&self.known, &self.hasher);
        let hash = |key: &UserKey| hasher.hash_one(known[key.0 as usize].id.as_str());
        self.keys.insert_unique(hash(&key), key, hash);
        key
    }

    /// Gives back the memory that was taken for more to come.
    pub(super) fn shrink_to_fit(&mut self) {
        self.known.shrink_to_fit();
    }

    fn find(&self, hash: u64, id: &str) -> Option<UserKey> {
        let is_it = |key: &UserKey| self.known[key.0 as usize].id.as_str() == id;
        self.keys.find(hash, is_it).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looked_up_together_or_one_by_one_everybody_has_the_same_number() {
        let id = |number: u32| UserId::parse(format!("@{number}:x")).expect("a test's user id is valid");
        let mut known = UserIds::default();
        let keys: Vec<_> = (0..1_000)
            .map(|number| known.insert(&id(number), Standing::default()))
            .collect();
        let asked: Vec<_> = (500..1_500).chain([7, 7]).map(id).collect();
        let asked: Vec<_> = asked.iter().collect();
        let found = known.keys_of(&asked);
        assert_eq!(
            found[..500],
            keys[500..].iter().copied().map(Some).collect::<Vec<_>>()
        );
        assert_eq!(found[500..1_000], vec![None; 500]);
        assert_eq!(found[1_000..], [Some(keys[7]); 2]);
        for (id, key) in asked.iter().zip(found) {
            assert_eq!(known.key(id.as_str()), key);
            assert!(key.is_none_or(|key| known.id(key) == Some(*id)));
        }
    }
}

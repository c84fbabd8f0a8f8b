//! Whose newest state waits to be sent to which homeserver. A queue holds each user once, so it is never longer than there are
//! users, however long a homeserver is away.

use std::collections::{BTreeSet, HashMap};

use crate::directory::ServerKey;
use crate::presence::UserKey;

/// The queues, one a homeserver.
#[derive(Debug, Default)]
pub struct Destinations(HashMap<ServerKey, BTreeSet<UserKey>>);

impl Destinations {
    /// A user's newest state is to be sent.
    pub fn queue(&mut self, server: ServerKey, user: UserKey) {
        self.0.entry(server).or_default().insert(user);
    }

    /// How many users wait for a homeserver.
    pub fn len_of(&self, server: ServerKey) -> usize {
        self.0.get(&server).map_or(0, BTreeSet::len)
    }

    /// How many pairs of a user and a homeserver wait.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeSet::is_empty)
    }

    /// Takes users who wait for a homeserver, at most `limit`.
    pub fn take(&mut self, server: ServerKey, limit: usize) -> Vec<UserKey> {
        let Some(queue) = self.0.get_mut(&server) else {
            return Vec::new();
        };
        let taken: Vec<_> = std::iter::from_fn(|| queue.pop_first()).take(limit).collect();
        if queue.is_empty() {
            self.0.remove(&server);
        }
        taken
    }
}

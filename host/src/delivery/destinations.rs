//! Whose newest state waits to be sent to which homeserver. A queue holds each user once, so it is never longer than there are
//! users, however long a homeserver is away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::directory::ServerKey;
use crate::presence::UserKey;

/// The queues, one a homeserver.
#[derive(Debug, Default)]
pub struct Destinations {
    queues: HashMap<ServerKey, BTreeMap<UserKey, Queued>>,
    /// For which something has come since they were last looked at.
    fresh: BTreeSet<ServerKey>,
    woken: Arc<Notify>,
    /// Homeservers that are away: what waits for them is stored.
    away: BTreeSet<ServerKey>,
    /// What has come to wait for those, and is not stored yet.
    unsaved: BTreeSet<(ServerKey, UserKey)>,
    /// To which homeservers modules have routed a user's change, to be sent there again as a sign of life.
    routed: HashMap<UserKey, (u64, BTreeSet<ServerKey>)>,
    /// Nothing is sent, so nothing waits.
    is_closed: bool,
}

/// Why a user's state is to be sent to a homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// It has people who share a room with the user: it gets the newest state, whatever that is by then.
    SharedRoom,
    /// A module has routed it there, as it was by the change at this position. A newer one it may route elsewhere.
    Routed(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queued {
    because: Because,
    row: Option<Because>,
}

/// A user's state on its way to a homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Who.
    pub user: UserKey,
    /// Why.
    pub because: Because,
    /// What its row in the database says, if it has one.
    pub row: Option<Because>,
}

impl Queued {
    /// Whether the database does not say why it waits.
    fn is_unsaved(&self) -> bool {
        self.row != Some(self.because)
    }
}

impl Because {
    /// Of two reasons the one that goes further.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Routed(one), Self::Routed(other)) => Self::Routed(one.max(other)),
            _ => Self::SharedRoom,
        }
    }

    /// What stands for it in the database: the change, or 0.
    pub fn stored(self) -> u64 {
        match self {
            Self::SharedRoom => 0,
            Self::Routed(change) => change,
        }
    }

    /// What the database has of it.
    pub fn from_stored(change: u64) -> Self {
        match change {
            0 => Self::SharedRoom,
            change => Self::Routed(change),
        }
    }
}

impl Destinations {
    /// A user's state is to be sent.
    pub fn queue(&mut self, server: ServerKey, user: UserKey, because: Because) {
        if self.is_closed {
            return;
        }
        self.put(
            server,
            Leaving {
                user,
                because,
                row: None,
            },
        );
        if let Because::Routed(change) = because {
            let routed = self
                .routed
                .entry(user)
                .or_insert_with(|| (change, BTreeSet::new()));
            if routed.0 != change {
                *routed = (change, BTreeSet::new());
            }
            routed.1.insert(server);
        }
    }

    /// What was on its way is to be sent after all, or waits since an earlier run.
    pub fn put(&mut self, server: ServerKey, Leaving { user, because, row }: Leaving) {
        if self.is_closed {
            return;
        }
        let queue = self.queues.entry(server).or_default();
        let queued = queue.entry(user).or_insert(Queued { because, row });
        queued.because = queued.because.or(because);
        // What has come to wait meanwhile may have been stored: that is the newer row.
        queued.row = queued.row.or(row);
        if queued.is_unsaved() && self.away.contains(&server) {
            self.unsaved.insert((server, user));
        }
        if self.fresh.insert(server) {
            self.woken.notify_one();
        }
    }

    /// A user's state is to be sent again, as a sign of life, to where modules have routed it, if it is still the same.
    pub fn queue_routed_again(&mut self, user: UserKey, newest: u64) {
        let Some((change, servers)) = self.routed.get(&user) else {
            return;
        };
        if *change != newest {
            self.routed.remove(&user);
            return;
        }
        for server in servers.clone() {
            self.queue(server, user, Because::Routed(newest));
        }
    }

    /// Notified when something has come to wait.
    pub fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.woken)
    }

    /// Takes the homeservers for which something has come to wait since the last time.
    pub fn take_fresh(&mut self) -> Vec<ServerKey> {
        std::mem::take(&mut self.fresh).into_iter().collect()
    }

    /// Takes users who wait for a homeserver, at most `limit`.
    pub fn take(&mut self, server: ServerKey, limit: usize) -> Vec<Leaving> {
        let Some(queue) = self.queues.get_mut(&server) else {
            return Vec::new();
        };
        let taken: Vec<_> = std::iter::from_fn(|| queue.pop_first()).take(limit).collect();
        if queue.is_empty() {
            self.queues.remove(&server);
        }
        let leaving = taken.into_iter();
        leaving
            .map(|(user, Queued { because, row })| Leaving { user, because, row })
            .collect()
    }

    /// A load has arrived. Returns the users whose rows are to be removed: not of those who wait again, whose rows they are
    /// then.
    pub fn has_arrived(&mut self, server: ServerKey, load: Vec<Leaving>) -> Vec<UserKey> {
        let mut queue = self.queues.get_mut(&server);
        let stored = load.into_iter().filter(|leaving| leaving.row.is_some());
        stored
            .filter(|leaving| {
                let queued = queue.as_mut().and_then(|queue| queue.get_mut(&leaving.user));
                match queued {
                    None => true,
                    Some(queued) => {
                        queued.row = queued.row.or(leaving.row);
                        false
                    }
                }
            })
            .map(|leaving| leaving.user)
            .collect()
    }

    /// A homeserver cannot be reached: from now on, what waits for it is stored.
    pub fn is_away(&mut self, server: ServerKey) {
        self.away.insert(server);
        if let Some(queue) = self.queues.get(&server) {
            let unsaved = queue.iter().filter(|(_, queued)| queued.is_unsaved());
            self.unsaved.extend(unsaved.map(|(user, _)| (server, *user)));
        }
    }

    /// A homeserver was reached.
    pub fn is_back(&mut self, server: ServerKey) {
        self.away.remove(&server);
    }

    /// All that waits is to be stored: the server stops.
    pub fn all_are_away(&mut self) {
        let servers: Vec<_> = self.queues.keys().copied().collect();
        for server in servers {
            self.is_away(server);
        }
    }

    /// Whether something is to be stored.
    pub fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// Takes what is to be stored. Whoever takes it does so.
    pub fn take_unsaved(&mut self) -> Vec<(ServerKey, UserKey, Because)> {
        let unsaved = std::mem::take(&mut self.unsaved).into_iter();
        unsaved
            .filter_map(|(server, user)| {
                let queued = self.queues.get_mut(&server)?.get_mut(&user)?;
                queued.row = Some(queued.because);
                Some((server, user, queued.because))
            })
            .collect()
    }

    /// Nothing is sent: what waits is forgotten, and nothing more waits.
    pub fn close(&mut self) {
        *self = Self {
            is_closed: true,
            ..Self::default()
        };
    }

    /// How many users wait for each homeserver for which some do.
    pub fn lens(&self) -> impl Iterator<Item = (ServerKey, usize)> + '_ {
        self.queues.iter().map(|(server, queue)| (*server, queue.len()))
    }

    /// How many users wait for a homeserver.
    pub fn len_of(&self, server: ServerKey) -> usize {
        self.queues.get(&server).map_or(0, BTreeMap::len)
    }

    /// How many pairs of a user and a homeserver wait.
    pub fn len(&self) -> usize {
        self.queues.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queues.values().all(BTreeMap::is_empty)
    }
}

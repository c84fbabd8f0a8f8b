//! What has been handed over and is not yet on disk: the newest of each, so it is bounded by the number of users,
//! rooms, modules, homeservers, and pairs of a module or a homeserver with a user. Knows no SQL and no thread.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use foldhash::quality::RandomState;
use presence_router_api::UserId;

use super::records::{
    StoredDestination, StoredModule, StoredOutgoing, StoredPresence, StoredRoom, StoredRoute, Writes,
};
use super::rows::{Reserved, Snapshot};
use crate::presence::ByUser;

/// How many rooms go into a transaction: at the first start there may be very many.
const MAX_ROOMS: usize = 8_192;

/// Ids are hashed for each change. Who makes them up does not know by what, as that is another number in each map.
type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

#[derive(Default)]
pub(super) struct Pending {
    pub(super) presence: ByUser<StoredPresence>,
    /// By module, then by user.
    pub(super) routed: HashMap<Arc<str>, HashMap<UserId, StoredRoute>>,
    pub(super) snapshots: HashMap<UserId, Snapshot>,
    /// Sorted, so that a part can be taken, which lies side by side in the database.
    pub(super) rooms: BTreeMap<String, StoredRoom>,
    pub(super) reserved: Option<Reserved>,
    pub(super) modules: HashMap<Arc<str>, StoredModule>,
    /// By homeserver, then by user.
    pub(super) outgoing: HashMap<Arc<str>, HashMap<UserId, Outgoing>>,
    pub(super) destinations: HashMap<Arc<str>, StoredDestination>,
}

/// What is to become of the row of a user's state for a homeserver.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// It waits, and has its row.
    Waits(StoredOutgoing),
    /// It was sent, and has none.
    Sent,
}

impl Outgoing {
    /// The row, when there is to be one.
    pub(super) fn waits(&self) -> Option<&StoredOutgoing> {
        match self {
            Self::Waits(record) => Some(record),
            Self::Sent => None,
        }
    }
}

impl Pending {
    /// Adds what is newer.
    pub(super) fn add(&mut self, writes: Writes) {
        for module in writes.modules {
            self.modules.insert(Arc::clone(&module.name), module);
        }
        self.presence.extend(writes.presence);
        // They come from one module at a time, which is looked up once.
        let mut routes = writes.routed.into_iter().peekable();
        while let Some(first) = routes.next() {
            let module = Arc::clone(&first.module);
            let of_module = self.routed.entry(Arc::clone(&module)).or_default();
            of_module.insert(first.user_id.clone(), first);
            while let Some(route) = routes.next_if(|route| route.module == module) {
                of_module.insert(route.user_id.clone(), route);
            }
        }
        for (user, position) in writes.snapshots {
            self.snapshots.insert(user.clone(), Snapshot(user, position));
        }
        for room in writes.rooms {
            self.rooms.insert(room.room_id.clone(), room);
        }
        for (server, user) in writes.sent {
            self.outgoing
                .entry(server)
                .or_default()
                .insert(user, Outgoing::Sent);
        }
        for record in writes.outgoing {
            self.outgoing
                .entry(Arc::clone(&record.server))
                .or_default()
                .insert(record.user_id.clone(), Outgoing::Waits(record));
        }
        for destination in writes.destinations {
            self.destinations
                .insert(Arc::clone(&destination.server), destination);
        }
        if let Some(position) = writes.reserved {
            self.reserve(Reserved(position));
        }
    }

    /// Takes what somebody may wait for. What modules have routed stays: nobody does, and the next of a user takes its place.
    pub(super) fn take_urgent(&mut self) -> Self {
        let routed = mem::take(&mut self.routed);
        let urgent = self.take_bounded();
        self.routed = routed;
        urgent
    }

    /// Takes all but rooms beyond [`MAX_ROOMS`]: who comes meanwhile does not wait for a million of them.
    pub(super) fn take_bounded(&mut self) -> Self {
        let mut taken = mem::take(self);
        if let Some(first_left) = taken.rooms.keys().nth(MAX_ROOMS).cloned() {
            self.rooms = taken.rooms.split_off(&first_left);
        }
        taken
    }

    /// Takes back what could not be written; what has come meanwhile is newer.
    pub(super) fn take_back(&mut self, older: Self) {
        let newer = mem::replace(self, older);
        self.presence.extend(newer.presence);
        for (module, routes) in newer.routed {
            self.routed.entry(module).or_default().extend(routes);
        }
        self.snapshots.extend(newer.snapshots);
        self.rooms.extend(newer.rooms);
        self.modules.extend(newer.modules);
        for (server, users) in newer.outgoing {
            self.outgoing.entry(server).or_default().extend(users);
        }
        self.destinations.extend(newer.destinations);
        if let Some(reserved) = newer.reserved {
            self.reserve(reserved);
        }
    }

    fn reserve(&mut self, newer: Reserved) {
        if self.reserved.as_ref().is_none_or(|older| older.0 < newer.0) {
            self.reserved = Some(newer);
        }
    }

    /// How many rows it is.
    pub(super) fn len(&self) -> usize {
        self.presence.len()
            + self.routed.values().map(HashMap::len).sum::<usize>()
            + self.snapshots.len()
            + self.rooms.len()
            + self.modules.len()
            + self.outgoing.values().map(HashMap::len).sum::<usize>()
            + self.destinations.len()
            + usize::from(self.reserved.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_position_only_grows() {
        let mut pending = Pending::default();
        for position in [5, 9, 7] {
            let writes = Writes {
                reserved: Some(position),
                ..Writes::default()
            };
            pending.add(writes);
        }
        assert_eq!(pending.reserved.as_ref().map(|reserved| reserved.0), Some(9));
        let mut newer = Pending {
            reserved: Some(Reserved(8)),
            ..Pending::default()
        };
        newer.take_back(pending);
        assert_eq!(newer.reserved.map(|reserved| reserved.0), Some(9));
    }

    #[test]
    fn rooms_go_a_part_at_a_time_and_what_was_routed_goes_last() {
        let rooms = MAX_ROOMS + 3;
        let writes = Writes {
            rooms: (0..rooms)
                .map(|number| StoredRoom {
                    room_id: format!("!{number}:b"),
                    digest: [0; 32],
                    changed: 1,
                })
                .collect(),
            routed: vec![StoredRoute {
                module: "module".into(),
                user_id: UserId::parse("@a:b").expect("is a user id"),
                change: 1,
                position: 2,
            }],
            reserved: Some(7),
            ..Writes::default()
        };
        let mut pending = Pending::default();
        pending.add(writes);
        let first = pending.take_urgent();
        assert_eq!((first.rooms.len(), first.routed.len()), (MAX_ROOMS, 0));
        assert!(first.reserved.is_some());
        assert_eq!(pending.len(), 3 + 1);
        let second = pending.take_bounded();
        assert_eq!((second.rooms.len(), second.routed.len()), (3, 1));
        assert!(pending.is_empty());
    }

    #[test]
    fn what_modules_have_routed_is_by_module_and_the_newest_of_each_user() {
        let route = |(module, name, change): (&str, &str, u64)| StoredRoute {
            module: module.into(),
            user_id: UserId::parse(format!("@{name}:b")).expect("is a user id"),
            change,
            position: change + 1,
        };
        let routes = [("one", "a", 1), ("one", "b", 2), ("two", "a", 3), ("one", "a", 4)];
        let mut pending = Pending::default();
        pending.add(Writes {
            routed: routes.map(route).into(),
            ..Writes::default()
        });
        let changes = |module| {
            let mut changes: Vec<_> = pending.routed[module]
                .values()
                .map(|route| route.change)
                .collect();
            changes.sort_unstable();
            changes
        };
        assert_eq!((changes("one"), changes("two")), (vec![2, 4], vec![3]));
    }

    #[test]
    fn the_newest_word_on_a_state_for_a_homeserver_counts() {
        let server: Arc<str> = "remote.example".into();
        let user = UserId::parse("@a:b").expect("is a user id");
        let waits = |change| StoredOutgoing {
            server: Arc::clone(&server),
            user_id: user.clone(),
            change,
        };
        let outgoing = |change| Writes {
            outgoing: vec![waits(change)],
            ..Writes::default()
        };
        let sent = || Writes {
            sent: vec![(Arc::clone(&server), user.clone())],
            ..Writes::default()
        };
        let both = Writes {
            sent: sent().sent,
            ..outgoing(3)
        };
        let check = |older: Vec<Writes>, newer: Vec<Writes>, expected: &Outgoing| {
            let (mut failed, mut pending) = (Pending::default(), Pending::default());
            for writes in older {
                failed.add(writes);
            }
            for writes in newer {
                pending.add(writes);
            }
            pending.take_back(failed);
            assert_eq!(pending.len(), 1, "one row for a pair");
            assert_eq!(pending.outgoing[&server][&user], *expected);
        };
        check(vec![outgoing(1), sent()], vec![], &Outgoing::Sent);
        check(vec![sent(), outgoing(1)], vec![], &Outgoing::Waits(waits(1)));
        check(
            vec![sent(), outgoing(2), outgoing(1)],
            vec![],
            &Outgoing::Waits(waits(1)),
        );
        check(vec![outgoing(1)], vec![sent()], &Outgoing::Sent);
        check(vec![sent()], vec![outgoing(1)], &Outgoing::Waits(waits(1)));
        check(vec![], vec![both], &Outgoing::Waits(waits(3)));
    }
    #[test]
    fn what_is_taken_back_keeps_all_that_nothing_newer_has_come_for() {
        let writes = |user: &str, change, failures| Writes {
            outgoing: vec![StoredOutgoing {
                server: "remote.example".into(),
                user_id: UserId::parse(user).expect("is a user id"),
                change,
            }],
            destinations: vec![StoredDestination {
                server: "remote.example".into(),
                succeeded_ts: 0,
                failed_ts: 1,
                retry_ts: 2,
                failures,
            }],
            ..Writes::default()
        };
        let (mut failed, mut pending) = (Pending::default(), Pending::default());
        failed.add(writes("@older:b", 1, 1));
        failed.add(writes("@both:b", 1, 1));
        pending.add(writes("@both:b", 2, 2));
        pending.add(writes("@newer:b", 2, 2));
        pending.take_back(failed);
        let mut waits: Vec<_> = pending.outgoing["remote.example"]
            .values()
            .filter_map(Outgoing::waits)
            .map(|record| (record.user_id.as_str(), record.change))
            .collect();
        waits.sort_unstable();
        assert_eq!(waits, [("@both:b", 2), ("@newer:b", 2), ("@older:b", 1)]);
        assert_eq!(pending.destinations["remote.example"].failures, 2);
        assert_eq!(pending.len(), 3 + 1);
    }
}

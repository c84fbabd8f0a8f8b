//! What has been handed over and is not yet on disk: the newest of each, so it is bounded by the number of users,
//! rooms and modules. Knows no SQL and no thread.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use presence_router_api::UserId;

use super::records::{StoredModule, StoredPresence, StoredRoom, StoredRoute, Writes};
use super::rows::{Reserved, Snapshot};

#[derive(Default)]
pub(super) struct Pending {
    pub(super) presence: HashMap<UserId, StoredPresence>,
    /// By module, then by user.
    pub(super) routed: HashMap<Arc<str>, HashMap<UserId, StoredRoute>>,
    pub(super) snapshots: HashMap<UserId, Snapshot>,
    pub(super) rooms: HashMap<String, StoredRoom>,
    pub(super) reserved: Option<Reserved>,
    pub(super) modules: HashMap<Arc<str>, StoredModule>,
    /// The modules whose stored routes go before those in `routed` come.
    pub(super) forgotten: HashSet<Arc<str>>,
}

impl Pending {
    /// Adds what is newer. `known` are the modules as of all that was handed over before, and is brought up to date.
    pub(super) fn add(&mut self, writes: Writes, known: &mut HashMap<Arc<str>, String>) {
        for module in writes.modules {
            if known.get(&module.name) == Some(&module.fingerprint) {
                continue;
            }
            self.routed.remove(&module.name);
            self.forgotten.insert(Arc::clone(&module.name));
            known.insert(Arc::clone(&module.name), module.fingerprint.clone());
            self.modules.insert(Arc::clone(&module.name), module);
        }
        for record in writes.presence {
            self.presence.insert(record.user_id.clone(), record);
        }
        for route in writes.routed {
            self.routed
                .entry(Arc::clone(&route.module))
                .or_default()
                .insert(route.user_id.clone(), route);
        }
        for (user, position) in writes.snapshots {
            self.snapshots.insert(user.clone(), Snapshot(user, position));
        }
        for room in writes.rooms {
            self.rooms.insert(room.room_id.clone(), room);
        }
        if let Some(position) = writes.reserved {
            self.reserve(Reserved(position));
        }
    }

    /// Takes back what could not be written; what has come meanwhile is newer.
    pub(super) fn take_back(&mut self, older: Self) {
        let newer = std::mem::replace(self, older);
        for module in &newer.forgotten {
            self.routed.remove(module);
        }
        self.presence.extend(newer.presence);
        for (module, routes) in newer.routed {
            self.routed.entry(module).or_default().extend(routes);
        }
        self.snapshots.extend(newer.snapshots);
        self.rooms.extend(newer.rooms);
        self.modules.extend(newer.modules);
        self.forgotten.extend(newer.forgotten);
        if let Some(reserved) = newer.reserved {
            self.reserve(reserved);
        }
    }

    fn reserve(&mut self, newer: Reserved) {
        if self.reserved.as_ref().is_none_or(|older| older.0 < newer.0) {
            self.reserved = Some(newer);
        }
    }

    /// How many rows it is. What is forgotten comes with its module.
    pub(super) fn len(&self) -> usize {
        self.presence.len()
            + self.routed.values().map(HashMap::len).sum::<usize>()
            + self.snapshots.len()
            + self.rooms.len()
            + self.modules.len()
            + usize::from(self.reserved.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(user: &str, change: u64) -> StoredRoute {
        StoredRoute {
            module: "m".into(),
            user_id: UserId::parse(user).unwrap(),
            change,
            position: change + 1,
        }
    }

    fn module(fingerprint: &str) -> StoredModule {
        StoredModule {
            name: "m".into(),
            fingerprint: fingerprint.into(),
            since: 1,
        }
    }

    fn routes(pending: &Pending) -> Vec<u64> {
        let mut changes: Vec<_> = pending
            .routed
            .values()
            .flat_map(HashMap::values)
            .map(|route| route.change)
            .collect();
        changes.sort_unstable();
        changes
    }

    #[test]
    fn a_new_fingerprint_forgets_the_routes_before_it_and_keeps_those_with_it() {
        let (mut pending, mut known) = (Pending::default(), HashMap::from([("m".into(), "1".to_owned())]));
        let mut add = |pending: &mut Pending, modules, routed| {
            let writes = Writes {
                routed,
                modules,
                ..Writes::default()
            };
            pending.add(writes, &mut known);
        };
        add(&mut pending, vec![module("1")], vec![route("@a:b", 1)]);
        assert!(pending.forgotten.is_empty(), "the fingerprint is known");
        add(&mut pending, vec![module("2")], vec![route("@c:b", 2)]);
        assert_eq!((routes(&pending), pending.forgotten.len()), (vec![2], 1));

        // Not written, while another fingerprint comes: nothing of before it is left.
        let mut newer = Pending::default();
        add(&mut newer, vec![module("3")], vec![route("@d:b", 3)]);
        newer.take_back(pending);
        assert_eq!((routes(&newer), newer.forgotten.len()), (vec![3], 1));

        // Not written either; what comes later keeps it.
        let mut latest = Pending::default();
        add(
            &mut latest,
            vec![module("3")],
            vec![route("@d:b", 4), route("@e:b", 5)],
        );
        assert!(latest.forgotten.is_empty());
        latest.take_back(newer);
        assert_eq!((routes(&latest), latest.forgotten.len()), (vec![4, 5], 1));
    }

    #[test]
    fn the_reserved_position_only_grows() {
        let (mut pending, mut known) = (Pending::default(), HashMap::new());
        for position in [5, 9, 7] {
            let writes = Writes {
                reserved: Some(position),
                ..Writes::default()
            };
            pending.add(writes, &mut known);
        }
        assert_eq!(pending.reserved.as_ref().map(|reserved| reserved.0), Some(9));
        let mut newer = Pending {
            reserved: Some(Reserved(8)),
            ..Pending::default()
        };
        newer.take_back(pending);
        assert_eq!(newer.reserved.map(|reserved| reserved.0), Some(9));
    }
}

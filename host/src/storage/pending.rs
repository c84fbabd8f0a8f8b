//! What has been handed over and is not yet on disk: the newest of each, so it is bounded by the number of users,
//! rooms and modules. Knows no SQL and no thread.

use std::collections::HashMap;
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
}

impl Pending {
    /// Adds what is newer.
    pub(super) fn add(&mut self, writes: Writes) {
        for module in writes.modules {
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
        self.presence.extend(newer.presence);
        for (module, routes) in newer.routed {
            self.routed.entry(module).or_default().extend(routes);
        }
        self.snapshots.extend(newer.snapshots);
        self.rooms.extend(newer.rooms);
        self.modules.extend(newer.modules);
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
}

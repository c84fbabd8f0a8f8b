//! What is known of the rooms: who is in which, and so who sees whom. Asks nobody.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use presence_router_api::{Audience, InterestedUsers, Routes, StateUpdates, UserId};

/// The members of a room when they were last looked up.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) users: HashSet<UserId>,
    pub(crate) audience: Audience,
}

/// The members of all rooms at one moment. Both routing methods answer from one of these.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// By room, for the rooms that could be looked up at least once.
    rooms: BTreeMap<String, Arc<Members>>,
    /// For each user whose presence is sent, to whom.
    viewers_of: HashMap<UserId, Vec<Audience>>,
}

impl Snapshot {
    /// `sent` says for each room whose presence its members see.
    pub(crate) fn new(rooms: BTreeMap<String, Arc<Members>>, sent: &BTreeMap<String, Vec<UserId>>) -> Self {
        let mut viewers_of: HashMap<UserId, Vec<Audience>> = HashMap::new();
        for (room, members) in rooms.iter().filter(|(_, members)| !members.users.is_empty()) {
            for user in sent.get(room).into_iter().flatten() {
                let viewers = viewers_of.entry(user.clone()).or_default();
                viewers.push(members.audience.clone());
            }
        }
        Self { rooms, viewers_of }
    }

    pub(crate) fn rooms(&self) -> &BTreeMap<String, Arc<Members>> {
        &self.rooms
    }

    pub(crate) fn route(&self, updates: &StateUpdates) -> Routes {
        let mut routes = Routes::new();
        for update in updates {
            for viewers in self.viewers_of.get(update.user_id()).into_iter().flatten() {
                routes.send(update, viewers);
            }
        }
        routes
    }

    pub(crate) fn interested(
        &self,
        viewer: &UserId,
        sent: &BTreeMap<String, Vec<UserId>>,
    ) -> InterestedUsers {
        let rooms = self.rooms.iter();
        rooms
            .filter(|(_, members)| members.users.contains(viewer))
            .filter_map(|(room, _)| sent.get(room))
            .flatten()
            .filter(|user| *user != viewer)
            .cloned()
            .collect()
    }
}

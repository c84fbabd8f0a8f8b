//! What the logs hold for a reader: changes of people who share a room, people who have come to share one, and what the
//! modules routed. Asks no module.

use crate::config::Tracking;
use crate::delivery::{Cursor, ModuleTag, Owes, PresenceEvent, PresenceFilter, SyncToken};
use crate::engine::Shared;
use crate::engine::sync::SyncError;
use crate::engine::world::World;
use crate::metrics::Read as Way;
use crate::presence::UserKey;

/// What a reader is to get.
pub(super) enum Read {
    /// What the logs hold.
    Logs(Logs),
    /// A full snapshot instead.
    Snapshot,
}

/// What the logs hold.
pub(super) struct Logs {
    /// What is news, as far as the filter admits it.
    pub(super) events: Vec<PresenceEvent>,
    /// The modules that must be asked for what the logs do not reach back to.
    pub(super) owed: Vec<ModuleTag>,
    /// Has read them, but for those of modules that owe an answer.
    pub(super) token: SyncToken,
}

impl Shared {
    /// What the logs hold for a reader after a token.
    pub(super) fn read(
        &self,
        reader: UserKey,
        token: &SyncToken,
        filter: &PresenceFilter,
    ) -> Result<Read, SyncError> {
        let world = self.world.read();
        let position = world.streams.position();
        if token.furthest() > position {
            return Err(SyncError::UnknownToken);
        }
        // Where nothing is told, the token stays where it was: who went offline by it is told when presence is enabled again.
        if token.has_read(position) || self.presence.enabled == Tracking::Disabled {
            return Ok(Read::Logs(Logs {
                events: Vec::new(),
                owed: Vec::new(),
                token: token.clone(),
            }));
        }
        if world
            .snapshots
            .get(&reader)
            .is_some_and(|mark| token.stream < *mark)
        {
            return Ok(Read::Snapshot);
        }
        let now = self.clock.now_ms();
        let mut seen = self.changed_contacts(&world, reader, token.stream);
        let introduced = world.shared_rooms().newly_shown(reader, token.stream);
        if !introduced.is_empty() {
            // Who has gone is worth it for a reader who may know otherwise, by a module that showed them.
            let worth = |user: &UserKey| {
                world.is_worth_introducing(*user, now) || world.streams.is_unread(*user, token)
            };
            seen.extend(introduced.into_iter().filter(worth));
            seen.sort_unstable();
            seen.dedup();
        }
        let (mut routed, mut owed, mut cursors) = (Vec::new(), Vec::new(), Vec::new());
        for module in world.streams.modules() {
            let mut cursor = token.cursor(module);
            let in_logs = cursor.routed >= world.streams.routed_floor(module, reader);
            let has_lost_sight = || world.lost_sight_of(module, reader, token).next().is_some();
            if in_logs && cursor.owes == Owes::News && !has_lost_sight() {
                let updates = world.streams.routed_after(module, reader, token);
                routed.extend(updates.map(|update| update.user));
                cursor.routed = position;
            } else {
                owed.push(module);
            }
            cursors.push((module, cursor));
        }
        // Whom a reader sees by rooms is not told of a second time. Two modules, or two audiences, may name the same.
        routed.retain(|user| !world.shared_rooms().shows(reader, *user));
        routed.sort_unstable();
        routed.dedup();
        seen.extend(routed);
        let otherwise = Cursor {
            routed: position,
            ..token.common()
        };
        Ok(Read::Logs(Logs {
            events: world.events(filter, seen.into_iter(), now),
            owed,
            token: SyncToken::new(position, &cursors, otherwise),
        }))
    }

    /// Of whom a reader sees by rooms, those who have changed after a position.
    fn changed_contacts(&self, world: &World, reader: UserKey, position: u64) -> Vec<UserKey> {
        let (rooms, streams) = (world.shared_rooms(), &world.streams);
        // The shorter way: over what changed, or over whom one sees.
        let contacts = rooms.contacts_at_most(reader);
        if streams.changed_after_at_most(position, contacts) < contacts {
            self.metrics.read(Way::Stream);
            streams
                .changed_after(position)
                .filter(|user| rooms.shows(reader, *user))
                .collect()
        } else {
            self.metrics.read(Way::Full);
            rooms.contacts_of_whom(reader, |user| streams.last_change(user) > position)
        }
    }
}

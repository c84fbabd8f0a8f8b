//! What the logs hold for a reader: changes of people who share a room, people who have come to share one, and what the
//! modules routed. Asks no module.

use crate::config::Tracking;
use crate::delivery::{ModuleTag, Owes, PresenceEvent, PresenceFilter, SyncToken};
use crate::engine::Shared;
use crate::engine::sync::SyncError;
use crate::engine::world::World;
use crate::metrics::Read as Way;
use crate::presence::UserKey;

/// What the logs hold.
pub(super) struct Read {
    /// What is news, as far as the filter admits it.
    pub(super) events: Vec<PresenceEvent>,
    /// The modules that must be asked for what the logs do not reach back to.
    pub(super) owed: Vec<ModuleTag>,
    /// Up to here.
    pub(super) position: u64,
    /// Whether the reader is to get a full snapshot instead.
    pub(super) snapshot: bool,
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
        let mut read = Read {
            events: Vec::new(),
            owed: Vec::new(),
            position,
            snapshot: false,
        };
        if self.presence.enabled == Tracking::Disabled {
            return Ok(read);
        }
        if world
            .snapshots
            .get(&reader)
            .is_some_and(|mark| token.stream < *mark)
        {
            read.snapshot = true;
            return Ok(read);
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
        let modules: Vec<_> = world.streams.modules().collect();
        for module in &modules {
            let cursor = world.streams.cursor(*module, token);
            let in_logs = cursor.routed >= world.streams.routed_floor(*module, reader);
            if !in_logs || cursor.owes == Owes::All {
                read.owed.push(*module);
            }
        }
        let paid = modules.iter().filter(|module| !read.owed.contains(module));
        seen.extend(routed(&world, reader, token, paid.copied()));
        read.events = world.events(filter, seen.into_iter(), now);
        Ok(read)
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
            let mut contacts = rooms.contacts(reader);
            contacts.retain(|user| streams.last_change(*user) > position);
            contacts
        }
    }
}

/// Of whom a reader does not see by rooms, those whom modules routed to them after a token.
fn routed(
    world: &World,
    reader: UserKey,
    token: &SyncToken,
    modules: impl Iterator<Item = ModuleTag>,
) -> Vec<UserKey> {
    let rooms = world.shared_rooms();
    let mut routed: Vec<_> = modules
        .flat_map(|module| world.streams.routed_after(module, reader, token))
        .map(|update| update.user)
        .filter(|user| !rooms.shows(reader, *user))
        .collect();
    routed.sort_unstable();
    routed.dedup();
    routed
}

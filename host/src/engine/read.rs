//! What the logs hold for a reader: changes of people who share a room, and what the modules routed. Asks no module.

use crate::config::Tracking;
use crate::delivery::{PresenceEvent, PresenceFilter, SyncToken};
use crate::engine::sync::SyncError;
use crate::engine::{Shared, World};
use crate::presence::UserKey;

/// What the logs hold.
pub(super) struct Read {
    /// What is news, as far as the filter admits it.
    pub(super) events: Vec<PresenceEvent>,
    /// Whether a module must be asked for what the logs do not reach back to.
    pub(super) owed: bool,
    /// Up to here.
    pub(super) position: u64,
}

impl Shared {
    /// What the logs hold for a reader after a token.
    pub(super) fn read(
        &self,
        reader: UserKey,
        token: SyncToken,
        filter: &PresenceFilter,
    ) -> Result<Read, SyncError> {
        let world = self.world.read();
        let streams = &world.streams;
        let position = streams.position();
        if token.stream > position || token.routed > position || token.fetched > position {
            return Err(SyncError::UnknownToken);
        }
        if self.tracking == Tracking::Disabled {
            return Ok(Read {
                events: Vec::new(),
                owed: false,
                position,
            });
        }
        let mut seen = self.changed_contacts(&world, reader, token);
        let owed = !self.feeds.is_empty() && token.routed < streams.routed_floor(reader);
        if !owed {
            seen.extend(self.routed(&world, reader, token));
        }
        Ok(Read {
            events: self.events(&world, filter, seen.into_iter()),
            owed,
            position,
        })
    }

    /// Of whom a reader sees by rooms, those who have changed after a token.
    fn changed_contacts(&self, world: &World, reader: UserKey, token: SyncToken) -> Vec<UserKey> {
        let (rooms, streams) = (self.shared_rooms(), &world.streams);
        // The shorter way: over what changed, or over whom one sees.
        let contacts = rooms.contacts_at_most(reader);
        if streams.changed_after_at_most(token.stream, contacts) < contacts {
            streams
                .changed_after(token.stream)
                .filter(|user| rooms.shows(reader, *user))
                .collect()
        } else {
            let mut contacts = rooms.contacts(reader);
            contacts.retain(|user| streams.last_change(*user) > token.stream);
            contacts
        }
    }

    /// Of whom a reader does not see by rooms, those who were routed to them after a token.
    fn routed(&self, world: &World, reader: UserKey, token: SyncToken) -> Vec<UserKey> {
        let rooms = self.shared_rooms();
        let mut routed: Vec<_> = world
            .streams
            .routed_after(reader, token.routed)
            .filter(|update| update.is_news_after(token.fetched))
            .map(|update| update.user)
            .filter(|user| !rooms.shows(reader, *user))
            .collect();
        routed.sort_unstable();
        routed.dedup();
        routed
    }

    pub(super) fn events(
        &self,
        world: &World,
        filter: &PresenceFilter,
        users: impl Iterator<Item = UserKey>,
    ) -> Vec<PresenceEvent> {
        users
            .filter_map(|user| {
                let sender = self
                    .directory
                    .id(user)
                    .filter(|id| filter.admits(id.as_str()))?
                    .clone();
                Some(PresenceEvent {
                    sender,
                    content: self.content(world, user),
                })
            })
            .collect()
    }
}

/// Of users whom a module showed by the states that they had at a position, those who still have them. The others' new
/// states are on their way through the module, which may route them elsewhere.
pub(super) fn unchanged_since<'a>(
    world: &'a World,
    users: &'a [UserKey],
    position: u64,
) -> impl Iterator<Item = UserKey> + 'a {
    users
        .iter()
        .copied()
        .filter(move |user| world.streams.last_change(*user) <= position)
}

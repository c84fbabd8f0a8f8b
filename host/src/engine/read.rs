//! What the logs hold for a reader: changes of people who share a room, people who have come to share one, and what the
//! modules routed. Asks no module.

use smallvec::SmallVec;

use crate::config::Tracking;
use crate::delivery::{Cursor, Events, ModuleTag, Owes, PresenceFilter, SyncToken};
use crate::engine::Shared;
use crate::engine::gathered::{Asked, Changes, Moment};
use crate::engine::sync::SyncError;
use crate::engine::world::World;
use crate::metrics::Read as Way;
use crate::presence::UserKey;

/// How far each module was read. So many stand in place.
type Cursors = SmallVec<[(ModuleTag, Cursor); 2]>;

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
    pub(super) events: Events,
    /// The modules that must be asked for what the logs do not reach back to.
    pub(super) owed: Vec<ModuleTag>,
    /// Has read them, but for those of modules that owe an answer.
    pub(super) token: SyncToken,
}

impl Logs {
    fn nothing_new(token: &SyncToken) -> Self {
        Self {
            events: Events::default(),
            owed: Vec::new(),
            token: token.clone(),
        }
    }
}

impl Shared {
    /// What the logs hold for a reader after a token.
    pub(super) fn read(
        &self,
        reader: UserKey,
        token: &SyncToken,
        filter: &PresenceFilter,
    ) -> Result<Read, SyncError> {
        if token.has_read(self.progress.position()) {
            return Ok(Read::Logs(Logs::nothing_new(token)));
        }
        let world = self.world.read();
        let position = world.streams.position();
        if token.furthest() > position {
            return Err(SyncError::UnknownToken);
        }
        if self.presence.enabled == Tracking::Disabled {
            // Nothing is told, so the token stays where it was: who went offline by it is told when presence is enabled again.
            return Ok(Read::Logs(Logs::nothing_new(token)));
        }
        if world
            .snapshots
            .get(&reader)
            .is_some_and(|mark| token.stream < *mark)
        {
            return Ok(Read::Snapshot);
        }
        let now = self.clock.now_ms();
        let mut more = world.shared_rooms().newly_shown(reader, token.stream);
        // Who has gone is worth it for a reader who may know otherwise, by a module that showed them.
        more.retain(|user| world.is_worth_introducing(*user, now) || world.streams.is_unread(*user, token));
        let (mut routed, mut owed, mut cursors) = (Vec::new(), Vec::new(), Cursors::new());
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
        more.extend(routed);
        let events = if more.is_empty() {
            self.changes(&world, reader, token.stream, filter, now)
        } else {
            let (mut seen, way) = changed_contacts(&world, reader, token.stream);
            self.metrics.read(way);
            seen.extend(more);
            seen.sort_unstable();
            seen.dedup();
            world.events(filter, seen.into_iter(), now).into()
        };
        let otherwise = Cursor {
            routed: position,
            ..token.common()
        };
        Ok(Read::Logs(Logs {
            events,
            owed,
            token: SyncToken::new(position, &cursors, otherwise),
        }))
    }

    /// The changes after a position of those whom a reader sees by rooms.
    fn changes(
        &self,
        world: &World,
        reader: UserKey,
        since: u64,
        filter: &PresenceFilter,
        now: u64,
    ) -> Events {
        let find = || {
            let (seen, way) = changed_contacts(world, reader, since);
            let events = world.events(filter, seen.into_iter(), now).into();
            Changes { events, way }
        };
        let Changes { events, way } = match world.shared_rooms().rooms(reader) {
            // They are among the members themselves.
            [room] if filter.admits_all() => {
                let moment = Moment {
                    version: world.version,
                    position: world.streams.position(),
                    now,
                };
                self.gathered.changes(moment, Asked { room: *room, since }, find)
            }
            _ => find(),
        };
        self.metrics.read(way);
        events
    }
}

/// Of whom a reader sees by rooms, those who have changed after a position.
fn changed_contacts(world: &World, reader: UserKey, position: u64) -> (Vec<UserKey>, Way) {
    let (rooms, streams) = (world.shared_rooms(), &world.streams);
    // The shorter way: over what changed, or over whom one sees.
    let contacts = rooms.contacts_at_most(reader);
    if streams.changed_after_at_most(position, contacts) < contacts {
        let changed = streams.changed_after(position);
        let seen = changed.filter(|user| rooms.shows(reader, *user));
        (seen.collect(), Way::Stream)
    } else {
        let changed = |user| streams.last_change(user) > position;
        (rooms.contacts_of_whom(reader, changed), Way::Full)
    }
}

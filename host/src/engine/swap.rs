//! Modules that come, go and take over while the server runs. Nothing that was routed is lost by it, and nobody waits.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use presence_router_api::{PresenceState, SharedRoomPresence};
use tokio::time::Instant;

use crate::delivery::{Fingerprint, ModuleTag, TakenOver};
use crate::engine::feed::{self, Feed};
use crate::engine::generation::{Generation, Retired};
use crate::engine::restore;
use crate::engine::world::World;
use crate::engine::{Engine, Shared};
use crate::modules::{AudienceId, Running};
use crate::storage::{StoredModule, StoredRoom, Writes};

/// How long what a generation has routed is kept for whoever has not read it, when another has taken over. Who reads later
/// asks that one.
const KEPT_FOR: Duration = Duration::from_mins(1);
/// Of so many generations at most.
const MAX_KEPT: usize = 8;

/// The audiences of generations that route no more.
#[derive(Debug, Default)]
pub(super) struct KeptAudiences(VecDeque<(Instant, HashSet<AudienceId>)>);

impl KeptAudiences {
    /// Keeps those that are not kept yet, and returns those that are to be forgotten in their place.
    fn keep(&mut self, audiences: impl IntoIterator<Item = AudienceId>) -> HashSet<AudienceId> {
        let is_new = |audience: &AudienceId| !self.0.iter().any(|(_, kept)| kept.contains(audience));
        let new: HashSet<_> = audiences.into_iter().filter(is_new).collect();
        if !new.is_empty() {
            self.0.push_back((Instant::now() + KEPT_FOR, new));
        }
        if self.0.len() > MAX_KEPT {
            return self.0.pop_front().map_or_else(HashSet::new, |(_, oldest)| oldest);
        }
        HashSet::new()
    }

    /// When the oldest are to be forgotten.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }

    /// Takes what is to be forgotten by now.
    pub(super) fn take_due(&mut self) -> HashSet<AudienceId> {
        let mut due = HashSet::new();
        while let Some((_, audiences)) = self.0.pop_front_if(|(at, _)| *at <= Instant::now()) {
            due.extend(audiences);
        }
        due
    }
}

impl Engine {
    /// From now on, this module is asked as well. What it has yet to route is routed first: everybody who is not offline,
    /// when it is new or another than in the run before.
    ///
    /// `fingerprint` stands for all that its routes depend on, its file and its config. While it stays the same over a
    /// restart, what the module has routed need not be routed again.
    pub fn attach(&self, name: &str, fingerprint: &str, module: Running) {
        let shared = &self.0;
        let mut guard = shared.world.write();
        let world = &mut *guard;
        let (tag, now) = (ModuleTag::of(name), shared.clock.now_ms());
        let parked = shared.parked.lock().remove(name);
        let World {
            streams, presence, ..
        } = world;
        let is_offline = |user| presence.state(user).state == PresenceState::Offline;
        let (taken_over, mut writes) = if let Some(taken_over) = streams.resume(tag, is_offline) {
            let writes = taken_over_writes(name, fingerprint, &taken_over);
            (taken_over, writes)
        } else {
            let mut routes = shared.routes.lock();
            let writes = routes.attach(world, name, fingerprint, shared.synced());
            (TakenOver::default(), writes)
        };
        let turn = parked.as_ref().map_or(0, |parked| parked.generation().turn + 1);
        let form = world.streams.form(tag).unwrap_or_default();
        let generation = Generation::new(module, fingerprint, form, turn, now);
        let feed = Arc::new(match parked {
            Some(parked) => parked.followed_by(generation, shared),
            None => Feed::new(name, generation, shared),
        });
        feed.keep(world, taken_over.before);
        feed.mark(&restore::yet_to_route(world, tag));
        {
            let mut feeds = shared.feeds.write();
            *feeds = feeds.iter().cloned().chain([Arc::clone(&feed)]).collect();
        }
        writes.rooms.extend(shared.review_rooms(world));
        drop(guard);
        shared.storage.write(writes, Vec::new());
        // A first sync during which it came has not asked it.
        shared.waiting.wake_all();
        shared.tasks.spawn(feed::run(feed, Arc::clone(shared)));
    }

    /// Another generation takes over under a name, at once: what changes from now on, it routes. What the one before has
    /// routed is delivered, also to who has not read it yet, and the calls that it has not answered yet it may answer. Gives
    /// the module back when there is none to take over from.
    ///
    /// # Errors
    /// The module, when none of that name is attached.
    pub fn take_over(&self, name: &str, fingerprint: &str, module: Running) -> Result<Retired, Box<Running>> {
        let shared = &self.0;
        let mut guard = shared.world.write();
        let world = &mut *guard;
        let feeds = shared.feeds();
        let Some(feed) = feeds.iter().find(|feed| &**feed.name() == name) else {
            return Err(Box::new(module));
        };
        let before = feed.generation();
        let compared = if before.fingerprint == fingerprint {
            Fingerprint::Same
        } else {
            Fingerprint::Other
        };
        shared.leave_to_others(world, feed);
        let World {
            streams, presence, ..
        } = world;
        let taken_over = streams.take_over(feed.tag(), compared, |user| {
            presence.state(user).state == PresenceState::Offline
        });
        let form = streams.form(feed.tag()).unwrap_or_default();
        let now = shared.clock.now_ms();
        feed.replace(Generation::new(module, fingerprint, form, before.turn + 1, now));
        let mut writes = taken_over_writes(name, fingerprint, &taken_over);
        feed.keep(world, taken_over.before);
        feed.mark(&taken_over.unsettled);
        writes.rooms = shared.review_rooms(world);
        drop(guard);
        shared.storage.write(writes, Vec::new());
        // What the one before owed is to be asked of this one.
        shared.waiting.wake_all();
        Ok(Retired(before))
    }

    /// From now on, this module is not asked. What it has routed is still delivered. `None` when none of that name is
    /// attached.
    pub fn detach(&self, name: &str) -> Option<Retired> {
        let shared = &self.0;
        let mut guard = shared.world.write();
        let world = &mut *guard;
        let feed = {
            let mut feeds = shared.feeds.write();
            let feed = Arc::clone(feeds.iter().find(|feed| &**feed.name() == name)?);
            *feeds = feeds
                .iter()
                .filter(|other| !Arc::ptr_eq(other, &feed))
                .cloned()
                .collect();
            feed
        };
        shared.leave_to_others(world, &feed);
        world.streams.ask_no_more(feed.tag());
        feed.stop.cancel();
        feed.lease().clear_metrics();
        shared
            .parked
            .lock()
            .insert(Arc::clone(feed.name()), Arc::clone(&feed));
        let rooms = shared.review_rooms(world);
        drop(guard);
        let writes = Writes {
            rooms,
            ..Writes::default()
        };
        shared.storage.write(writes, Vec::new());
        shared.waiting.wake_all();
        shared.tasks.spawn(park(Arc::clone(&feed), Arc::clone(shared)));
        Some(Retired(feed.generation()))
    }
}

/// Puts the logs of a module that is asked no more aside, once whoever reads had time to.
async fn park(feed: Arc<Feed>, shared: Arc<Shared>) {
    tokio::select! {
        () = tokio::time::sleep(KEPT_FOR) => {}
        () = shared.stop.cancelled() => return,
    }
    let mut world = shared.world.write();
    let parked = shared.parked.lock();
    let is_parked = parked
        .get(feed.name())
        .is_some_and(|parked| Arc::ptr_eq(parked, &feed));
    if is_parked {
        world.streams.park(feed.tag());
    }
}

/// What is to be stored when a generation may route otherwise than the one before.
fn taken_over_writes(name: &str, fingerprint: &str, taken_over: &TakenOver) -> Writes {
    let changed = taken_over.changed.map(|since| StoredModule {
        name: Arc::from(name),
        fingerprint: fingerprint.to_owned(),
        since,
    });
    Writes {
        modules: changed.into_iter().collect(),
        ..Writes::default()
    }
}

impl Feed {
    /// Keeps what was routed to audiences of a generation that routes no more, for a while.
    pub(super) fn keep(&self, world: &mut World, audiences: impl IntoIterator<Item = AudienceId>) {
        let in_their_place = self.kept.lock().keep(audiences);
        for audience in in_their_place {
            world.streams.forget(self.tag(), audience);
        }
        self.wake();
    }
}

impl Shared {
    /// What a module has not routed yet it will not route any more, or otherwise. Others that have come to show the same users
    /// after these changes are to route them, or whoever knew the users by this one would not be told.
    fn leave_to_others(&self, world: &mut World, leaving: &Feed) {
        let undone = restore::yet_to_route(world, leaving.tag());
        if undone.is_empty() {
            return;
        }
        for feed in self.feeds().iter().filter(|feed| feed.tag() != leaving.tag()) {
            feed.mark(&world.streams.route_again(feed.tag(), &undone));
        }
    }

    /// Brings what shared rooms mean into line with what the modules say, and returns what is to be stored of them.
    ///
    /// When they begin to count, all of their people see each other only now.
    fn review_rooms(&self, world: &mut World) -> Vec<StoredRoom> {
        let replaces = |feed: &Arc<Feed>| feed.lease().shared_room_presence() == SharedRoomPresence::Replace;
        let now = if self.feeds().iter().any(replaces) {
            SharedRoomPresence::Replace
        } else {
            SharedRoomPresence::Additive
        };
        if std::mem::replace(&mut world.room_presence, now) == now {
            return Vec::new();
        }
        let position = world.streams.advance();
        if now == SharedRoomPresence::Replace {
            world.partings.everybody_left(position);
            return restore::uncount_rooms(&world.directory, position);
        }
        let rooms: Vec<_> = world.directory.counted_rooms().collect();
        for room in &rooms {
            world.directory.everybody_joined(*room, position);
        }
        let online: Vec<_> = world
            .directory
            .users()
            .filter(|user| world.is_online(*user))
            .collect();
        for user in online {
            world.queue_for_room_servers(user);
        }
        rooms
            .into_iter()
            .filter_map(|room| restore::describe(&world.directory, now, room, position))
            .collect()
    }
}

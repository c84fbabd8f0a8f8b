//! Brings what a module has answered to those who wait.

use std::sync::Arc;

use presence_router_api::UserPresenceState;

use crate::delivery::{Because, Members, Reason, RoutedUpdate};
use crate::directory::Directory;
use crate::engine::Shared;
use crate::engine::feed::{Feed, RouteError};
use crate::engine::generation::Generation;
use crate::engine::world::World;
use crate::modules::{Audience, Routed};
use crate::storage::{StoredRoute, Writes};

/// Delivers an answer. That of a generation from which another has taken over meanwhile is delivered too, but the changes
/// are not settled by it.
pub(super) fn deliver(
    feed: &Feed,
    generation: &Generation,
    shared: &Shared,
    routed: &Routed,
    batch: &[RoutedUpdate],
) -> Result<(), RouteError> {
    let module = feed.tag();
    let mut to_wake = Vec::with_capacity(routed.pieces.len());
    let mut guard = shared.world.write();
    let world = &mut *guard;
    let sent: Vec<Option<RoutedUpdate>> = routed.states.iter().map(|state| sent(world, state)).collect();
    let mut writes = Writes {
        routed: Vec::with_capacity(batch.len() + sent.len()),
        ..Writes::default()
    };
    // Under the lock: taking over needs it.
    let is_serving = feed.generation().turn == generation.turn;
    let settled = batch.iter().chain(sent.iter().flatten());
    for update in settled.filter(|_| is_serving) {
        let position = world.streams.settled(module, *update);
        if let Some(user_id) = world.directory.id(update.user) {
            writes.routed.push(StoredRoute {
                module: Arc::clone(feed.name()),
                user_id: user_id.clone(),
                change: update.change,
                position,
            });
        }
    }
    let update = |number: &u32| {
        let number = *number as usize;
        batch
            .get(number)
            .copied()
            .or_else(|| *sent.get(number.checked_sub(batch.len())?)?)
    };
    for piece in &routed.pieces {
        let updates = piece.updates.iter().filter_map(update);
        let directory = &mut world.directory;
        let members = world.streams.route(
            (module, generation.form),
            &piece.audience,
            updates.clone(),
            || members(directory, &piece.audience),
        );
        if !members.servers.is_empty() {
            for update in updates {
                if is_newest(world, update) && world.is_mine(update.user) {
                    for server in &*members.servers {
                        let because = Because::Routed(update.change);
                        world.destinations.queue(*server, update.user, because);
                    }
                }
            }
        }
        to_wake.push(members.users);
    }
    if !is_serving {
        feed.keep(world, routed.pieces.iter().map(|piece| piece.audience.id()));
    }
    writes.outgoing = world.outgoing_to_store();
    drop(guard);
    shared.storage.write(writes, Vec::new());
    for members in to_wake {
        shared.waiting.wake_members(&members);
    }
    if is_serving {
        Ok(())
    } else {
        Err(RouteError::TakenOver)
    }
}

/// Of a state that has a successor already, the successor is on its way through the module.
fn is_newest(world: &World, update: RoutedUpdate) -> bool {
    world.streams.last_change(update.user) == update.change
}

/// Who is in an audience. Users of this homeserver count although nobody has told of them: they may come.
fn members(directory: &mut Directory, audience: &Audience) -> Members {
    let (mut users, mut servers) = (Vec::new(), Vec::new());
    for id in audience.users() {
        let user = directory.key_or_insert(id);
        match directory.remote_server_or_insert(user) {
            None => users.push(user),
            Some(server) => servers.push(server),
        }
    }
    Members::new(users, servers)
}

/// A state that the module sent of its own accord, when it is still the user's. An older one is not told, and the newer
/// one that has taken its place is not what the module has sent.
fn sent(world: &World, state: &UserPresenceState) -> Option<RoutedUpdate> {
    let user = world.directory.key(state.user_id())?;
    let newest = world.presence.state(user);
    let is_newest = state.state == newest.state
        && state.status_msg() == newest.status_msg.as_deref()
        && state.currently_active == newest.currently_active;
    is_newest.then(|| RoutedUpdate {
        user,
        change: world.streams.last_change(user),
        reason: Reason::Sent,
    })
}

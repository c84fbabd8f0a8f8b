//! Carries changes to one module, and what it routes to those who wait.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use presence_router_api::UserPresenceState;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::delivery::{Members, ModuleTag, Reason, RoutedUpdate};
use crate::directory::Directory;
use crate::engine::Shared;
use crate::engine::world::World;
use crate::modules::{Audience, CallError, MAX_BATCH, Routed, Running};
use crate::presence::UserKey;
use crate::routing::{Batch, Dirty};
use crate::storage::{StoredRoute, Writes};

/// A module and the users that it has yet to route.
pub(super) struct Feed {
    name: Arc<str>,
    tag: ModuleTag,
    module: Running,
    pub(super) dirty: Mutex<Dirty>,
    marked: Notify,
}

impl Feed {
    pub(super) fn new(name: Arc<str>, module: Running) -> Self {
        Self {
            tag: ModuleTag::of(&name),
            name,
            module,
            dirty: Mutex::default(),
            marked: Notify::new(),
        }
    }

    /// The name of the module's instance.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What names it in tokens.
    pub(super) fn tag(&self) -> ModuleTag {
        self.tag
    }

    pub(super) fn module(&self) -> &Running {
        &self.module
    }

    /// These users have changed. Never waits.
    pub(super) fn mark(&self, users: &[UserKey]) {
        if users.is_empty() {
            return;
        }
        let mut dirty = self.dirty.lock();
        for user in users {
            dirty.mark(*user);
        }
        drop(dirty);
        self.marked.notify_one();
    }

    /// Sets the gauges of the module.
    pub(super) fn refresh_metrics(&self) {
        self.module.refresh_metrics(self.dirty.lock().len());
    }

    /// Waits until there is something to route.
    async fn due(&self) {
        loop {
            let due = self.dirty.lock().due(Instant::now());
            match due {
                Some(at) if at <= Instant::now() => return,
                Some(at) => {
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = self.marked.notified() => {}
                    }
                }
                None => self.marked.notified().await,
            }
        }
    }
}

/// Feeds a module until the server stops.
pub(super) async fn run(feed: Arc<Feed>, shared: Arc<Shared>) {
    let mut in_trouble = false;
    let mut routed = RoutedChanges::default();
    loop {
        tokio::select! {
            () = feed.due() => {}
            () = shared.stop.cancelled() => return,
        }
        if let Some(rest) = feed.module.quarantined_for() {
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = shared.stop.cancelled() => return,
            }
        }
        let Some(batch) = feed.dirty.lock().take(MAX_BATCH, Instant::now()) else {
            continue;
        };
        let outcome = tokio::select! {
            outcome = route(&feed, &shared, &batch, &mut routed) => outcome,
            () = shared.stop.cancelled() => return,
        };
        forget_released(&feed, &shared);
        match outcome {
            Ok(()) => {
                feed.dirty.lock().routed(&batch);
                if std::mem::take(&mut in_trouble) {
                    tracing::info!(module = &*feed.name, "routes again");
                    // Syncs that the module owes an answer ask again.
                    shared.waiting.wake_all();
                }
            }
            Err(error) => {
                in_trouble = true;
                let now = Instant::now();
                let not_before = feed.module.quarantined_for().map(|rest| now + rest);
                tracing::error!(
                    module = &*feed.name,
                    method = "get_users_for_states",
                    states = batch.users().len(),
                    "{}; these users' newest states are routed later",
                    with_source(&error)
                );
                feed.dirty.lock().failed(batch, now, not_before);
            }
        }
    }
}

/// The change of each user that a module has routed last.
type RoutedChanges = HashMap<UserKey, u64>;

async fn route(
    feed: &Feed,
    shared: &Shared,
    batch: &Batch,
    routed: &mut RoutedChanges,
) -> Result<(), CallError> {
    let (states, changes) = read(shared, batch.users(), routed);
    if states.is_empty() {
        return Ok(());
    }
    let answer = feed.module.get_users_for_states(states, None).await?;
    deliver(feed, shared, &answer, &changes);
    routed.extend(changes.iter().map(|update| (update.user, update.change)));
    Ok(())
}

/// The newest states, and the positions at which they changed.
///
/// A user may be marked for a change that went with the batch before: it was made when that batch had been taken, and
/// before its states were read.
fn read(
    shared: &Shared,
    users: &[UserKey],
    routed: &RoutedChanges,
) -> (Vec<UserPresenceState>, Vec<RoutedUpdate>) {
    let world = shared.world.read();
    users
        .iter()
        .map(|user| RoutedUpdate {
            user: *user,
            change: world.streams.last_change(*user),
            reason: Reason::Changed,
        })
        .filter(|update| routed.get(&update.user) != Some(&update.change))
        .filter_map(|update| {
            let state = world.crossing(update.user)?;
            Some((state, update))
        })
        .unzip()
}

fn deliver(feed: &Feed, shared: &Shared, routed: &Routed, batch: &[RoutedUpdate]) {
    let module = feed.tag;
    let mut to_wake = Vec::with_capacity(routed.pieces.len());
    let mut guard = shared.world.write();
    let world = &mut *guard;
    let sent: Vec<Option<RoutedUpdate>> = routed.states.iter().map(|state| sent(world, state)).collect();
    let mut writes = Writes::default();
    for update in batch.iter().chain(sent.iter().flatten()) {
        let position = world.streams.settled(module, *update);
        if let Some(user_id) = world.directory.id(update.user) {
            writes.routed.push(StoredRoute {
                module: Arc::clone(&feed.name),
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
        let members = world.streams.route(module, &piece.audience, updates.clone(), || {
            members(directory, &piece.audience)
        });
        for server in &*members.servers {
            for update in updates.clone() {
                if is_newest(world, update) && world.is_mine(update.user) {
                    world.destinations.queue(*server, update.user);
                }
            }
        }
        to_wake.push(members.users);
    }
    drop(guard);
    shared.storage.write(writes, Vec::new());
    for members in to_wake {
        shared.waiting.wake_members(&members);
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

/// Only here, where no answer is being delivered: an audience is forgotten after the last that was routed to it.
fn forget_released(feed: &Feed, shared: &Shared) {
    let forgotten = feed.module.take_forgotten_audiences();
    if !forgotten.is_empty() {
        let mut world = shared.world.write();
        for audience in forgotten {
            world.streams.forget(feed.tag, audience);
        }
    }
}

/// Errors do not print their source; here is where they are handled.
pub(super) fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

//! Carries changes to one module, and what it routes to those who wait.

use std::sync::Arc;

use parking_lot::Mutex;
use presence_router_api::UserPresenceState;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::delivery::RoutedUpdate;
use crate::engine::Shared;
use crate::modules::{CallError, MAX_BATCH, Routed, Running};
use crate::presence::UserKey;
use crate::routing::{Batch, Dirty};

/// A module and the users that it has yet to route.
pub(super) struct Feed {
    module: Running,
    dirty: Mutex<Dirty>,
    marked: Notify,
}

impl Feed {
    pub(super) fn new(module: Running) -> Self {
        Self {
            module,
            dirty: Mutex::default(),
            marked: Notify::new(),
        }
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
        match route(&feed, &shared, &batch).await {
            Ok(()) => {
                feed.dirty.lock().routed(&batch);
                if std::mem::take(&mut in_trouble) {
                    tracing::info!(module = feed.module.identity().name, "routes again");
                    // Syncs that the module owes an answer ask again.
                    shared.waiting.wake_all();
                }
            }
            Err(error) => {
                in_trouble = true;
                let now = Instant::now();
                let not_before = feed.module.quarantined_for().map(|rest| now + rest);
                tracing::error!(
                    module = feed.module.identity().name,
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

async fn route(feed: &Feed, shared: &Shared, batch: &Batch) -> Result<(), CallError> {
    let (states, changes) = read(shared, batch.users());
    let routed = feed.module.get_users_for_states(states, None).await?;
    deliver(shared, &routed, &changes);
    let forgotten = feed.module.take_forgotten_audiences();
    if !forgotten.is_empty() {
        let mut world = shared.world.write();
        for audience in forgotten {
            world.streams.forget(audience);
        }
    }
    Ok(())
}

/// The newest states, and the positions at which they changed.
fn read(shared: &Shared, users: &[UserKey]) -> (Vec<UserPresenceState>, Vec<RoutedUpdate>) {
    let world = shared.world.read();
    users
        .iter()
        .filter_map(|user| {
            let state = shared.crossing(*user, world.presence.state(*user))?;
            Some((
                state,
                RoutedUpdate {
                    user: *user,
                    change: Some(world.streams.last_change(*user)),
                },
            ))
        })
        .unzip()
}

fn deliver(shared: &Shared, routed: &Routed, batch: &[RoutedUpdate]) {
    let added: Vec<Option<RoutedUpdate>> = routed
        .states
        .iter()
        .map(|state| {
            let user = shared.directory.key(state.user_id())?;
            Some(RoutedUpdate { user, change: None })
        })
        .collect();
    let update = |number: &u32| {
        let number = *number as usize;
        batch
            .get(number)
            .copied()
            .or_else(|| *added.get(number.checked_sub(batch.len())?)?)
    };
    let mut to_wake = Vec::with_capacity(routed.pieces.len());
    let mut world = shared.world.write();
    for piece in &routed.pieces {
        let updates = piece.updates.iter().filter_map(update);
        let members = world.streams.route(&piece.audience, updates, || {
            // Remote members are served by federation, which is not there yet.
            piece
                .audience
                .users()
                .iter()
                .filter_map(|user| shared.directory.local_key(user.as_str()))
                .collect()
        });
        to_wake.push(members);
    }
    drop(world);
    for members in to_wake {
        shared.waiting.wake_members(&members);
    }
}

/// Errors do not print their source; here is where they are handled.
pub(super) fn with_source(error: &CallError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

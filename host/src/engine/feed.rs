//! Carries changes to one module, and what it routes to those who wait.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use presence_router_api::UserPresenceState;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::delivery::{ModuleTag, Reason, RoutedUpdate};
use crate::engine::Shared;
use crate::engine::deliver::deliver;
use crate::engine::generation::{Generation, Lease};
use crate::engine::swap::KeptAudiences;
use crate::modules::{AudienceId, CallError, MAX_BATCH};
use crate::presence::{ByUser, UserKey};
use crate::routing::{Batch, Dirty};

/// How long a module that is switched off has to shut down.
const SWITCH_OFF: Duration = Duration::from_secs(5);

/// A module and the users that it has yet to route.
pub(super) struct Feed {
    name: Arc<str>,
    tag: ModuleTag,
    generation: RwLock<Arc<Generation>>,
    pub(super) dirty: Mutex<Dirty>,
    pub(super) kept: Mutex<KeptAudiences>,
    /// There is something to do.
    woken: Notify,
    /// Cancelled when it is detached, or the server stops.
    pub(super) stop: CancellationToken,
}

impl Feed {
    pub(super) fn new(name: &str, generation: Arc<Generation>, shared: &Shared) -> Self {
        Self {
            tag: ModuleTag::of(name),
            name: Arc::from(name),
            generation: RwLock::new(generation),
            dirty: Mutex::default(),
            kept: Mutex::default(),
            woken: Notify::new(),
            stop: shared.stop.child_token(),
        }
    }

    /// The module was detached, and is attached again: another feed, which goes on where this one has ended.
    pub(super) fn followed_by(&self, generation: Arc<Generation>, shared: &Shared) -> Self {
        let new = Self::new(&self.name, generation, shared);
        *new.kept.lock() = std::mem::take(&mut *self.kept.lock());
        new
    }

    /// The name of the module's instance.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What names it in tokens.
    pub(super) fn tag(&self) -> ModuleTag {
        self.tag
    }

    /// What serves.
    pub(super) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.generation.read())
    }

    /// What serves, to be asked.
    pub(super) fn lease(&self) -> Lease {
        // Under the lock: what is taken over from sees all leases.
        self.generation.read().lease()
    }

    /// Another generation serves from now on. Returns the one before.
    pub(super) fn replace(&self, generation: Arc<Generation>) -> Arc<Generation> {
        let before = std::mem::replace(&mut *self.generation.write(), generation);
        self.dirty.lock().begin_anew();
        self.wake();
        before
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
        self.wake();
    }

    /// There may be something to do.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Sets the gauges of the module.
    pub(super) fn refresh_metrics(&self) {
        self.lease().refresh_metrics(self.dirty.lock().len());
    }

    /// Waits until there is something to do, or may be.
    async fn due(&self) {
        let generation = self.generation();
        let to_route = match (
            self.dirty.lock().due(Instant::now()),
            generation.quarantined_for(),
        ) {
            _ if generation.is_off() => None,
            (Some(due), Some(rest)) => Some(due.max(Instant::now() + rest)),
            (due, _) => due,
        };
        let to_forget = self.kept.lock().due();
        match to_route.into_iter().chain(to_forget).min() {
            Some(at) if at <= Instant::now() => {}
            Some(at) => {
                tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.woken.notified() => {}
                }
            }
            None => self.woken.notified().await,
        }
    }
}

/// Feeds a module until it is detached, or the server stops.
pub(super) async fn run(feed: Arc<Feed>, shared: Arc<Shared>) {
    let mut in_trouble = false;
    let mut switched_off = None;
    let mut routed = RoutedChanges::default();
    let mut next_call = Instant::now();
    loop {
        let generation = feed.generation();
        if generation.is_off() && switched_off.replace(generation.turn) != Some(generation.turn) {
            switch_off(generation.lease(), &shared);
        }
        let due = async {
            feed.due().await;
            if next_call > Instant::now() {
                sleep_until(next_call).await;
            }
        };
        tokio::select! {
            () = due => {}
            () = feed.stop.cancelled() => return,
        }
        forget_kept(&feed, &shared);
        let lease = feed.lease();
        if lease.quarantined_for().is_some() {
            continue;
        }
        if lease.is_off() {
            continue;
        }
        let Some(batch) = feed.dirty.lock().take(MAX_BATCH, Instant::now()) else {
            continue;
        };
        next_call = Instant::now() + shared.route_pace;
        let outcome = tokio::select! {
            outcome = route(&feed, &lease, &shared, &batch, &mut routed) => outcome,
            () = feed.stop.cancelled() => return,
        };
        forget_released(&feed, &lease, &shared);
        match outcome {
            Ok(()) => {
                feed.dirty.lock().routed(&batch);
                if std::mem::take(&mut in_trouble) {
                    tracing::info!(module = &*feed.name, "routes again");
                    // Syncs that the module owes an answer ask again.
                    shared.waiting.wake_all();
                }
            }
            // Whatever the one before has answered, the one that has taken over is asked too.
            Err(RouteError::TakenOver) => feed.mark(batch.users()),
            Err(RouteError::Call(error)) => {
                in_trouble = true;
                let now = Instant::now();
                let not_before = lease.quarantined_for().map(|rest| now + rest);
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

/// What crashes too often does not go on behind the scenes either: its tasks end.
fn switch_off(lease: Lease, shared: &Shared) {
    shared
        .tasks
        .spawn(async move { lease.shutdown(SWITCH_OFF).await });
}

/// The change of each user that a module has routed last.
#[derive(Default)]
struct RoutedChanges {
    turn: u64,
    changes: ByUser<u64>,
}

impl RoutedChanges {
    /// What others have routed counts for nothing.
    fn of(&mut self, generation: &Generation) -> &mut ByUser<u64> {
        if self.turn != generation.turn {
            self.turn = generation.turn;
            self.changes.clear();
        }
        &mut self.changes
    }
}

/// Why a batch was not routed.
pub(super) enum RouteError {
    Call(CallError),
    /// Another generation has taken over meanwhile.
    TakenOver,
}

async fn route(
    feed: &Feed,
    lease: &Lease,
    shared: &Shared,
    batch: &Batch,
    routed: &mut RoutedChanges,
) -> Result<(), RouteError> {
    let routed = routed.of(lease.generation());
    let (states, changes) = read(shared, batch.users(), routed, lease.take_spare());
    if states.is_empty() {
        return Ok(());
    }
    let answer = lease.get_users_for_states(states, None).await;
    let turn = lease.generation().turn;
    match answer {
        Ok(answer) => deliver(feed, lease.generation(), shared, &answer, &changes)?,
        Err(_) if feed.generation().turn != turn => return Err(RouteError::TakenOver),
        Err(error) => return Err(RouteError::Call(error)),
    }
    routed.extend(changes.iter().map(|update| (update.user, update.change)));
    Ok(())
}

/// The newest states, in spare memory, and the positions at which they changed.
///
/// A user may be marked for a change that went with the batch before: it was made when that batch had been taken, and
/// before its states were read.
fn read(
    shared: &Shared,
    users: &[UserKey],
    routed: &ByUser<u64>,
    spare: Vec<UserPresenceState>,
) -> (Vec<UserPresenceState>, Vec<RoutedUpdate>) {
    let world = shared.world.read();
    // Nearly all are wanted: what is collected would start small, and be moved again and again.
    let (mut states, mut changes) = (Vec::with_capacity(users.len()), Vec::with_capacity(users.len()));
    let mut spare = spare.into_iter();
    for user in users {
        let change = world.streams.last_change(*user);
        if routed.get(user) == Some(&change) {
            continue;
        }
        let state = match spare.next() {
            Some(spare) => world.crossing_in(*user, spare),
            None => world.crossing(*user),
        };
        if let Some(state) = state {
            states.push(state);
            changes.push(RoutedUpdate {
                user: *user,
                change,
                reason: Reason::Changed,
            });
        }
    }
    (states, changes)
}

/// Only here, where no answer is being delivered: an audience is forgotten after the last that was routed to it.
fn forget_released(feed: &Feed, lease: &Lease, shared: &Shared) {
    forget(feed, shared, lease.take_forgotten_audiences());
}

/// What generations have routed from which others have taken over was there to be read for long enough.
fn forget_kept(feed: &Feed, shared: &Shared) {
    let due = feed.kept.lock().take_due();
    forget(feed, shared, due);
}

fn forget<I>(feed: &Feed, shared: &Shared, audiences: I)
where
    I: IntoIterator<Item = AudienceId, IntoIter: ExactSizeIterator>,
{
    let audiences = audiences.into_iter();
    if audiences.len() > 0 {
        let mut world = shared.world.write();
        for audience in audiences {
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

//! The task that changes things: takes all that is at hand, applies it in order, tells who must hear. The more there is to do,
//! the less each costs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use presence_router_api::{PresenceState, PresenceUpdate};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::directory::Event;
use crate::engine::outcome::Outcome;
use crate::engine::queue::Queue;
use crate::engine::receive::RemotePresence;
use crate::engine::restore::Reserved;
use crate::engine::told::Told;
use crate::engine::world::World;
use crate::engine::{Shared, receive};
use crate::metrics::PresenceMetrics;
use crate::presence::{DeviceId, Expired, UserKey};
use crate::storage::WriteError;

/// How many changes may wait. Beyond, clients wait, and are told to come back later.
pub(super) const QUEUE: usize = 8_192;
/// How many are applied at a time.
const BATCH: usize = 1_024;
/// How long others are waited for that are at hand, give or take a turn of all tasks that can run.
const GATHER: Duration = Duration::from_millis(1);
/// How many users are looked at before they are updated. What is known of so many fits into the nearest cache.
const AHEAD: usize = 32;
/// The longest sleep: somebody may have set the clock meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// A change on its way.
#[derive(Debug)]
pub(super) enum Command {
    /// A client has set presence.
    Set {
        user: UserKey,
        device: DeviceId,
        state: PresenceState,
        status_msg: Option<String>,
        done: Stored,
    },
    /// A sync that sets presence has begun.
    SyncStarted {
        user: UserKey,
        device: DeviceId,
        state: PresenceState,
        done: oneshot::Sender<()>,
    },
    /// Such a sync has ended.
    SyncEnded { user: UserKey, device: DeviceId },
    /// A module sets users' presence.
    SetByModule {
        updates: Vec<PresenceUpdate>,
        done: Stored,
    },
    /// Another homeserver tells of its users.
    Receive {
        updates: Vec<RemotePresence>,
        /// When they came, in milliseconds since the Unix epoch.
        at: u64,
        /// Held until they are applied: the sender may go before.
        permit: OwnedSemaphorePermit,
        done: Stored,
    },
    /// These users of this homeserver are to get a full snapshot.
    Snapshot { users: Vec<UserKey>, done: Stored },
    /// Users and rooms have changed.
    Directory(Vec<Event>),
}

/// Who waits until a change is stored.
pub(super) type Stored = oneshot::Sender<Result<(), WriteError>>;

impl Command {
    /// Whose presence it changes, if that is one user.
    fn user(&self) -> Option<UserKey> {
        match self {
            Self::Set { user, .. } | Self::SyncStarted { user, .. } | Self::SyncEnded { user, .. } => {
                Some(*user)
            }
            Self::SetByModule { .. } | Self::Receive { .. } | Self::Snapshot { .. } | Self::Directory(_) => {
                None
            }
        }
    }

    /// How many updates of a user's presence it is.
    fn updates(&self) -> usize {
        match self {
            Self::Set { .. } | Self::SyncStarted { .. } | Self::SyncEnded { .. } => 1,
            Self::SetByModule { updates, .. } => updates.len(),
            Self::Receive { updates, .. } => updates.len(),
            Self::Snapshot { .. } | Self::Directory(_) => 0,
        }
    }
}

/// What only the task touches.
pub(super) struct Writer {
    reserved: Reserved,
    told: Told,
    batch: Vec<Command>,
}

/// Applies changes and timeouts until the server stops.
pub(super) async fn run(mut writer: Writer, shared: Arc<Shared>) {
    while !shared.stop.is_cancelled() {
        let due = shared.time_to_next_timeout();
        if shared.commands.is_empty() && !due.is_zero() {
            tokio::select! {
                () = shared.commands.news() => {}
                () = tokio::time::sleep(due) => {}
                () = shared.stop.cancelled() => break,
            }
        }
        gather(&shared.commands).await;
        let applied = catch_unwind(AssertUnwindSafe(|| writer.apply(&shared)));
        if applied.is_err() {
            // The panic is logged. Who waits for what was at hand hears that it was not done; what comes next is.
            writer.batch.clear();
        }
    }
    // What was taken is applied: a client that was told so may rely on it.
    shared.commands.close();
    while !shared.commands.is_empty() {
        writer.apply(&shared);
    }
}

/// Lets those go first who are about to bring a change: the tasks that can run, each a turn. Again as long as they bring some,
/// for about [`GATHER`].
async fn gather(commands: &Queue) {
    let began = Instant::now();
    let mut before = None;
    loop {
        let waiting = commands.len();
        if before == Some(waiting) || waiting >= BATCH || began.elapsed() >= GATHER {
            return;
        }
        before = Some(waiting);
        tokio::task::yield_now().await;
    }
}

impl Shared {
    fn time_to_next_timeout(&self) -> Duration {
        let next = self.world.read().presence.next_timeout();
        next.map_or(MAX_SLEEP, |due| {
            Duration::from_millis(due.saturating_sub(self.clock.now_ms())).min(MAX_SLEEP)
        })
    }
}

impl Writer {
    pub(super) fn new(world: &World, reserved: Reserved, metrics: PresenceMetrics) -> Self {
        Self {
            told: Told::new(&world.presence, world.directory.users(), metrics),
            reserved,
            batch: Vec::new(),
        }
    }

    /// Applies what has fallen due, and a batch of what waits.
    fn apply(&mut self, shared: &Shared) {
        shared.commands.take(&mut self.batch, BATCH);
        let batch = &mut self.batch;
        let now = shared.clock.now_ms();
        let mut guard = shared.world.write();
        let world = &mut *guard;
        world.version += 1;
        let Expired { changed, pings } = world.presence.expire(now);
        let timeouts = changed.len();
        let mut outcome = Outcome::of_timeouts(changed);
        let is_quiet = batch.is_empty() && timeouts == 0 && pings.is_empty();
        if is_quiet && !world.destinations.has_unsaved() {
            return;
        }
        let updates = batch.iter().map(Command::updates).sum::<usize>() + timeouts;
        outcome.settle(world, &mut self.told);
        let mut commands = batch.drain(..);
        while !commands.as_slice().is_empty() {
            let next = commands.as_slice().iter().take(AHEAD);
            let users: Vec<_> = next.filter_map(Command::user).collect();
            look_at(&users, world, &self.told);
            for command in commands.by_ref().take(AHEAD) {
                apply(world, &mut self.told, command, now, &mut outcome);
            }
            outcome.settle(world, &mut self.told);
        }
        drop(commands);
        shared.metrics.pinged(pings.len());
        outcome.touched.extend_from_slice(&pings);
        outcome.settle(world, &mut self.told);
        for user in pings {
            world.ping(user);
        }
        if !outcome.changed.is_empty() {
            self.told.count();
        }
        let writes = outcome.writes(world, &mut self.reserved);
        drop(guard);
        shared
            .metrics
            .received(outcome.received, outcome.refused_strangers);
        shared.metrics.applied(updates, timeouts, outcome.changed.len());
        // Routing does not wait for the disk. Who is to know that a change lasts does.
        shared.storage.write(writes, std::mem::take(&mut outcome.stored));
        shared.tell(outcome);
    }
}

impl Shared {
    /// Wakes people who share a room at once; the modules' feeds go their own way.
    fn tell(&self, outcome: Outcome) {
        let Outcome {
            mut changed,
            mut wake,
            rooms: changed_rooms,
            applied,
            ..
        } = outcome;
        changed.sort_unstable();
        changed.dedup();
        // Who comes to wait after this looks for news after it.
        if self.waiting.waiter_count() > 0 {
            let world = self.world.read();
            let shared_rooms = world.shared_rooms();
            let mut rooms = changed_rooms;
            rooms.extend(changed.iter().flat_map(|user| shared_rooms.rooms(*user)));
            // Many of those who change are in the same rooms, whose members need to be woken once.
            rooms.sort_unstable();
            rooms.dedup();
            wake.sort_unstable();
            wake.dedup();
            let members = rooms.iter().map(|room| world.directory.members(*room));
            let groups = [&*changed, &*wake].into_iter().chain(members);
            self.waiting.wake_groups(groups);
        }
        for feed in self.feeds().iter() {
            feed.mark(&changed);
        }
        for answer in applied {
            // The client may have gone.
            let _ = answer.send(());
        }
    }
}

/// Looks at what is known of users who are about to be updated; see [`Presence::look_at`](crate::presence::Presence::look_at).
fn look_at(users: &[UserKey], world: &World, told: &Told) {
    told.look_at(users);
    world.look_at(users);
}

fn apply(world: &mut World, told: &mut Told, command: Command, now: u64, outcome: &mut Outcome) {
    match command {
        Command::Set {
            user,
            device,
            state,
            status_msg,
            done,
        } => {
            let change = world
                .presence
                .set(user, &device, state, status_msg.as_deref(), now);
            outcome.note(user, change);
            outcome.touched.push(user);
            outcome.stored.push(done);
        }
        Command::SyncStarted {
            user,
            device,
            state,
            done,
        } => {
            let change = world.presence.sync_started(user, &device, state, now);
            outcome.note(user, change);
            outcome.applied.push(done);
        }
        Command::SyncEnded { user, device } => {
            let change = world.presence.sync_ended(user, &device, now);
            outcome.note(user, change);
        }
        Command::SetByModule { updates, done } => {
            for updates in updates.chunks(AHEAD) {
                let ids: Vec<_> = updates.iter().map(|update| &update.user_id).collect();
                let users = world.directory.keys_or_insert(&ids);
                look_at(&users, world, told);
                for (user, update) in users.into_iter().zip(updates) {
                    let origin = world.origin(user);
                    let status_msg = update.status_msg.as_deref();
                    let change = world
                        .presence
                        .set_by_module(user, origin, update.state, status_msg, now);
                    outcome.note(user, change);
                }
                outcome.settle(world, told);
            }
            outcome.stored.push(done);
        }
        Command::Receive {
            updates,
            at,
            permit,
            done,
        } => {
            for updates in updates.chunks(AHEAD) {
                receive::apply(world, updates, at, now, outcome);
                outcome.settle(world, told);
            }
            drop(permit);
            outcome.stored.push(done);
        }
        Command::Snapshot { users, done } => {
            for user in users {
                let position = world.streams.advance();
                world.snapshots.insert(user, position);
                outcome.wake.push(user);
                outcome.snapshots.push(user);
            }
            outcome.stored.push(done);
        }
        Command::Directory(events) => {
            for event in &events {
                if let Some(room) = world.apply(event, now) {
                    outcome.rooms.push(room);
                }
            }
        }
    }
}

//! The task that changes things: takes all that is waiting, applies it in order, tells who must hear.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState;
use tokio::sync::{mpsc, oneshot};

use crate::directory::Event;
use crate::engine::Shared;
use crate::engine::world::World;
use crate::presence::{Change, DeviceId, UserKey};

/// How many changes may wait. Beyond, clients wait, and are told to come back later.
pub(super) const QUEUE: usize = 8_192;
/// How many are applied at a time.
const BATCH: usize = 1_024;
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
        done: oneshot::Sender<()>,
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
    /// Users and rooms have changed.
    Directory(Vec<Event>),
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Command>,
}

/// What follows from a batch.
#[derive(Default)]
struct Outcome {
    /// Users with a change worth telling; each once, sorted.
    changed: Vec<UserKey>,
    /// Users to wake although they have not changed.
    wake: Vec<UserKey>,
    /// Clients that wait for what they asked for.
    done: Vec<oneshot::Sender<()>>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, queue: mpsc::Receiver<Command>) -> Self {
        Self { shared, queue }
    }

    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let due = self.time_to_next_timeout();
            tokio::select! {
                _ = self.queue.recv_many(&mut batch, BATCH) => {}
                () = tokio::time::sleep(due) => {}
                () = self.shared.stop.cancelled() => break,
            }
            self.apply(&mut batch);
        }
        // What was taken is applied: a client that was told so may rely on it.
        self.queue.close();
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            self.apply(&mut batch);
        }
    }

    fn time_to_next_timeout(&self) -> Duration {
        let next = self.shared.world.read().presence.next_timeout();
        next.map_or(MAX_SLEEP, |due| {
            Duration::from_millis(due.saturating_sub(self.shared.clock.now_ms())).min(MAX_SLEEP)
        })
    }

    fn apply(&self, batch: &mut Vec<Command>) {
        let now = self.shared.clock.now_ms();
        let mut world = self.shared.world.write();
        let mut outcome = Outcome {
            // The pings are for other servers, with whom nobody speaks yet.
            changed: world.presence.expire(now).changed,
            ..Outcome::default()
        };
        for command in batch.drain(..) {
            apply(&mut world, command, now, &mut outcome);
        }
        outcome.changed.sort_unstable();
        outcome.changed.dedup();
        for user in &outcome.changed {
            world.changed(*user);
        }
        drop(world);
        self.tell(outcome);
    }

    /// Wakes people who share a room at once; the modules' feeds go their own way.
    fn tell(&self, outcome: Outcome) {
        let Outcome {
            changed,
            mut wake,
            done,
        } = outcome;
        let waiting = &self.shared.waiting;
        {
            let world = self.shared.world.read();
            let rooms = world.shared_rooms();
            for user in &changed {
                waiting.wake_members(&[*user]);
                for members in rooms.circles(*user) {
                    waiting.wake_members(members);
                }
            }
        }
        if !wake.is_empty() {
            wake.sort_unstable();
            wake.dedup();
            waiting.wake_members(&wake);
        }
        for feed in self.shared.feeds().iter() {
            feed.mark(&changed);
        }
        for answer in done {
            // The client may have gone.
            let _ = answer.send(());
        }
    }
}

fn apply(world: &mut World, command: Command, now: u64, outcome: &mut Outcome) {
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
            outcome.done.push(done);
        }
        Command::SyncStarted {
            user,
            device,
            state,
            done,
        } => {
            let change = world.presence.sync_started(user, &device, state, now);
            outcome.note(user, change);
            outcome.done.push(done);
        }
        Command::SyncEnded { user, device } => {
            let change = world.presence.sync_ended(user, &device, now);
            outcome.note(user, change);
        }
        Command::Directory(events) => {
            for event in &events {
                if let Some(room) = world.apply(event, now) {
                    outcome.wake.extend_from_slice(world.directory.members(room));
                }
            }
        }
    }
}

impl Outcome {
    fn note(&mut self, user: UserKey, change: Change) {
        if change == Change::WorthTelling {
            self.changed.push(user);
        }
    }
}

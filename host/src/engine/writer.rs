//! The task that changes things: takes all that is waiting, applies it in order, tells who must hear.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState;
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Shared, World};
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
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Command>,
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
        let mut changed = world.presence.expire(now);
        let mut done = Vec::with_capacity(batch.len());
        for command in batch.drain(..) {
            let (user, change, answer) = apply(&mut world, command, now);
            if change == Change::WorthTelling {
                changed.push(user);
            }
            done.extend(answer);
        }
        changed.sort_unstable();
        changed.dedup();
        for user in &changed {
            world.streams.changed(*user);
        }
        drop(world);
        self.tell(&changed);
        for answer in done {
            // The client may have gone.
            let _ = answer.send(());
        }
    }

    /// Wakes people who share a room at once; the modules' feeds go their own way.
    fn tell(&self, changed: &[UserKey]) {
        let rooms = self.shared.shared_rooms();
        for user in changed {
            self.shared.waiting.wake_members(&[*user]);
            for members in rooms.circles(*user) {
                self.shared.waiting.wake_members(members);
            }
        }
        for feed in &self.shared.feeds {
            feed.mark(changed);
        }
    }
}

fn apply(world: &mut World, command: Command, now: u64) -> (UserKey, Change, Option<oneshot::Sender<()>>) {
    let presence = &mut world.presence;
    match command {
        Command::Set {
            user,
            device,
            state,
            status_msg,
            done,
        } => (
            user,
            presence.set(user, &device, state, status_msg.as_deref(), now),
            Some(done),
        ),
        Command::SyncStarted {
            user,
            device,
            state,
            done,
        } => (user, presence.sync_started(user, &device, state, now), Some(done)),
        Command::SyncEnded { user, device } => (user, presence.sync_ended(user, &device, now), None),
    }
}

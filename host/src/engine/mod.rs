//! The one place where presence, directory, routing, modules and delivery meet.
//!
//! One task, the `writer`, applies all changes in order; syncs and look-ups read what it wrote. Each module has
//! a `feed`, a task that carries changes to it: nothing else waits for a module, but for a first sync and a look-up of one
//! user, and these for `call_timeout` at most.

mod feed;
mod fetch;
mod read;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use presence_router_api::{PresenceState, SharedRoomPresence, UserId, UserPresenceState};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Tracking;
use crate::delivery::{PresenceContent, Streams, Waiting};
use crate::directory::Directory;
use crate::modules::Running;
use crate::presence::{DeviceId, Presence, Timing, UserKey, UserPresence};
use crate::routing::SharedRooms;

pub use crate::engine::sync::{SetPresence, SyncAnswer, SyncError, SyncRequest};

use crate::engine::feed::Feed;
use crate::engine::writer::{Command, QUEUE, Writer};

/// How long a PUT waits for a place in a full queue.
const QUEUE_WAIT: Duration = Duration::from_secs(1);
/// What a client is told that found the queue full.
const OVERLOADED: Overloaded = Overloaded {
    retry_after: Duration::from_secs(1),
};
/// How often a module is asked about a user whose presence changes while it is asked.
const LOOKS: usize = 3;

/// A running presence server. Clones are the same server.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    directory: Directory,
    tracking: Tracking,
    max_status_msg_bytes: usize,
    world: RwLock<World>,
    waiting: Arc<Waiting>,
    feeds: Vec<Arc<Feed>>,
    room_presence: SharedRoomPresence,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    tasks: TaskTracker,
    runtime: Handle,
}

/// What changes.
struct World {
    presence: Presence,
    streams: Streams,
}

/// What an engine is started with.
pub struct Setup {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Users, tokens and rooms.
    pub directory: Directory,
    /// The rules of `presence:`.
    pub presence: crate::config::Presence,
    /// The modules, in the config's order.
    pub modules: Vec<Running>,
}

/// A request's sender, by their access token.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who they are.
    pub user_id: UserId,
    /// Their device.
    pub device_id: DeviceId,
    user: UserKey,
}

/// The queue of changes stayed full for a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many presence updates are waiting")]
pub struct Overloaded {
    /// When to try again.
    pub retry_after: Duration,
}

impl Engine {
    /// Starts the writer and the feeds on the present runtime.
    pub fn start(setup: Setup) -> Self {
        let (engine, queue) = Self::assemble(setup);
        let shared = &engine.0;
        for feed in &shared.feeds {
            shared
                .tasks
                .spawn(feed::run(Arc::clone(feed), Arc::clone(shared)));
        }
        shared.tasks.spawn(Writer::new(Arc::clone(shared), queue).run());
        engine
    }

    fn assemble(setup: Setup) -> (Self, mpsc::Receiver<Command>) {
        let Setup {
            clock,
            directory,
            presence,
            modules,
        } = setup;
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let timing = Timing {
            last_active_granularity: ms(presence.last_active_granularity),
            idle_timeout: ms(presence.idle_timeout),
            sync_online_timeout: ms(presence.sync_online_timeout),
            ..Timing::default()
        };
        // Positions start from the clock in microseconds, so those of this run are higher than any of runs before.
        let streams = Streams::new(clock.now_ms().saturating_mul(1_000));
        let replaced = modules
            .iter()
            .any(|module| module.shared_room_presence() == SharedRoomPresence::Replace);
        let (commands, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            clock,
            directory,
            tracking: presence.enabled,
            max_status_msg_bytes: presence.max_status_msg_bytes,
            world: RwLock::new(World {
                presence: Presence::new(timing),
                streams,
            }),
            waiting: Arc::default(),
            feeds: modules
                .into_iter()
                .map(|module| Arc::new(Feed::new(module)))
                .collect(),
            room_presence: if replaced {
                SharedRoomPresence::Replace
            } else {
                SharedRoomPresence::Additive
            },
            commands,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
        });
        (Self(shared), queue)
    }

    /// Who stands behind an access token.
    pub fn session(&self, access_token: &str) -> Option<Session> {
        let owner = self.0.directory.token_owner(access_token)?;
        let user_id = self.0.directory.id(owner.user)?.clone();
        Some(Session {
            user_id,
            device_id: owner.device.clone(),
            user: owner.user,
        })
    }

    /// The longest `status_msg` that is taken, in bytes.
    pub fn max_status_msg_bytes(&self) -> usize {
        self.0.max_status_msg_bytes
    }

    /// A client sets its user's presence. Returns when the change is visible to syncs.
    ///
    /// # Errors
    /// [`Overloaded`] when the queue of changes stays full.
    pub async fn set_presence(
        &self,
        session: &Session,
        state: PresenceState,
        status_msg: Option<String>,
    ) -> Result<(), Overloaded> {
        if self.0.tracking != Tracking::Enabled {
            return Ok(());
        }
        let (done, applied) = oneshot::channel();
        let (user, device) = (session.user, session.device_id.clone());
        self.0
            .send(Command::Set {
                user,
                device,
                state,
                status_msg,
                done,
            })
            .await?;
        // Without an answer the writer has ended, with the whole server.
        applied.await.map_err(|_| OVERLOADED)
    }

    /// The presence of `target`, if `session`'s user may see it: their own, that of people who share a room, and what a
    /// module says that they may see.
    pub async fn presence_of(&self, session: &Session, target: &UserId) -> Option<PresenceContent> {
        let shared = &self.0;
        let user = shared.directory.key(target.as_str())?;
        if shared.shared_rooms().shows(session.user, user) {
            return Some(shared.content(&shared.world.read(), user));
        }
        for _ in 0..LOOKS {
            let asked_at = shared.world.read().streams.last_change(user);
            if !shared.routes_to(session, user).await {
                return None;
            }
            // The module may route the newer state elsewhere.
            let world = shared.world.read();
            if world.streams.last_change(user) == asked_at {
                return Some(shared.content(&world, user));
            }
        }
        None
    }

    /// Ends long-polls, then the writer and the feeds, then the modules: `shutdown` is called on each, and given `deadline`.
    pub async fn shutdown(&self, deadline: Duration) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        for feed in &self.0.feeds {
            let identity = feed.module().identity();
            if !feed.module().shutdown(deadline).await {
                tracing::warn!(
                    module = identity.name,
                    "shutdown did not end within {} s",
                    deadline.as_secs()
                );
            }
        }
    }
}

impl Shared {
    fn shared_rooms(&self) -> SharedRooms<'_> {
        SharedRooms::new(&self.directory, self.room_presence)
    }

    async fn send(&self, command: Command) -> Result<(), Overloaded> {
        let sent = tokio::time::timeout(QUEUE_WAIT, self.commands.send(command)).await;
        if let Ok(Ok(())) = sent {
            Ok(())
        } else {
            Err(OVERLOADED)
        }
    }

    /// A user's presence as clients see it.
    fn content(&self, world: &World, user: UserKey) -> PresenceContent {
        PresenceContent::at(world.presence.state(user), self.clock.now_ms())
    }

    /// A user's state as it crosses to modules.
    fn crossing(&self, user: UserKey, presence: &UserPresence) -> Option<UserPresenceState> {
        let id = self.directory.id(user)?;
        Some(UserPresenceState {
            state: presence.state,
            last_active_ts: presence.last_active_ts,
            last_federation_update_ts: presence.last_federation_update_ts,
            last_user_sync_ts: presence.last_user_sync_ts,
            status_msg: presence.status_msg.as_deref().map(Into::into).into(),
            currently_active: presence.currently_active,
            ..UserPresenceState::offline(id.as_str())
        })
    }
}

//! The one place where presence, directory, routing, modules and delivery meet.
//!
//! One task, the `writer`, applies all changes in order; syncs and look-ups read what it wrote. Each module has
//! a `feed`, a task that carries changes to it: nothing else waits for a module, but for a first sync and a look-up of one
//! user, and these for `call_timeout` at most.

mod catch_up;
mod feed;
mod fetch;
mod membership;
mod read;
mod sync;
#[cfg(test)]
mod tests;
mod world;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::RwLock;
use presence_router_api::{PresenceState, SharedRoomPresence, UserId};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config;
use crate::config::Tracking;
use crate::delivery::{Destinations, PresenceContent, Since, Streams, Waiting};
use crate::directory::{Directory, Source, TokenOwner};
use crate::modules::Running;
use crate::presence::{DeviceId, Presence, Timing, UserKey};

pub use crate::engine::sync::{SetPresence, SyncAnswer, SyncError, SyncRequest};

use crate::engine::feed::Feed;
use crate::engine::world::World;
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
    source: Arc<dyn Source>,
    presence: config::Presence,
    /// Whether a first sync tells of offline users too.
    offline_on_sync: bool,
    world: RwLock<World>,
    waiting: Arc<Waiting>,
    feeds: RwLock<Arc<[Arc<Feed>]>>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    tasks: TaskTracker,
    runtime: Handle,
}

/// What an engine is started with.
pub struct Setup {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This homeserver's name.
    pub server_name: String,
    /// Users, tokens and rooms. What it tells at once is how things stand.
    pub source: Arc<dyn Source>,
    /// The rules of `presence:`.
    pub presence: config::Presence,
    /// Rooms whose members do not see each other for being in them.
    pub excluded_rooms: Vec<String>,
}

/// A request's sender, by their access token.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who they are.
    pub user_id: UserId,
    /// Their device.
    pub device_id: DeviceId,
    user: UserKey,
    revoked: CancellationToken,
}

/// The queue of changes stayed full for a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many presence updates are waiting")]
pub struct Overloaded {
    /// When to try again.
    pub retry_after: Duration,
}

impl Engine {
    /// Starts on the present runtime, without modules.
    pub fn start(setup: Setup) -> Self {
        let (engine, queue) = Self::assemble(setup);
        let shared = &engine.0;
        shared.tasks.spawn(Writer::new(Arc::clone(shared), queue).run());
        shared.tasks.spawn(membership::follow(Arc::clone(shared)));
        engine
    }

    fn assemble(setup: Setup) -> (Self, mpsc::Receiver<Command>) {
        let Setup {
            clock,
            server_name,
            source,
            presence,
            excluded_rooms,
        } = setup;
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let timing = Timing {
            last_active_granularity: ms(presence.last_active_granularity),
            idle_timeout: ms(presence.idle_timeout),
            sync_online_timeout: ms(presence.sync_online_timeout),
            ..Timing::default()
        };
        let mut directory = Directory::new(&server_name, &excluded_rooms);
        for event in source.changes().now_or_never().unwrap_or_default() {
            directory.apply(&event, 0);
        }
        // Positions start from the clock in microseconds, so those of this run are higher than any of runs before.
        let streams = Streams::new(clock.now_ms().saturating_mul(1_000));
        let (commands, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            clock,
            source,
            world: RwLock::new(World {
                presence: Presence::new(timing),
                directory,
                streams,
                snapshots: HashMap::new(),
                room_presence: SharedRoomPresence::Additive,
                destinations: Destinations::default(),
                tracking: presence.enabled,
            }),
            presence,
            offline_on_sync: false,
            waiting: Arc::default(),
            feeds: RwLock::new(Arc::default()),
            commands,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
        });
        (Self(shared), queue)
    }

    /// From now on, this module is asked as well. Everybody who is not offline is routed by it first.
    pub fn attach(&self, module: Running) {
        let shared = &self.0;
        let feed = Arc::new(Feed::new(module));
        {
            let mut world = shared.world.write();
            let position = world.streams.advance();
            world.streams.attach(
                feed.tag(),
                Since {
                    attached: position,
                    changed: position,
                },
            );
            if feed.module().shared_room_presence() == SharedRoomPresence::Replace {
                world.room_presence = SharedRoomPresence::Replace;
            }
            let not_offline = |user: &UserKey| world.presence.state(*user).state != PresenceState::Offline;
            let users: Vec<_> = world.directory.users().filter(not_offline).collect();
            feed.mark(&users);
            let mut feeds = shared.feeds.write();
            *feeds = feeds.iter().cloned().chain([Arc::clone(&feed)]).collect();
        }
        shared.tasks.spawn(feed::run(feed, Arc::clone(shared)));
    }

    /// Who stands behind an access token.
    pub async fn session(&self, access_token: &str) -> Option<Session> {
        let TokenOwner {
            user_id,
            device_id,
            revoked,
        } = self.0.source.token_owner(access_token).await?;
        let user = self.0.world.read().directory.local_key(user_id.as_str())?;
        Some(Session {
            user_id,
            device_id,
            user,
            revoked,
        })
    }

    /// The longest `status_msg` that is taken, in bytes.
    pub fn max_status_msg_bytes(&self) -> usize {
        self.0.presence.max_status_msg_bytes
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
        if self.0.presence.enabled != Tracking::Enabled {
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
        let user = {
            let world = shared.world.read();
            let user = world.directory.key(target.as_str())?;
            if world.shared_rooms().shows(session.user, user) {
                return Some(world.content(user, shared.clock.now_ms()));
            }
            user
        };
        for _ in 0..LOOKS {
            let asked_at = shared.world.read().streams.last_change(user);
            if !shared.routes_to(session, user).await {
                return None;
            }
            // The module may route the newer state elsewhere.
            let world = shared.world.read();
            if world.streams.last_change(user) == asked_at {
                return Some(world.content(user, shared.clock.now_ms()));
            }
        }
        None
    }

    /// Ends long-polls, then the writer and the feeds, then the modules: `shutdown` is called on each, and given `deadline`.
    pub async fn shutdown(&self, deadline: Duration) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        for feed in self.0.feeds().iter() {
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
    /// The modules' feeds, in the order in which they were attached.
    fn feeds(&self) -> Arc<[Arc<Feed>]> {
        Arc::clone(&self.feeds.read())
    }

    async fn send(&self, command: Command) -> Result<(), Overloaded> {
        let sent = tokio::time::timeout(QUEUE_WAIT, self.commands.send(command)).await;
        if let Ok(Ok(())) = sent {
            Ok(())
        } else {
            Err(OVERLOADED)
        }
    }
}

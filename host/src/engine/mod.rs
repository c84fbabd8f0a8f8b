//! The one place where presence, directory, routing, modules and delivery meet.
//!
//! One task, the `writer`, applies all changes in order; syncs and look-ups read what it wrote. Each module has
//! a `feed`, a task that carries changes to it: nothing else waits for a module, but for a first sync and a look-up of one
//! user, and these for `call_timeout` at most.

mod applied;
mod catch_up;
mod deliver;
mod explain;
mod feed;
mod fetch;
mod filters;
mod gathered;
mod generation;
mod limit;
mod membership;
mod outbox;
mod outcome;
mod partings;
mod queue;
mod read;
mod receive;
mod restore;
mod services;
mod session;
mod start;
mod strangers;
mod swap;
mod sync;
#[cfg(test)]
mod tests;
mod told;
mod world;
mod writer;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use presence_router_api::{PresenceState, UserId};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config;
use crate::config::Tracking;
use crate::delivery::{PresenceContent, Progress, Waiting};
use crate::directory::{Source, TokenOwner};
use crate::federation::Contact;
use crate::metrics::{OnScrape, PresenceMetrics};
use crate::presence::UserPresence;
use crate::storage::{Storage, Writes};

pub use crate::engine::applied::{NotApplied, Overloaded};
pub use crate::engine::explain::{
    Decided, Explanation, Interested, Misaligned, ModuleWord, RoomStanding, Routing, SharedRoom,
};
pub use crate::engine::filters::FilterError;
pub use crate::engine::generation::{ModuleView, ProbeError, Retired};
pub use crate::engine::limit::RateLimited;
pub use crate::engine::receive::RemotePresence;
pub use crate::engine::session::Session;
pub use crate::engine::start::{ROUTE_PACE, Setup};
pub use crate::engine::sync::{SetPresence, SyncAnswer, SyncError, SyncRequest};

use crate::engine::feed::{Feed, with_source};
use crate::engine::gathered::Gathered;
use crate::engine::limit::Limits;
use crate::engine::queue::{Closed, Queue};
use crate::engine::restore::Routes;
use crate::engine::session::Reader;
use crate::engine::world::World;
use crate::engine::writer::{Command, Stored};

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
    route_pace: Duration,
    world: RwLock<World>,
    /// How far the logs of the world have come.
    progress: Arc<Progress>,
    waiting: Arc<Waiting>,
    gathered: Gathered,
    feeds: RwLock<Arc<[Arc<Feed>]>>,
    /// Modules that were detached, by name.
    parked: Mutex<HashMap<Arc<str>, Arc<Feed>>>,
    limits: Limits,
    metrics: PresenceMetrics,
    /// Refreshes what of this the metrics show; set once this stands.
    on_scrape: OnceLock<OnScrape>,
    commands: Queue,
    receiving: Arc<Semaphore>,
    storage: Storage,
    /// How other homeservers were reached in the run before, until somebody sends to them.
    contacts: Mutex<Vec<Contact>>,
    /// Whether somebody has synced in this run.
    has_synced: AtomicBool,
    /// What modules had routed in the run before, until they are attached.
    routes: Mutex<Routes>,
    stop: CancellationToken,
    tasks: TaskTracker,
    runtime: Handle,
}

impl Engine {
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

    /// Whether clients say who is what. If not, what they set is taken and forgotten.
    pub fn tracks_clients(&self) -> bool {
        self.0.tracks_clients()
    }

    /// The longest `status_msg` that is taken, in bytes.
    pub fn max_status_msg_bytes(&self) -> usize {
        self.0.presence.max_status_msg_bytes
    }

    /// A client sets its user's presence. Returns when the change is visible to syncs and on disk: it survives the death of
    /// the process.
    ///
    /// # Errors
    /// See [`NotApplied`].
    pub async fn set_presence(
        &self,
        session: &Session,
        state: PresenceState,
        status_msg: Option<String>,
    ) -> Result<(), NotApplied> {
        if !self.tracks_clients() {
            return Ok(());
        }
        let (user, device) = (session.user, session.device_id.clone());
        let set = |done| Command::Set {
            user,
            device,
            state,
            status_msg,
            done,
        };
        self.0.store(set).await
    }

    /// The presence of `target`, if `session`'s user may see it: their own, that of people who share a room, and what a
    /// module says that they may see. While presence is disabled, everybody is offline to everybody.
    pub async fn presence_of(&self, session: &Session, target: &UserId) -> Option<PresenceContent> {
        let shared = &self.0;
        if shared.presence.enabled == Tracking::Disabled {
            // As Synapse: nobody is asked whether they may see that there is nothing to see.
            return Some(PresenceContent::at(&UserPresence::OFFLINE, shared.clock.now_ms()));
        }
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
            if !shared.routes_to(session.reader(), user).await {
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
    /// In the end all that has changed is on disk.
    pub async fn shutdown(&self, deadline: Duration) {
        self.stop(deadline).await;
        if let Err(error) = self.0.storage.close().await {
            tracing::error!("what changed last may not be stored: {}", with_source(&error));
        }
    }

    async fn stop(&self, deadline: Duration) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        let outgoing = {
            let mut world = self.0.world.write();
            world.destinations.all_are_away();
            world.outgoing_to_store()
        };
        let writes = Writes {
            outgoing,
            ..Writes::default()
        };
        self.0.storage.write(writes, Vec::new());
        for feed in self.0.feeds().iter() {
            if !feed.lease().shutdown(deadline).await {
                tracing::warn!(
                    module = &**feed.name(),
                    "shutdown did not end within {} s",
                    deadline.as_secs()
                );
            }
        }
    }
}

impl Shared {
    fn tracks_clients(&self) -> bool {
        self.presence.enabled == Tracking::Enabled
    }

    /// The modules' feeds, in the order in which they were attached.
    fn feeds(&self) -> Arc<[Arc<Feed>]> {
        Arc::clone(&self.feeds.read())
    }

    /// Has the writer make a change.
    async fn send(&self, command: Command) -> Result<(), NotApplied> {
        match tokio::time::timeout(QUEUE_WAIT, self.commands.send(command)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Closed)) => Err(NotApplied::Stopped),
            Err(_) => {
                self.metrics.overloaded();
                Err(OVERLOADED.into())
            }
        }
    }

    /// Has the writer make a change, and waits until it is on disk.
    async fn store(&self, command: impl FnOnce(Stored) -> Command) -> Result<(), NotApplied> {
        let (done, stored) = oneshot::channel();
        self.send(command(done)).await?;
        // Without an answer the writer has ended, with the whole server.
        Ok(stored.await.map_err(|_| NotApplied::Stopped)??)
    }

    fn refresh_metrics(&self) {
        self.metrics
            .waiting(self.commands.len(), self.waiting.waiter_count());
        {
            let world = self.world.read();
            self.metrics.timers(world.presence.timeout_count());
            self.metrics.waiting_for_servers(world.destinations.len());
        }
        for feed in self.feeds().iter() {
            feed.refresh_metrics();
        }
    }
}

//! `/sync`: what a user may see and has not read.
//!
//! An incremental sync reads logs and asks no module, unless the logs do not reach back to its token or a module owes it an
//! answer. See `docs/decisions/sync-by-position.md`.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState;
use tokio::sync::{mpsc::error::TrySendError, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::config::Tracking;
use crate::delivery::{PresenceEvent, PresenceFilter, SyncToken};
use crate::engine::fetch::{Fetched, Wanted};
use crate::engine::read::{Read, unchanged_since};
use crate::engine::writer::Command;
use crate::engine::{Engine, Session, Shared};
use crate::presence::{DeviceId, UserKey};

/// How long a sync that has something to tell waits for a module that owes it more.
const OWED_WAIT: Duration = Duration::from_millis(20);

/// The longest that a sync waits.
const MAX_TIMEOUT: Duration = Duration::from_hours(1);

/// What a sync does to its user's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetPresence {
    /// The device is online while it syncs.
    #[default]
    Online,
    /// The device is unavailable while it syncs.
    Unavailable,
    /// The sync leaves presence alone.
    Offline,
}

/// A sync.
#[derive(Debug, Clone, Default)]
pub struct SyncRequest {
    /// How far the client has read; `None` for a first sync.
    pub since: Option<SyncToken>,
    /// How long to wait for news. A first sync never waits.
    pub timeout: Duration,
    /// What it does to its user's presence.
    pub set_presence: SetPresence,
    /// Whether all states are wanted, not only what has changed.
    pub full_state: bool,
    /// Which events are wanted. What it leaves out neither wakes the sync nor comes later.
    pub filter: PresenceFilter,
}

/// What a sync answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncAnswer {
    /// Where the next sync begins.
    pub next_batch: SyncToken,
    /// Each user at most once.
    pub events: Vec<PresenceEvent>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// `since` is of the future: of another server, or made up.
    #[error("since is not a token of this server; sync without it once")]
    UnknownToken,
    /// The queue of changes stayed full.
    #[error(transparent)]
    Overloaded(#[from] super::Overloaded),
}

impl Engine {
    /// Serves a sync; waits for news as the request says.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn sync(&self, session: &Session, request: SyncRequest) -> Result<SyncAnswer, SyncError> {
        let shared = &self.0;
        let deadline = Instant::now() + request.timeout.min(MAX_TIMEOUT);
        let _running = shared.announce(session, request.set_presence).await?;
        match request.since {
            Some(since) if !request.full_state => {
                shared
                    .incremental(session, since, deadline, &request.filter)
                    .await
            }
            since => Ok(shared.initial(session, since, &request.filter).await),
        }
    }
}

impl Shared {
    /// Tells the writer that a sync runs, until the guard is dropped.
    async fn announce(
        self: &Arc<Self>,
        session: &Session,
        set_presence: SetPresence,
    ) -> Result<Option<RunningSync>, super::Overloaded> {
        let state = match set_presence {
            SetPresence::Online => PresenceState::Online,
            SetPresence::Unavailable => PresenceState::Unavailable,
            SetPresence::Offline => return Ok(None),
        };
        if self.tracking != Tracking::Enabled {
            return Ok(None);
        }
        let (user, device) = (session.user, session.device_id.clone());
        let (done, applied) = oneshot::channel();
        self.send(Command::SyncStarted {
            user,
            device: device.clone(),
            state,
            done,
        })
        .await?;
        let running = RunningSync {
            shared: Arc::clone(self),
            user,
            device,
        };
        applied.await.map_err(|_| super::OVERLOADED)?;
        Ok(Some(running))
    }

    /// All that a user may see, but for those who are offline. A client that has a token is told of these too, when it has
    /// not read that they are.
    async fn initial(
        &self,
        session: &Session,
        since: Option<SyncToken>,
        filter: &PresenceFilter,
    ) -> SyncAnswer {
        let (asked_at, unread) = {
            let streams = &self.world.read().streams;
            // A token that has read nothing that was routed knows of nobody who could have gone.
            let read = since.filter(|since| since.routed > 0);
            let mut unread: Vec<_> = read
                .iter()
                .flat_map(|since| streams.unsettled_at(since.routed))
                .collect();
            unread.sort_unstable();
            (streams.position(), unread)
        };
        let fetched = if self.tracking == Tracking::Disabled {
            Fetched {
                users: Vec::new(),
                complete: true,
            }
        } else {
            self.fetch(session, Wanted::NotOfflineAnd(&unread)).await
        };
        let contacts = match self.tracking {
            Tracking::Disabled => Vec::new(),
            Tracking::Enabled | Tracking::Untracked => self.shared_rooms().contacts(session.user),
        };
        let world = self.world.read();
        let told = |user: &UserKey| {
            world.presence.state(*user).state != PresenceState::Offline
                || since.is_some_and(|since| world.streams.last_change(*user) > since.stream)
        };
        let mut events = self.events(&world, filter, contacts.into_iter().filter(told));
        events.extend(self.events(&world, filter, unchanged_since(&world, &fetched.users, asked_at)));
        let (routed, fetched) = match (fetched.complete, since) {
            (true, _) => (asked_at, asked_at),
            (false, None) => (0, 0),
            // It goes on where it was.
            (false, Some(since)) => (since.routed, since.fetched),
        };
        let next_batch = SyncToken {
            stream: world.streams.position(),
            routed,
            fetched,
        };
        SyncAnswer { next_batch, events }
    }

    async fn incremental(
        &self,
        session: &Session,
        since: SyncToken,
        deadline: Instant,
        filter: &PresenceFilter,
    ) -> Result<SyncAnswer, SyncError> {
        let mut token = since;
        let waiter = self.waiting.register(session.user);
        // Goes on while news come, or it would never end for a user with many.
        let mut catching_up = None;
        loop {
            // Listen first, read second: what changes in between wakes.
            let mut news = std::pin::pin!(waiter.news().notified());
            news.as_mut().enable();
            let Read {
                mut events,
                owed,
                position,
            } = self.read(session.user, token, filter)?;
            token.stream = position;
            if owed {
                catching_up.get_or_insert_with(|| Box::pin(self.catch_up(session, token)));
            } else {
                token.routed = position;
                catching_up = None;
            }
            let patience = if events.is_empty() {
                deadline
            } else {
                Instant::now() + OWED_WAIT
            };
            let mut retry = None;
            if let Some(asking) = &mut catching_up {
                let caught_up = tokio::select! {
                    biased;
                    caught_up = asking => caught_up,
                    () = self.stop.cancelled() => return Ok(SyncAnswer { next_batch: token, events }),
                    () = news.as_mut(), if events.is_empty() => continue,
                    // With nothing to tell it waits for the module, for a deadline that has passed may be all that a
                    // client ever gives.
                    () = sleep_until(patience), if !events.is_empty() => {
                        return Ok(SyncAnswer { next_batch: token, events });
                    }
                };
                catching_up = None;
                if let Some(CaughtUp { users, position }) = caught_up {
                    let world = self.world.read();
                    events.extend(self.events(&world, filter, unchanged_since(&world, &users, position)));
                    if token.routed == 0 {
                        token.fetched = position;
                    }
                    token.routed = position;
                } else {
                    retry = self
                        .feeds
                        .iter()
                        .filter_map(|feed| feed.module().quarantined_for())
                        .max();
                }
            }
            if !events.is_empty() || Instant::now() >= deadline {
                return Ok(SyncAnswer {
                    next_batch: token,
                    events,
                });
            }
            let until = retry.map_or(deadline, |rest| deadline.min(Instant::now() + rest));
            tokio::select! {
                () = news => {}
                () = sleep_until(until) => {}
                () = self.stop.cancelled() => return Ok(SyncAnswer { next_batch: token, events }),
            }
        }
    }

    /// Asks the modules for what the logs do not hold. `None` when one did not answer; the next sync asks again.
    async fn catch_up(&self, session: &Session, token: SyncToken) -> Option<CaughtUp> {
        let (position, missed) = {
            let world = self.world.read();
            let rooms = self.shared_rooms();
            let mut missed: Vec<_> = world
                .streams
                .settled_after(token.routed)
                .filter(|update| update.is_news_after(token.fetched))
                .map(|update| update.user)
                .filter(|user| !rooms.shows(session.user, *user))
                .collect();
            missed.sort_unstable();
            (world.streams.position(), missed)
        };
        let fetched = match (token.routed, missed.as_slice()) {
            // It has never asked.
            (0, _) => self.fetch(session, Wanted::NotOfflineAnd(&[])).await,
            (_, []) => {
                return Some(CaughtUp {
                    users: missed,
                    position,
                });
            }
            // What is on its way through the modules comes by the logs.
            (_, missed) => self.fetch(session, Wanted::Of(missed)).await,
        };
        fetched.complete.then_some(CaughtUp {
            users: fetched.users,
            position,
        })
    }
}

/// What the modules said when they were asked for what the logs do not hold.
struct CaughtUp {
    users: Vec<UserKey>,
    /// What was routed later is in the logs.
    position: u64,
}

/// A sync that sets presence; tells the writer when it ends.
struct RunningSync {
    shared: Arc<Shared>,
    user: UserKey,
    device: DeviceId,
}

impl Drop for RunningSync {
    fn drop(&mut self) {
        let ended = Command::SyncEnded {
            user: self.user,
            device: self.device.clone(),
        };
        // Full: wait for a place. There is at most one of these a running sync.
        if let Err(TrySendError::Full(ended)) = self.shared.commands.try_send(ended) {
            let commands = self.shared.commands.clone();
            // A future may be dropped anywhere, so the runtime is named.
            let waiting = async move {
                let _ = commands.send(ended).await;
            };
            self.shared.tasks.spawn_on(waiting, &self.shared.runtime);
        }
    }
}

//! `/sync`: what a user may see and has not read.
//!
//! An incremental sync reads logs and asks no module, unless the logs do not reach back to its token or a module owes it an
//! answer. See `docs/decisions/sync-by-position.md`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use presence_router_api::PresenceState;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::config::Tracking;
use crate::delivery::{Cursor, Events, ModuleTag, Owes, PresenceFilter, SyncToken, Woken};
use crate::engine::feed::Feed;
use crate::engine::fetch::{Fetched, Wanted};
use crate::engine::queue::NotSent;
use crate::engine::read::{Logs, Read};
use crate::engine::restore::Synced;
use crate::engine::writer::Command;
use crate::engine::{Engine, NotApplied, Session, Shared};
use crate::metrics::Limited;
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
    pub events: Events,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SyncError {
    /// `since` is of the future: of another server, or made up.
    #[error("since is not a token of this server; sync without it once")]
    UnknownToken,
    /// The user's own presence could not be set.
    #[error(transparent)]
    NotApplied(#[from] NotApplied),
}

impl Engine {
    /// Serves a sync; waits for news as the request says.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn sync(&self, session: &Session, request: SyncRequest) -> Result<SyncAnswer, SyncError> {
        let shared = &self.0;
        let deadline = Deadline::after(request.timeout.min(MAX_TIMEOUT));
        // Once: what is written by each sync would go from core to core.
        if shared.synced() == Synced::Nobody {
            shared.has_synced.store(true, Ordering::Relaxed);
        }
        let _running = shared.announce(session, request.set_presence).await?;
        match request.since {
            Some(since) if !request.full_state || shared.presence.enabled == Tracking::Disabled => {
                shared
                    .incremental(session, since, deadline, &request.filter)
                    .await
            }
            since => {
                // A token of the future names nothing that could be told again.
                let position = shared.world.read().streams.position();
                if since.as_ref().is_some_and(|since| since.furthest() > position) {
                    return Err(SyncError::UnknownToken);
                }
                let all = All::Asked;
                Ok(shared
                    .initial(session, since.as_ref(), &request.filter, all)
                    .await)
            }
        }
    }
}

impl Shared {
    /// Whether a client has synced in this run.
    pub(super) fn synced(&self) -> Synced {
        if self.has_synced.load(Ordering::Relaxed) {
            Synced::Somebody
        } else {
            Synced::Nobody
        }
    }

    /// Tells the writer that a sync runs, until the guard is dropped.
    async fn announce(
        self: &Arc<Self>,
        session: &Session,
        set_presence: SetPresence,
    ) -> Result<Option<RunningSync>, NotApplied> {
        let state = match set_presence {
            SetPresence::Online => PresenceState::Online,
            SetPresence::Unavailable => PresenceState::Unavailable,
            SetPresence::Offline => return Ok(None),
        };
        if !self.tracks_clients() {
            return Ok(None);
        }
        // As in Synapse: what is beyond the limit is served, and sets nothing.
        if self.limits.sync(session.user).is_err() {
            self.metrics.limited(Limited::Sync);
            tracing::debug!(user = %session.user_id, "syncs more often than rc_presence allows; this one sets no presence");
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
        applied.await.map_err(|_| NotApplied::Stopped)?;
        Ok(Some(running))
    }

    /// All that a user may see, but for those who are offline. A client that has a token is told of these too, when it has
    /// not read that they are.
    async fn initial(
        &self,
        session: &Session,
        since: Option<&SyncToken>,
        filter: &PresenceFilter,
        all: All,
    ) -> SyncAnswer {
        let with_offline = all == All::Asked && self.presence.include_offline_users_on_sync;
        let (asked_at, asked) = {
            let streams = &self.world.read().streams;
            // Under the lock: a module that comes later has a later position.
            let feeds = match self.presence.enabled {
                Tracking::Disabled => Arc::default(),
                Tracking::Enabled | Tracking::Untracked => self.feeds(),
            };
            let wanted = |feed: &Feed| {
                if with_offline {
                    return Wanted::Everybodys;
                }
                let mut unread: Vec<_> = match since {
                    None => Vec::new(),
                    Some(since) => streams.unread(feed.tag(), since).collect(),
                };
                unread.sort_unstable();
                Wanted::NotOfflineAnd(unread)
            };
            let asked: Vec<_> = feeds
                .iter()
                .map(|feed| (Arc::clone(feed), wanted(feed)))
                .collect();
            (streams.position(), asked)
        };
        let mut answers = self.fetch(session.reader(), asked).await;

        let world = self.world.read();
        if self.presence.enabled != Tracking::Disabled {
            // Modules that have come meanwhile have not answered.
            let was_asked = |module: &ModuleTag| answers.iter().any(|answer| answer.module == *module);
            let late: Vec<_> = world
                .streams
                .modules()
                .filter(|module| !was_asked(module))
                .collect();
            answers.extend(late.into_iter().map(|module| Fetched { module, users: None }));
        }
        let mut users = match self.presence.enabled {
            Tracking::Disabled => Vec::new(),
            Tracking::Enabled | Tracking::Untracked => world.shared_rooms().contacts(session.user),
        };
        let introduced = since.map_or_else(Vec::new, |since| {
            world.shared_rooms().newly_shown(session.user, since.stream)
        });
        users.retain(|user| {
            with_offline
                || world.presence.state(*user).state != PresenceState::Offline
                || since.is_some_and(|since| world.streams.last_change(*user) > since.stream)
                // A module has shown them before a room does, and the token has not read from it that they have gone.
                || since.is_some_and(|since| {
                    introduced.binary_search(user).is_ok() && world.streams.is_unread(*user, since)
                })
        });
        let mut cursors = Vec::with_capacity(answers.len());
        for Fetched { module, users: shown } in &answers {
            let cursor = match (shown, since) {
                (Some(shown), _) => {
                    users.extend(world.unchanged_since(shown, asked_at));
                    Cursor::asked_at(asked_at)
                }
                (None, None) => Cursor::never_answered(asked_at),
                // It goes on where it was; for a snapshot that a module has told, all of it is still owed.
                (None, Some(since)) => {
                    let cursor = since.cursor(*module);
                    let owes = match all {
                        All::Told => Owes::All,
                        All::Asked => cursor.owes,
                    };
                    Cursor { owes, ..cursor }
                }
            };
            cursors.push((*module, cursor));
        }
        users.sort_unstable();
        users.dedup();
        SyncAnswer {
            next_batch: SyncToken::new(
                world.streams.position(),
                &cursors,
                Cursor::asked_at(world.streams.position()),
            ),
            events: world
                .events(filter, users.into_iter(), self.clock.now_ms())
                .into(),
        }
    }

    async fn incremental(
        &self,
        session: &Session,
        since: SyncToken,
        deadline: Deadline,
        filter: &PresenceFilter,
    ) -> Result<SyncAnswer, SyncError> {
        let mut token = since;
        session.revoked.watch(&self.waiting, session.user);
        // Goes on while news come, or it would never end for a user with many.
        let mut catching_up = None;
        let events = loop {
            // Listen first, read second: what changes in between wakes.
            let heard = self.waiting.heard();
            let Read::Logs(Logs {
                mut events,
                owed,
                token: read,
            }) = self.read(session.user, &token, filter)?
            else {
                return Ok(self.initial(session, Some(&token), filter, All::Told).await);
            };
            token = read;
            if owed.is_empty() {
                catching_up = None;
            } else {
                catching_up.get_or_insert_with(|| Box::pin(self.catch_up(session, token.clone(), owed)));
            }
            let mut retry = None;
            if let Some(asking) = &mut catching_up {
                let patience = Instant::now() + OWED_WAIT;
                let caught_up = tokio::select! {
                    biased;
                    caught_up = asking => caught_up,
                    () = self.stop.cancelled() => break events,
                    () = session.revoked.revoked() => break events,
                    _ = self.waiting.wait(session.user, heard, None), if events.is_empty() => continue,
                    // With nothing to tell it waits for the module, for a deadline that has passed may be all that a
                    // client ever gives.
                    () = sleep_until(patience), if !events.is_empty() => break events,
                };
                catching_up = None;
                retry = self.take_in(session, &caught_up, &mut token, &mut events, filter);
            }
            if !events.is_empty() || session.revoked.is_revoked() {
                break events;
            }
            let Deadline::At(deadline) = deadline else {
                break events;
            };
            let until = retry.map_or(deadline, |rest| deadline.min(Instant::now() + rest));
            match self.waiting.wait(session.user, heard, Some(until)).await {
                Woken::News => {}
                // Time to ask again.
                Woken::Late if until < deadline => {}
                Woken::Late | Woken::Closed => break events,
            }
        };
        Ok(SyncAnswer {
            next_batch: token,
            events,
        })
    }

    /// Ends the syncs that wait, each when its time is over, and all when the server stops.
    pub(super) async fn end_waits(self: Arc<Self>) {
        tokio::select! {
            () = self.waiting.ring() => {}
            () = self.stop.cancelled() => {}
        }
        self.waiting.close();
    }
}

/// How long a sync waits for news.
#[derive(Debug, Clone, Copy)]
enum Deadline {
    /// Not at all.
    Now,
    At(Instant),
}

impl Deadline {
    fn after(timeout: Duration) -> Self {
        if timeout.is_zero() {
            Self::Now
        } else {
            Self::At(Instant::now() + timeout)
        }
    }
}

/// Why all that a user may see is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum All {
    /// The client asked for it: a first sync, or `full_state`.
    Asked,
    /// A module did, for this user.
    Told,
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
        if let Err(NotSent::Full(ended)) = self.shared.commands.try_send(ended) {
            let shared = Arc::clone(&self.shared);
            // A future may be dropped anywhere, so the runtime is named.
            let waiting = async move {
                // Closed: the server has stopped, and nobody is there any more.
                let _ = shared.commands.send(ended).await;
            };
            self.shared.tasks.spawn_on(waiting, &self.shared.runtime);
        }
    }
}

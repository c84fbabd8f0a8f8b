//! `/sync`: what a user may see and has not read.
//!
//! An incremental sync reads logs and asks no module, unless the logs do not reach back to its token or a module owes it an
//! answer. See `docs/decisions/sync-by-position.md`.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState;
use tokio::sync::{mpsc::error::TrySendError, oneshot};
use tokio::time::{Instant, timeout};

use crate::config::Tracking;
use crate::delivery::{PresenceContent, PresenceEvent, PresenceFilter, SyncToken};
use crate::engine::fetch::{Fetched, Wanted};
use crate::engine::writer::Command;
use crate::engine::{Engine, Session, Shared, World};
use crate::presence::{DeviceId, UserKey};

/// How long a sync that has something to tell waits for a module that owes it more.
const OWED_WAIT: Duration = Duration::from_millis(20);

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
        let deadline = Instant::now() + request.timeout;
        let _running = shared.announce(session, request.set_presence).await?;
        match request.since {
            Some(since) if !request.full_state => {
                shared
                    .incremental(session, since, deadline, &request.filter)
                    .await
            }
            _ => Ok(shared.initial(session, &request.filter).await),
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
        let _ = applied.await;
        Ok(Some(running))
    }

    async fn initial(&self, session: &Session, filter: &PresenceFilter) -> SyncAnswer {
        let asked_at = self.world.read().streams.position();
        let fetched = if self.tracking == Tracking::Disabled {
            Fetched {
                users: Vec::new(),
                complete: true,
            }
        } else {
            self.fetch(session, Wanted::NotOffline).await
        };
        let contacts = match self.tracking {
            Tracking::Disabled => Vec::new(),
            Tracking::Enabled | Tracking::Untracked => self.shared_rooms().contacts(session.user),
        };
        let world = self.world.read();
        let online = |user: &UserKey| world.presence.state(*user).state != PresenceState::Offline;
        let mut events = self.events(&world, filter, contacts.into_iter().filter(online));
        events.extend(self.events(&world, filter, unchanged_since(&world, &fetched.users, asked_at)));
        let routed = if fetched.complete { asked_at } else { 0 };
        let next_batch = SyncToken {
            stream: world.streams.position(),
            routed,
            fetched: routed,
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
                tokio::select! {
                    fetched = self.catch_up(session, token.routed, !events.is_empty()) => {
                        if let Some(fetched) = fetched {
                            let world = self.world.read();
                            events.extend(self.events(&world, filter, unchanged_since(&world, &fetched, position)));
                            token.routed = position;
                            token.fetched = position;
                        }
                    }
                    () = news.as_mut(), if events.is_empty() => continue,
                }
            } else {
                token.routed = position;
            }
            if !events.is_empty() || Instant::now() >= deadline {
                return Ok(SyncAnswer {
                    next_batch: token,
                    events,
                });
            }
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = self.stop.cancelled() => return Ok(SyncAnswer { next_batch: token, events }),
            }
        }
    }

    /// Asks the modules for what the logs do not hold. `None` when one did not answer; the next sync asks again.
    async fn catch_up(&self, session: &Session, routed: u64, in_a_hurry: bool) -> Option<Vec<UserKey>> {
        let wanted = if routed == 0 {
            Wanted::NotOffline
        } else {
            Wanted::ChangedAfter(routed)
        };
        let fetching = self.fetch(session, wanted);
        let fetched = if in_a_hurry {
            timeout(OWED_WAIT, fetching).await.ok()?
        } else {
            fetching.await
        };
        fetched.complete.then_some(fetched.users)
    }

    /// What the logs hold for a reader after a token.
    fn read(&self, reader: UserKey, token: SyncToken, filter: &PresenceFilter) -> Result<Read, SyncError> {
        let world = self.world.read();
        let streams = &world.streams;
        let position = streams.position();
        if token.stream > position || token.routed > position || token.fetched > position {
            return Err(SyncError::UnknownToken);
        }
        if self.tracking == Tracking::Disabled {
            return Ok(Read {
                events: Vec::new(),
                owed: false,
                position,
            });
        }
        let rooms = self.shared_rooms();
        let mut seen: Vec<UserKey>;
        // The shorter way: over what changed, or over whom one sees.
        let contacts = rooms.contacts_at_most(reader);
        if streams.changed_after_at_most(token.stream, contacts) < contacts {
            seen = streams
                .changed_after(token.stream)
                .filter(|user| rooms.shows(reader, *user))
                .collect();
        } else {
            seen = rooms.contacts(reader);
            seen.retain(|user| streams.last_change(*user) > token.stream);
        }
        let owed = !self.feeds.is_empty() && token.routed < streams.routed_floor(reader);
        if !owed {
            let routed = streams
                .routed_after(reader, token.routed)
                .filter(|update| match update.change {
                    // A later change is on its way through the module, which may route it elsewhere.
                    Some(change) => change == streams.last_change(update.user) && change > token.fetched,
                    None => true,
                });
            let mut routed: Vec<_> = routed.map(|update| update.user).collect();
            routed.sort_unstable();
            routed.dedup();
            seen.extend(routed.into_iter().filter(|user| !rooms.shows(reader, *user)));
        }
        Ok(Read {
            events: self.events(&world, filter, seen.into_iter()),
            owed,
            position,
        })
    }

    fn events(
        &self,
        world: &World,
        filter: &PresenceFilter,
        users: impl Iterator<Item = UserKey>,
    ) -> Vec<PresenceEvent> {
        let now = self.clock.now_ms();
        users
            .filter_map(|user| {
                let sender = self
                    .directory
                    .id(user)
                    .filter(|id| filter.admits(id.as_str()))?
                    .clone();
                Some(PresenceEvent {
                    sender,
                    content: PresenceContent::at(world.presence.state(user), now),
                })
            })
            .collect()
    }
}

/// Of users whom a module showed by the states that they had at a position, those who still have them. The others' new
/// states are on their way through the module, which may route them elsewhere.
fn unchanged_since<'a>(
    world: &'a World,
    users: &'a [UserKey],
    position: u64,
) -> impl Iterator<Item = UserKey> + 'a {
    users
        .iter()
        .copied()
        .filter(move |user| world.streams.last_change(*user) <= position)
}

/// What the logs hold.
struct Read {
    events: Vec<PresenceEvent>,
    owed: bool,
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
            self.shared.tasks.spawn(async move {
                let _ = commands.send(ended).await;
            });
        }
    }
}

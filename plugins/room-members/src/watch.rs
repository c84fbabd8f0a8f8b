//! Looks up the members of the rooms again and again, and has newcomers receive what they have missed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use presence_router_api::{ApiError, ModuleApi, UserId};

use crate::config::Config;
use crate::members::{Members, Snapshot};

/// The rooms, and the newest that is known of them.
#[derive(Debug)]
pub(crate) struct Watch {
    api: ModuleApi,
    /// For each room, whose presence its members see.
    sent: BTreeMap<String, Vec<UserId>>,
    snapshot: RwLock<Arc<Snapshot>>,
    /// What is remembered from one look to the next.
    memory: Mutex<Memory>,
    is_looking: AtomicBool,
}

#[derive(Debug, Default)]
struct Memory {
    /// Rooms that could not be looked up the last time: said once each.
    failing: BTreeSet<String>,
    /// Members who are to receive what they have missed, and have not been announced to the host yet.
    newcomers: BTreeSet<UserId>,
    /// Whether the host took the last announcement.
    announcing_fails: bool,
}

impl Watch {
    pub(crate) fn new(sent: BTreeMap<String, Vec<UserId>>, api: ModuleApi) -> Self {
        Self {
            api,
            sent,
            snapshot: RwLock::default(),
            memory: Mutex::default(),
            is_looking: AtomicBool::new(false),
        }
    }

    /// Looks at once, and then at each interval, until the instance is shut down.
    pub(crate) fn start(config: Config, api: &ModuleApi) -> Result<Arc<Self>, ApiError> {
        let watch = Arc::new(Self::new(config.rooms, api.clone()));
        let first = Arc::clone(&watch);
        api.spawn(async move { first.look().await })?;
        let every = Arc::clone(&watch);
        api.looping_background_call(config.interval, move || {
            let watch = Arc::clone(&every);
            async move { watch.look().await }
        })?;
        Ok(watch)
    }

    pub(crate) fn sent(&self) -> &BTreeMap<String, Vec<UserId>> {
        &self.sent
    }

    /// The newest that is known.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks up all rooms once. The first look may take longer than the interval: the next one then has nothing to do.
    async fn look(&self) {
        let Some(_looking) = Looking::begin(&self.is_looking) else {
            return;
        };
        let before = self.snapshot();
        let mut rooms = before.rooms().clone();
        for room in self.sent.keys() {
            // Asked one after the other: nobody waits for it, and a thousand questions at once would only hold up others.
            let outcome = match self.api.get_users_in_room(room).await {
                Ok(users) => self.take(room, users, rooms.get(room)),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Some(members)) => {
                    rooms.insert(room.clone(), members);
                }
                Ok(None) => {}
                Err(ApiError::ShutDown) => return,
                Err(error) => {
                    self.note_failure(room, &error);
                    continue;
                }
            }
            if self.memory().failing.remove(room) {
                log::info!("the members of {room} can be looked up again");
            }
        }
        let changed = rooms.iter().any(|(room, members)| {
            let known = before.rooms().get(room);
            known.is_none_or(|known| !Arc::ptr_eq(known, members))
        });
        if changed {
            let snapshot = Arc::new(Snapshot::new(rooms, &self.sent));
            *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        }
        // Only now, as the host asks whom they may see.
        self.announce().await;
    }

    /// The room as it is now; nothing, when it is as it was.
    fn take(
        &self,
        room: &str,
        users: Vec<UserId>,
        known: Option<&Arc<Members>>,
    ) -> Result<Option<Arc<Members>>, ApiError> {
        let users: HashSet<UserId> = users.into_iter().collect();
        if known.is_some_and(|known| known.users == users) {
            return Ok(None);
        }
        let audience = self.api.register_audience(users.iter().cloned())?;
        if known.is_none() && users.is_empty() {
            log::warn!("{room} has no members: is its id right, and is somebody of this server in it?");
        }
        let is_new = |user: &&UserId| known.is_none_or(|known| !known.users.contains(user.as_str()));
        let newcomers: Vec<UserId> = users.iter().filter(is_new).cloned().collect();
        log::debug!(
            "{room} has {} members, {} of them new",
            users.len(),
            newcomers.len()
        );
        self.memory().newcomers.extend(newcomers);
        Ok(Some(Arc::new(Members { users, audience })))
    }

    fn note_failure(&self, room: &str, error: &ApiError) {
        if self.memory().failing.insert(room.to_owned()) {
            log::warn!(
                "the members of {room} cannot be looked up, and stay as they were last known until they can: {error}"
            );
        }
    }

    /// Has newcomers receive what they have missed. Those whom the host does not take are tried again at the next look.
    async fn announce(&self) {
        let newcomers = std::mem::take(&mut self.memory().newcomers);
        if newcomers.is_empty() {
            return;
        }
        let sent = self.api.send_local_online_presence_to(newcomers.iter().cloned());
        let outcome = sent.await;
        let mut memory = self.memory();
        let Err(error) = outcome else {
            memory.announcing_fails = false;
            return;
        };
        if !std::mem::replace(&mut memory.announcing_fails, true) && error != ApiError::ShutDown {
            log::warn!(
                "{} new members do not receive yet who is online, and are tried again: {error}",
                newcomers.len()
            );
        }
        memory.newcomers.extend(newcomers);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, no other look begins. Ends with a look that panics, too.
struct Looking<'a>(&'a AtomicBool);

impl<'a> Looking<'a> {
    fn begin(is_looking: &'a AtomicBool) -> Option<Self> {
        let was_looking = is_looking.swap(true, Ordering::AcqRel);
        (!was_looking).then_some(Self(is_looking))
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

//! Who is in which room: asked of the host, kept for a while, and asked of it together where much is wanted.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use presence_router_api::{ApiError, Audience, ModuleApi, UserId};

use crate::cache::{Bounds, Cache, Found};
use crate::config::{Origin, Rules};
use crate::join::join;

/// The rooms of users: some 40 MB at most.
const USERS: Bounds = Bounds {
    entries: 100_000,
    weight: 1_000_000,
};
/// The members of rooms: some 100 MB at most, and fewer audiences than a host keeps for an instance.
const ROOMS: Bounds = Bounds {
    entries: 20_000,
    weight: 1_000_000,
};
/// A room that is too large is asked for again after so many times as long as others: its list is long, and it will hardly
/// shrink.
const TOO_LARGE_LASTS: u64 = 10;
/// The most introductions that wait for the next batch of updates.
const MAX_INTRODUCTIONS: usize = 10_000;

/// The ids of the rooms of a user that count.
pub(crate) type RoomIds = Arc<[Arc<str>]>;

/// A room whose members see each other.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) members: HashSet<UserId>,
    /// The members who may see this server's users, if there are any.
    see_us: Option<Audience>,
    /// The members who may see other servers' users, if there are any.
    see_others: Option<Audience>,
}

impl Room {
    /// The members who may see users of this origin, if there are any.
    pub(crate) fn audience(&self, origin: Origin) -> Option<&Audience> {
        match origin {
            Origin::Us => self.see_us.as_ref(),
            Origin::Others => self.see_others.as_ref(),
        }
    }
}

/// What a look at a room has found.
#[derive(Debug, Clone)]
enum Looked {
    Counts(Arc<Room>),
    TooLarge,
}

impl Looked {
    fn room(&self) -> Option<&Arc<Room>> {
        match self {
            Self::Counts(room) => Some(room),
            Self::TooLarge => None,
        }
    }
}

/// Somebody has come into a room, whose members have not seen them yet.
#[derive(Debug, Clone)]
pub(crate) struct Introduction {
    pub(crate) user: UserId,
    pub(crate) room: Arc<Room>,
}

/// The rooms, as far as they are known.
#[derive(Debug)]
pub(crate) struct Rooms {
    api: ModuleApi,
    rules: Rules,
    /// In milliseconds.
    ttl: u64,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    users: Cache<RoomIds>,
    rooms: Cache<Looked>,
    introductions: Vec<Introduction>,
}

impl Rooms {
    pub(crate) fn new(api: ModuleApi, rules: Rules, ttl: Duration) -> Self {
        Self {
            api,
            rules,
            ttl: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            known: Mutex::new(Known {
                users: Cache::new(USERS),
                rooms: Cache::new(ROOMS),
                introductions: Vec::new(),
            }),
        }
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The rooms of each user that count. What the host cannot say now is as it was last known.
    ///
    /// # Errors
    /// When the host cannot say it, and it was never known. What could be learned is kept.
    pub(crate) async fn of_users<'a>(
        &self,
        users: impl IntoIterator<Item = &'a str>,
    ) -> Result<HashMap<&'a str, RoomIds>, ApiError> {
        let now = self.api.now();
        let mut answer = HashMap::new();
        let mut missing = HashMap::new();
        {
            let known = self.known();
            for user in users {
                match known.users.get(user, now) {
                    Found::Fresh(rooms) => drop(answer.insert(user, rooms)),
                    Found::Stale(rooms) => drop(missing.insert(user, Some(rooms))),
                    Found::Nothing => drop(missing.insert(user, None)),
                }
            }
        }
        // A loop and not `map`: of a closure, the compiler cannot tell that the future may be sent between threads.
        let mut questions = Vec::with_capacity(missing.len());
        for (user, stale) in missing {
            questions.push(self.learn_user(user, stale));
        }
        for learned in join(questions).await {
            let (user, rooms) = learned?;
            answer.insert(user, rooms);
        }
        Ok(answer)
    }

    /// The rooms with these ids whose members see each other. What the host cannot say now is as it was last known.
    ///
    /// # Errors
    /// As [`of_users`](Self::of_users).
    pub(crate) async fn with_ids(
        &self,
        ids: impl IntoIterator<Item = &Arc<str>>,
    ) -> Result<HashMap<Arc<str>, Arc<Room>>, ApiError> {
        let now = self.api.now();
        let mut answer = HashMap::new();
        let mut missing: HashMap<&Arc<str>, Option<Looked>> = HashMap::new();
        {
            let known = self.known();
            for id in ids {
                if answer.contains_key(id) || missing.contains_key(id) {
                    continue;
                }
                match known.rooms.get(id, now) {
                    Found::Fresh(room) => drop(answer.insert(Arc::clone(id), room)),
                    Found::Stale(room) => drop(missing.insert(id, Some(room))),
                    Found::Nothing => drop(missing.insert(id, None)),
                }
            }
        }
        let mut questions = Vec::with_capacity(missing.len());
        for (id, stale) in missing {
            questions.push(self.learn_room(id, stale));
        }
        for learned in join(questions).await {
            let (id, room) = learned?;
            answer.insert(id, room);
        }
        Ok(answer
            .into_iter()
            .filter_map(|(id, looked)| Some((id, Arc::clone(looked.room()?))))
            .collect())
    }

    /// Takes those whose rooms' members are to be told of them.
    pub(crate) fn take_introductions(&self) -> Vec<Introduction> {
        std::mem::take(&mut self.known().introductions)
    }

    /// Gives back those of whom nobody could be told.
    pub(crate) fn keep_introductions(&self, introductions: Vec<Introduction>) {
        let mut known = self.known();
        known.introductions.extend(introductions);
        known.introductions.truncate(MAX_INTRODUCTIONS);
    }

    async fn learn_user<'a>(
        &self,
        user: &'a str,
        stale: Option<RoomIds>,
    ) -> Result<(&'a str, RoomIds), ApiError> {
        let Ok(id) = UserId::parse(user) else {
            // Such a user was never in a room.
            return Ok((user, RoomIds::from([])));
        };
        match (self.api.get_rooms_for_user(&id).await, stale) {
            (Ok(rooms), _) => Ok((user, self.keep_user(user, rooms))),
            (Err(_), Some(stale)) => Ok((user, stale)),
            (Err(error), None) => Err(error),
        }
    }

    /// `stale` is what was known of the room, if it was asked for before.
    async fn learn_room(&self, id: &Arc<str>, stale: Option<Looked>) -> Result<(Arc<str>, Looked), ApiError> {
        let members = self.api.get_users_in_room(id).await;
        let before = stale.as_ref().and_then(Looked::room);
        let room = members.and_then(|members| self.keep_room(id, members, before));
        match (room, stale) {
            (Ok(room), _) | (Err(_), Some(room)) => Ok((Arc::clone(id), room)),
            (Err(error), None) => Err(error),
        }
    }

    fn keep_user(&self, user: &str, rooms: Vec<String>) -> RoomIds {
        let counting = rooms.into_iter().filter(|room| self.rules.counts(room));
        let rooms: RoomIds = counting.map(Arc::from).collect();
        let now = self.api.now();
        let (weight, until) = (1 + rooms.len(), now.saturating_add(self.ttl));
        self.known()
            .users
            .insert(Arc::from(user), Arc::clone(&rooms), weight, until, now);
        rooms
    }

    /// `before` is what was known of the room.
    fn keep_room(
        &self,
        id: &Arc<str>,
        members: Vec<UserId>,
        before: Option<&Arc<Room>>,
    ) -> Result<Looked, ApiError> {
        let now = self.api.now();
        if self.rules.is_too_large(members.len()) {
            let until = now.saturating_add(self.ttl.saturating_mul(TOO_LARGE_LASTS));
            self.known()
                .rooms
                .insert(Arc::clone(id), Looked::TooLarge, 1, until, now);
            return Ok(Looked::TooLarge);
        }
        let members: HashSet<UserId> = members.into_iter().collect();
        let room = match before.filter(|before| before.members == members) {
            Some(same) => Arc::clone(same),
            None => Arc::new(self.room(members)?),
        };
        let newcomers = match before {
            // Who is in a room that is seen for the first time has not come just now.
            None => Vec::new(),
            Some(before) => self.note_changes(before, &room),
        };
        let (weight, until) = (1 + room.members.len(), now.saturating_add(self.ttl));
        let looked = Looked::Counts(room);
        self.known()
            .rooms
            .insert(Arc::clone(id), looked.clone(), weight, until, now);
        self.welcome(newcomers);
        Ok(looked)
    }

    fn room(&self, members: HashSet<UserId>) -> Result<Room, ApiError> {
        let local: Vec<&UserId> = members
            .iter()
            .filter(|user| self.rules.origin(user.as_str()) == Origin::Us)
            .collect();
        let allowed: Vec<&UserId> = members
            .iter()
            .filter(|user| self.rules.may_receive(user.as_str()))
            .collect();
        let audience = |users: &[&UserId]| match users {
            [] => Ok(None),
            users => self
                .api
                .register_audience(users.iter().copied().cloned())
                .map(Some),
        };
        let see_us = audience(&allowed)?;
        // Whoever is local is allowed: as many of both are the same.
        let see_others = if local.len() == allowed.len() {
            see_us.clone()
        } else {
            audience(&local)?
        };
        Ok(Room {
            members,
            see_us,
            see_others,
        })
    }

    /// Who has come, and may receive presence.
    fn note_changes(&self, before: &Room, room: &Arc<Room>) -> Vec<UserId> {
        let come: Vec<UserId> = room.members.difference(&before.members).cloned().collect();
        let mut known = self.known();
        for user in room.members.symmetric_difference(&before.members) {
            // What is known of the user's own rooms is out of date.
            known.users.remove(user.as_str());
        }
        let free = MAX_INTRODUCTIONS.saturating_sub(known.introductions.len());
        known
            .introductions
            .extend(come.iter().take(free).map(|user| Introduction {
                user: user.clone(),
                room: Arc::clone(room),
            }));
        come.into_iter()
            .filter(|user| self.rules.may_receive(user.as_str()))
            .collect()
    }

    /// Has newcomers receive who is online, in the background: it is not to count against a call's deadline.
    fn welcome(&self, newcomers: Vec<UserId>) {
        if newcomers.is_empty() {
            return;
        }
        let sent = self.api.send_local_online_presence_to(newcomers);
        let spawned = self.api.spawn(async move {
            if let Err(error) = sent.await {
                log::warn!("who has come into a room does not receive yet who is online: {error}");
            }
        });
        if let Err(error) = spawned {
            log::debug!("who has come into a room does not receive yet who is online: {error}");
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

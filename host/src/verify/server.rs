//! A small server for modules under test: it has a few users and rooms, and can be told to fail. All it knows is
//! scripted; nothing in it changes by itself but what a module stores.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use presence_router_api::{PresenceState, PresenceUpdate, UserId, UserPresenceState};

use crate::modules::{Answer, ServiceError, Services};
use crate::verify::people::{NOW_MS, People};

/// How the server takes the next questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// It answers.
    Answer,
    /// It says that it cannot now.
    Unavailable,
    /// It says that it will not.
    Refuse,
    /// It never answers. The host bounds the wait.
    Hang,
}

/// The server. Each instance of a module gets one of its own, so that it is known who asked, and, by whether it is
/// still there, whether anything of an instance is left.
#[derive(Debug)]
pub(super) struct Server {
    people: Arc<People>,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
    stored: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Server {
    pub(super) fn new(people: Arc<People>, mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            people,
            mood: Mutex::new(mood),
            asked: AtomicUsize::new(0),
            stored: Mutex::default(),
        })
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    /// How many questions there were.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn answer<T: Send + 'static>(&self, answer: impl FnOnce() -> T) -> Answer<T> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock();
        let answer = match mood {
            Mood::Answer => Ok(answer()),
            Mood::Unavailable => Err(ServiceError::Unavailable(
                "told to fail; try again later".to_owned(),
            )),
            Mood::Refuse => Err(ServiceError::Refused("told to refuse".to_owned())),
            Mood::Hang => return Box::pin(pending()),
        };
        Box::pin(ready(answer))
    }
}

impl Services for Server {
    fn send_local_online_presence_to(&self, _: Vec<UserId>) -> Answer<()> {
        self.answer(|| ())
    }

    fn set_presence_for_users(&self, _: Vec<PresenceUpdate>) -> Answer<()> {
        self.answer(|| ())
    }

    fn current_state_for_users(&self, users: Vec<UserId>) -> Answer<Vec<UserPresenceState>> {
        self.answer(|| {
            let state = |user: &UserId| {
                let state = UserPresenceState::offline(user.as_str());
                if self.people.users().binary_search(user).is_err() {
                    return state;
                }
                UserPresenceState {
                    state: PresenceState::Online,
                    last_active_ts: NOW_MS,
                    currently_active: true,
                    ..state
                }
            };
            users.iter().map(state).collect()
        })
    }

    fn users_in_room(&self, room_id: String) -> Answer<Vec<UserId>> {
        self.answer(|| {
            let members = self.people.rooms.get(&room_id);
            members.into_iter().flatten().cloned().collect()
        })
    }

    fn rooms_for_user(&self, user_id: UserId) -> Answer<Vec<String>> {
        self.answer(|| {
            let rooms = self.people.rooms.iter();
            let joined = rooms.filter(|(_, members)| members.contains(&user_id));
            joined.map(|(room, _)| room.clone()).collect()
        })
    }

    fn hosts_in_room(&self, room_id: String) -> Answer<Vec<String>> {
        self.answer(|| {
            let members = self.people.rooms.get(&room_id).into_iter().flatten();
            let mut hosts: Vec<_> = members.map(|user| user.server_name().to_owned()).collect();
            hosts.sort_unstable();
            hosts.dedup();
            hosts
        })
    }

    fn get(&self, _: Arc<str>, key: String) -> Answer<Option<Vec<u8>>> {
        self.answer(|| self.stored.lock().get(&key).cloned())
    }

    fn put(&self, _: Arc<str>, key: String, value: Vec<u8>) -> Answer<()> {
        self.answer(|| {
            self.stored.lock().insert(key, value);
        })
    }

    fn delete(&self, _: Arc<str>, key: String) -> Answer<bool> {
        self.answer(|| self.stored.lock().remove(&key).is_some())
    }

    fn scan(
        &self,
        _: Arc<str>,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<(String, Vec<u8>)>> {
        self.answer(|| {
            let stored = self.stored.lock();
            let found = stored.iter().filter(|(key, _)| {
                key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after)
            });
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            found
                .take(limit)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        })
    }
}

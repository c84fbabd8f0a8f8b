//! Services that a test drives: they note what they are asked, and answer, fail, hang or panic.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;

use parking_lot::Mutex;
use presence_router_api::{PresenceState, UserPresenceState};
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::modules::services::{Answer, ServiceError};

/// How the services take the next questions.
#[derive(Debug, Clone, Default)]
pub(super) enum Mood {
    /// They answer.
    #[default]
    Answer,
    /// They answer so.
    Fail(ServiceError),
    /// They wait until they are released, then answer.
    Hang,
    /// They panic.
    Panic,
}

/// By module and key.
type Stored = BTreeMap<(Arc<str>, String), Vec<u8>>;

#[derive(Debug)]
pub(super) struct FakeServices {
    mood: Mutex<Mood>,
    asked: watch::Sender<Vec<String>>,
    answered: watch::Sender<usize>,
    released: Arc<Semaphore>,
    stored: Arc<Mutex<Stored>>,
}

impl Default for FakeServices {
    fn default() -> Self {
        Self {
            mood: Mutex::default(),
            asked: watch::Sender::default(),
            answered: watch::Sender::default(),
            released: Arc::new(Semaphore::new(0)),
            stored: Arc::default(),
        }
    }
}

impl FakeServices {
    pub(super) fn set_mood(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    /// Those that hang answer, and all that come.
    pub(super) fn release(&self) {
        self.set_mood(Mood::Answer);
        self.released.close();
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    pub(super) async fn asked_until(&self, times: usize) {
        let mut asked = self.asked.subscribe();
        asked
            .wait_for(|asked| asked.len() >= times)
            .await
            .expect("is here");
    }

    pub(super) async fn answered_until(&self, times: usize) {
        let mut answered = self.answered.subscribe();
        answered
            .wait_for(|answered| *answered >= times)
            .await
            .expect("is here");
    }

    fn answer<T: Send + 'static>(
        &self,
        asked: &dyn Debug,
        answer: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        let mood = self.mood.lock().clone();
        let (released, answered) = (Arc::clone(&self.released), self.answered.clone());
        self.asked.send_modify(|all| all.push(format!("{asked:?}")));
        Box::pin(async move {
            match mood {
                Mood::Answer => {}
                Mood::Fail(error) => return Err(error),
                // Closed, it lets all pass.
                Mood::Hang => drop(released.acquire().await),
                Mood::Panic => panic!("told to panic"),
            }
            let answer = answer();
            answered.send_modify(|answered| *answered += 1);
            Ok(answer)
        })
    }
}

impl Services for FakeServices {
    fn send_local_online_presence_to(&self, users: Vec<UserId>) -> Answer<()> {
        self.answer(&("send", users), || ())
    }

    fn set_presence_for_users(&self, updates: Vec<PresenceUpdate>) -> Answer<()> {
        let short =
            |update: &PresenceUpdate| (update.user_id.clone(), update.state, update.status_msg.clone());
        self.answer(&("set", updates.iter().map(short).collect::<Vec<_>>()), || ())
    }

    fn current_state_for_users(&self, users: Vec<UserId>) -> Answer<Vec<UserPresenceState>> {
        self.answer(&("states", users.clone()), move || {
            let online = |user: &UserId| UserPresenceState {
                state: PresenceState::Online,
                ..UserPresenceState::offline(user.as_str())
            };
            users.iter().map(online).collect()
        })
    }

    fn users_in_room(&self, room_id: String) -> Answer<Vec<UserId>> {
        self.answer(&("users", room_id), || vec![user("alice"), user("bob")])
    }

    fn rooms_for_user(&self, user_id: UserId) -> Answer<Vec<String>> {
        self.answer(&("rooms", user_id), || vec!["!a:x".to_owned()])
    }

    fn hosts_in_room(&self, room_id: String) -> Answer<Vec<String>> {
        self.answer(&("hosts", room_id), || vec!["example.org".to_owned()])
    }

    fn get(&self, module: Arc<str>, key: String) -> Answer<Option<Vec<u8>>> {
        let stored = Arc::clone(&self.stored);
        self.answer(&("get", module.clone(), key.clone()), move || {
            stored.lock().get(&(module, key)).cloned()
        })
    }

    fn put(&self, module: Arc<str>, key: String, value: Vec<u8>) -> Answer<()> {
        let stored = Arc::clone(&self.stored);
        self.answer(&("put", module.clone(), key.clone()), move || {
            stored.lock().insert((module, key), value);
        })
    }

    fn delete(&self, module: Arc<str>, key: String) -> Answer<bool> {
        let stored = Arc::clone(&self.stored);
        self.answer(&("delete", module.clone(), key.clone()), move || {
            stored.lock().remove(&(module, key)).is_some()
        })
    }

    fn scan(
        &self,
        module: Arc<str>,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<(String, Vec<u8>)>> {
        let stored = Arc::clone(&self.stored);
        let asked = ("scan", module.clone(), prefix.clone(), after.clone(), limit);
        self.answer(&asked, move || {
            let from = match after {
                Some(after) => Bound::Excluded((Arc::clone(&module), after)),
                None => Bound::Included((Arc::clone(&module), prefix.clone())),
            };
            let stored = stored.lock();
            let pairs = stored.range((from, Bound::Unbounded));
            pairs
                .take_while(|((owner, key), _)| *owner == module && key.starts_with(&prefix))
                .take(limit as usize)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect()
        })
    }
}

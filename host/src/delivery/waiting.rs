//! Long-polls that wait for news, by user.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::presence::{ByUser, UserKey};

/// The users who wait.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<ByUser<Entry>>);

#[derive(Debug)]
struct Entry {
    news: Arc<Notify>,
    waiters: usize,
}

impl Waiting {
    /// Registers a wait for news of one user. Register first, look for news second: then none is missed.
    pub fn register(self: &Arc<Self>, user: UserKey) -> Waiter {
        let mut waiting = self.0.lock();
        let entry = waiting.entry(user).or_insert_with(|| Entry {
            news: Arc::default(),
            waiters: 0,
        });
        entry.waiters += 1;
        Waiter {
            waiting: Arc::clone(self),
            user,
            news: Arc::clone(&entry.news),
        }
    }

    /// How many users wait.
    pub fn user_count(&self) -> usize {
        self.0.lock().len()
    }

    /// How many waits there are; a user may have several.
    pub fn waiter_count(&self) -> usize {
        self.0.lock().values().map(|entry| entry.waiters).sum()
    }

    /// Wakes those of the users who wait. Takes the shorter way: over the users, or over those who wait.
    pub fn wake_members(&self, users: &[UserKey]) {
        let waiting = self.0.lock();
        if waiting.len() < users.len() {
            for (user, entry) in &*waiting {
                if users.binary_search(user).is_ok() {
                    entry.news.notify_waiters();
                }
            }
        } else {
            for user in users {
                if let Some(entry) = waiting.get(user) {
                    entry.news.notify_waiters();
                }
            }
        }
    }

    /// Wakes everybody.
    pub fn wake_all(&self) {
        for entry in self.0.lock().values() {
            entry.news.notify_waiters();
        }
    }
}

/// A registered wait; ends when dropped.
#[derive(Debug)]
pub struct Waiter {
    waiting: Arc<Waiting>,
    user: UserKey,
    news: Arc<Notify>,
}

impl Waiter {
    /// What is woken. Enable a `notified()` of it before looking for news.
    pub fn news(&self) -> &Notify {
        &self.news
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.waiting.0.lock();
        if let Some(entry) = waiting.get_mut(&self.user) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                waiting.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_users_named_are_woken() {
        let waiting = Arc::new(Waiting::default());
        let (one, two) = (waiting.register(UserKey(1)), waiting.register(UserKey(2)));
        let (mut first, mut second) = (Box::pin(one.news().notified()), Box::pin(two.news().notified()));
        first.as_mut().enable();
        second.as_mut().enable();
        waiting.wake_members(&[UserKey(1), UserKey(3), UserKey(4)]);
        assert!(timeout(Duration::from_secs(1), first).await.is_ok());
        assert!(timeout(Duration::from_secs(1), second).await.is_err());
    }

    #[test]
    fn an_entry_goes_with_its_last_waiter() {
        let waiting = Arc::new(Waiting::default());
        let (one, two) = (waiting.register(UserKey(1)), waiting.register(UserKey(1)));
        assert_eq!(waiting.waiter_count(), 2);
        drop(one);
        assert_eq!((waiting.user_count(), waiting.waiter_count()), (1, 1));
        drop(two);
        assert_eq!(waiting.user_count(), 0);
    }
}

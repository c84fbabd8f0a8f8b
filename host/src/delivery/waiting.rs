//! Long-polls that wait for news, by user.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::presence::{ByUser, UserKey};

/// The users who wait.
#[derive(Debug, Default)]
pub struct Waiting {
    users: Mutex<ByUser<Entry>>,
    /// How often users were woken so far.
    wakings: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    news: Arc<Notify>,
    waiters: usize,
    /// Which waking was the last that woke them.
    waking: u64,
}

impl Entry {
    /// Wakes those who wait, once each waking.
    fn wake(&mut self, waking: u64) {
        if self.waking != waking {
            self.waking = waking;
            self.news.notify_waiters();
        }
    }
}

impl Waiting {
    /// Registers a wait for news of one user. Register first, look for news second: then none is missed.
    pub fn register(self: &Arc<Self>, user: UserKey) -> Waiter {
        let mut waiting = self.users.lock();
        let entry = waiting.entry(user).or_insert_with(|| Entry {
            news: Arc::default(),
            waiters: 0,
            waking: 0,
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
        self.users.lock().len()
    }

    /// How many waits there are; a user may have several.
    pub fn waiter_count(&self) -> usize {
        self.users.lock().values().map(|entry| entry.waiters).sum()
    }

    /// Wakes those of the users, who are sorted, who wait.
    pub fn wake_members(&self, users: &[UserKey]) {
        self.wake_groups(std::iter::once(users));
    }

    /// Wakes those who wait and are in one of these groups at least, each of which is sorted. Takes the shorter way with each:
    /// over its users, or over those who wait.
    pub fn wake_groups<'a>(&self, groups: impl Iterator<Item = &'a [UserKey]>) {
        let waking = self.wakings.fetch_add(1, Ordering::Relaxed) + 1;
        for users in groups {
            // Let go of after each: who comes to wait meanwhile does not wait for all groups.
            let mut waiting = self.users.lock();
            if waiting.len() < users.len() {
                for (user, entry) in &mut *waiting {
                    if users.binary_search(user).is_ok() {
                        entry.wake(waking);
                    }
                }
            } else {
                for user in users {
                    if let Some(entry) = waiting.get_mut(user) {
                        entry.wake(waking);
                    }
                }
            }
        }
    }

    /// Wakes everybody.
    pub fn wake_all(&self) {
        for entry in self.users.lock().values() {
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
        let mut waiting = self.waiting.users.lock();
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

    #[tokio::test(start_paused = true)]
    async fn who_is_in_any_of_several_groups_is_woken_and_nobody_else() {
        let waiting = Arc::new(Waiting::default());
        for round in 0..3 {
            let waiters: Vec<_> = (0..8).map(|user| waiting.register(UserKey(user))).collect();
            let mut waits: Vec<_> = waiters
                .iter()
                .map(|waiter| Box::pin(waiter.news().notified()))
                .collect();
            for wait in &mut waits {
                wait.as_mut().enable();
            }
            // One of more users than wait, and some of fewer.
            let many: Vec<_> = (6..40).map(UserKey).collect();
            let groups = [&[UserKey(1), UserKey(2)][..], &[UserKey(2)], &[], &many];
            waiting.wake_groups(groups.into_iter());
            for (user, wait) in waits.into_iter().enumerate() {
                let woken = timeout(Duration::from_secs(1), wait).await.is_ok();
                assert_eq!(woken, [1, 2, 6, 7].contains(&user), "{user} in round {round}");
            }
        }
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

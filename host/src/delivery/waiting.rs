//! Long-polls that wait for news, by user. Knows not what the news are.
//!
//! A wait costs two locks and a waking of its task, and no timer of its own: one task [rings](Waiting::ring) for all whose time
//! is over.

mod seats;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::delivery::waiting::seats::{Place, Seats};
use crate::directory::Watcher;
use crate::presence::UserKey;

/// The users who wait.
#[derive(Debug, Default)]
pub struct Waiting {
    seats: Mutex<Seats>,
    /// How often somebody was to be woken so far.
    wakings: AtomicU64,
    /// Somebody waits less long than all before them.
    earlier: Notify,
}

/// How often somebody was to be woken until a moment.
#[derive(Debug, Clone, Copy)]
pub struct Heard(u64);

/// Why a wait has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// There may be news.
    News,
    /// Its time is over.
    Late,
    /// Nobody waits here any more.
    Closed,
}

impl Waiting {
    /// What has been told so far. To be asked before one looks for news: when there are more by the time that one waits, the
    /// wait ends at once.
    pub fn heard(&self) -> Heard {
        // What was changed before a waking is seen by who has heard of that.
        Heard(self.wakings.load(Ordering::Acquire))
    }

    /// Waits until a user is woken, or nobody may wait any more, or a moment has come.
    pub fn wait(&self, user: UserKey, heard: Heard, until: Option<Instant>) -> Wait<'_> {
        Wait {
            waiting: self,
            user,
            heard,
            until,
            place: None,
        }
    }

    /// How many users wait.
    #[cfg(test)]
    pub fn user_count(&self) -> usize {
        self.seats.lock().user_count()
    }

    /// How many waits there are; a user may have several.
    pub fn waiter_count(&self) -> usize {
        self.seats.lock().len()
    }

    /// Wakes those of the users, who are sorted, who wait.
    pub fn wake_members(&self, users: &[UserKey]) {
        self.wake_groups(std::iter::once(users));
    }

    /// Wakes those who wait and are in one of these groups at least, each of which is sorted. Takes the shorter way with each:
    /// over its users, or over those who wait.
    pub fn wake_groups<'a>(&self, groups: impl Iterator<Item = &'a [UserKey]>) {
        self.wakings.fetch_add(1, Ordering::Release);
        let mut woken = Vec::new();
        for users in groups {
            // Let go of after each: who comes to wait meanwhile does not wait for all groups.
            self.seats.lock().wake(users, &mut woken);
            // Not under the lock: a task that nobody else holds ends when it is woken, and leaves its place.
            woken.drain(..).for_each(std::task::Waker::wake);
        }
    }

    /// Wakes everybody.
    pub fn wake_all(&self) {
        self.wakings.fetch_add(1, Ordering::Release);
        let woken = self.seats.lock().wake_all(Woken::News);
        woken.into_iter().for_each(std::task::Waker::wake);
    }

    /// Ends all waits, and those that begin later at once.
    pub fn close(&self) {
        let mut seats = self.seats.lock();
        seats.close();
        let woken = seats.wake_all(Woken::Closed);
        drop(seats);
        woken.into_iter().for_each(std::task::Waker::wake);
    }

    /// Wakes those whose time is over, as long as it is polled.
    pub async fn ring(&self) {
        loop {
            let (woken, next) = self.seats.lock().ring(Instant::now());
            woken.into_iter().for_each(std::task::Waker::wake);
            match next {
                None => self.earlier.notified().await,
                Some(next) => tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.earlier.notified() => {}
                },
            }
        }
    }
}

impl Watcher for Waiting {
    /// Who waits in the name of a token that is good no more is to look.
    fn revoked(&self, user: UserKey) {
        self.wake_members(&[user]);
    }
}

/// Waits; see [`Waiting::wait`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct Wait<'a> {
    waiting: &'a Waiting,
    user: UserKey,
    heard: Heard,
    until: Option<Instant>,
    place: Option<Place>,
}

impl Future for Wait<'_> {
    type Output = Woken;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Woken> {
        let mut seats = self.waiting.seats.lock();
        if let Some(place) = self.place {
            let polled = seats.poll(place, context.waker());
            drop(seats);
            if polled.is_ready() {
                self.place = None;
            }
            return polled;
        }
        if seats.is_closed() {
            return Poll::Ready(Woken::Closed);
        }
        // Under the lock, which who wakes takes after having counted it.
        if self.waiting.wakings.load(Ordering::Relaxed) != self.heard.0 {
            return Poll::Ready(Woken::News);
        }
        let (place, is_earliest) = seats.take(self.user, self.until, context.waker().clone());
        drop(seats);
        if is_earliest {
            self.waiting.earlier.notify_one();
        }
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.waiting.seats.lock().leave(place);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn users(users: impl Iterator<Item = u32>) -> Vec<UserKey> {
        users.map(UserKey).collect()
    }

    fn ring(waiting: &Arc<Waiting>) -> JoinHandle<()> {
        let waiting = Arc::clone(waiting);
        tokio::spawn(async move { waiting.ring().await })
    }

    fn wait(waiting: &Waiting, user: u32, until: Option<Instant>) -> Wait<'_> {
        let mut wait = waiting.wait(UserKey(user), waiting.heard(), until);
        assert_eq!((&mut wait).now_or_never(), None);
        wait
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_users_named_are_woken() {
        let waiting = Waiting::default();
        let (first, second) = (wait(&waiting, 1, None), wait(&waiting, 2, None));
        waiting.wake_members(&users([1, 3, 4].into_iter()));
        assert_eq!(timeout(SECOND, first).await, Ok(Woken::News));
        assert!(timeout(SECOND, second).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_any_of_several_groups_is_woken_and_nobody_else() {
        let waiting = Waiting::default();
        for round in 0..3 {
            let waits: Vec<_> = (0..8).map(|user| wait(&waiting, user, None)).collect();
            // One of more users than wait, and some of fewer.
            let groups = [users(1..3), users(2..3), users(0..0), users(6..40)];
            waiting.wake_groups(groups.iter().map(Vec::as_slice));
            for (user, wait) in waits.into_iter().enumerate() {
                let woken = timeout(SECOND, wait).await.is_ok();
                assert_eq!(woken, [1, 2, 6, 7].contains(&user), "{user} in round {round}");
            }
        }
    }

    #[test]
    fn what_was_told_since_one_has_looked_ends_the_wait_before_it_begins() {
        let waiting = Waiting::default();
        let heard = waiting.heard();
        waiting.wake_members(&users(7..8));
        // Of anybody: who would have been woken is not known of one who was not there.
        let wait = waiting.wait(UserKey(1), heard, None);
        assert_eq!(wait.now_or_never(), Some(Woken::News));
        assert_eq!(waiting.waiter_count(), 0);
    }

    #[test]
    fn each_wait_of_a_user_is_counted_until_it_ends() {
        let waiting = Waiting::default();
        let mut waits: Vec<_> = (0..4).map(|_| wait(&waiting, 1, None)).collect();
        // One between others, the first, and the last.
        for (index, left) in [(1, 3), (0, 2), (1, 1), (0, 0)] {
            assert_eq!((waiting.user_count(), waiting.waiter_count()), (1, left + 1));
            drop(waits.remove(index));
            assert_eq!(waiting.waiter_count(), left);
        }
        assert_eq!(waiting.user_count(), 0);
        let (one, two) = (wait(&waiting, 1, None), wait(&waiting, 1, None));
        waiting.wake_all();
        assert_eq!(waiting.waiter_count(), 0);
        assert_eq!(one.now_or_never(), Some(Woken::News));
        drop(two);
        assert_eq!(waiting.waiter_count(), 0);
    }

    #[test]
    fn who_waits_when_it_is_closed_is_told_and_nobody_waits_later() {
        let waiting = Waiting::default();
        let wait = wait(&waiting, 1, None);
        waiting.close();
        assert_eq!(wait.now_or_never(), Some(Woken::Closed));
        let later = waiting.wait(UserKey(1), waiting.heard(), None);
        assert_eq!(later.now_or_never(), Some(Woken::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_told_when_their_time_is_over_whoever_waits_beside_them() {
        let waiting = Arc::new(Waiting::default());
        let ringing = ring(&waiting);
        let began = Instant::now();
        // Of one user and of others, longer and shorter than those before.
        let waits = [(1, 30), (1, 10), (2, 20), (1, 40), (2, 5), (3, 30)];
        let waits = waits.map(|(user, seconds)| {
            let until = began + seconds * SECOND;
            let wait = wait(&waiting, user, Some(until));
            async move {
                assert_eq!(wait.await, Woken::Late);
                assert_eq!(Instant::now(), until);
            }
        });
        futures_util::future::join_all(waits).await;
        assert_eq!(waiting.waiter_count(), 0);
        ringing.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_again_and_again_is_told_when_the_last_time_is_over() {
        let waiting = Arc::new(Waiting::default());
        let ringing = ring(&waiting);
        for _ in 0..100 {
            let wait = wait(&waiting, 1, Some(Instant::now() + 30 * SECOND));
            tokio::time::sleep(SECOND).await;
            waiting.wake_members(&users(1..2));
            assert_eq!(wait.await, Woken::News);
        }
        let until = Instant::now() + 30 * SECOND;
        assert_eq!(wait(&waiting, 1, Some(until)).await, Woken::Late);
        assert_eq!(Instant::now(), until);
        ringing.abort();
    }
}

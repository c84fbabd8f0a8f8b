//! Changes on their way to the writer. Bounded: beyond, who sends waits.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, TryAcquireError};

use crate::engine::writer::Command;

#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    places: Semaphore,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    commands: VecDeque<Command>,
    /// Nothing is taken any more. Beside the commands: what is put in is in before it is closed, or not at all.
    is_closed: bool,
}

/// Nothing is taken any more.
#[derive(Debug)]
pub(super) struct Closed;

/// Why something was not put in at once.
#[derive(Debug)]
pub(super) enum NotSent {
    /// There is no place now. What was to be sent.
    Full(Command),
    Closed,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            places: Semaphore::new(capacity),
            news: Notify::new(),
        }
    }

    /// Waits for a place.
    pub(super) async fn send(&self, command: Command) -> Result<(), Closed> {
        let place = self.places.acquire().await.map_err(|_| Closed)?;
        place.forget();
        self.put(command)
    }

    /// Does not wait.
    pub(super) fn try_send(&self, command: Command) -> Result<(), NotSent> {
        match self.places.try_acquire() {
            Ok(place) => place.forget(),
            Err(TryAcquireError::NoPermits) => return Err(NotSent::Full(command)),
            Err(TryAcquireError::Closed) => return Err(NotSent::Closed),
        }
        self.put(command).map_err(|Closed| NotSent::Closed)
    }

    fn put(&self, command: Command) -> Result<(), Closed> {
        {
            let mut waiting = self.waiting.lock();
            if waiting.is_closed {
                return Err(Closed);
            }
            waiting.commands.push_back(command);
        }
        self.news.notify_one();
        Ok(())
    }

    /// Waits until something was put in since this was last waited for.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Moves the oldest commands, at most `limit`, into an empty batch.
    pub(super) fn take(&self, batch: &mut Vec<Command>, limit: usize) {
        let mut waiting = self.waiting.lock();
        let taken = limit.min(waiting.commands.len());
        batch.extend(waiting.commands.drain(..taken));
        drop(waiting);
        self.places.add_permits(taken);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().commands.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes nothing any more. What waits for a place hears of it.
    pub(super) fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.places.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_a_place_when_it_is_closed_does_not_put_anything_in() {
        let queue = Queue::new(1);
        let place = queue.places.acquire().await.expect("is open");
        place.forget();
        queue.close();
        assert!(queue.put(Command::Directory(Vec::new())).is_err());
        assert!(queue.is_empty());
    }
}

//! What outlives a restart: presence, positions, what modules have routed, filters, what modules keep, and what waits for
//! other homeservers.
//! Knows users and their presence, and nothing of who asks: not the engine, not HTTP, not the modules.
//!
//! One SQLite database, written by one thread. [`Storage`] is a handle to it. What is written is handed over and gathered:
//! all that has come while a transaction was written goes into the next one. Another waits for the disk, but for little.
//!
//! A write that is answered survives the death of the process at any moment. The decision page `storage.md` says what
//! it does not survive.

#![forbid(unsafe_code)]

mod checkpoint;
mod database;
mod error;
mod filters;
mod module_data;
mod open;
mod outgoing;
mod pending;
mod records;
mod request;
mod rows;
mod schema;
mod sum;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::thread;

use presence_router_api::UserId;
use tokio::sync::{Semaphore, oneshot};

use crate::metrics::{OnScrape, StorageMetrics, on_scrape};

pub use self::error::{Bounded, OpenError, WriteError};
pub use self::filters::MAX_FILTERS;
pub use self::module_data::{MAX_KEY_BYTES, MAX_MODULE_BYTES, MAX_SCAN, MAX_VALUE_BYTES};
pub use self::open::Location;
pub use self::records::{
    Restored, StoredDestination, StoredModule, StoredOutgoing, StoredPresence, StoredRoom, StoredRoute,
    Writes,
};
use self::request::{Failure, Request, Tables};
use self::worker::{Done, Purpose, Queue, Worker};

/// How many requests may wait for the database. More of them wait for their turn to wait.
const MAX_REQUESTS: u32 = 1024;
/// What a request carries counts as so many more requests, so that all of them carry 64 MiB at most.
const BYTES_A_REQUEST: usize = 64 * 1024;

/// A handle to the database. Clones share it.
///
/// The database is closed by [`close`](Self::close), or in the background after the last handle is dropped; either way,
/// what was handed over is written first.
#[derive(Clone)]
pub struct Storage {
    handle: Arc<Handle>,
}

struct Handle {
    queue: Arc<Queue>,
    permits: Arc<Semaphore>,
    _on_scrape: OnScrape,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close(None);
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("waiting", &self.len_waiting())
            .finish_non_exhaustive()
    }
}

impl Storage {
    /// Opens the database, makes it when it is not there, and reads what was stored. Blocks for as long as that takes.
    ///
    /// What is in use, damaged, another program's, or of a newer version is refused, and not changed.
    pub fn open(location: &Location) -> Result<(Self, Restored), OpenError> {
        let (database, restored) = open::open(location)?;
        let queue = Arc::new(Queue::new());
        let waiting = {
            let (metrics, queue) = (StorageMetrics::new(), Arc::downgrade(&queue));
            move || metrics.waiting(queue.upgrade().map_or(0, |queue| queue.len()))
        };
        let worker = Worker::new(Arc::clone(&queue));
        thread::Builder::new()
            .name("storage".to_owned())
            .spawn(move || worker.run(database))
            .map_err(|source| OpenError::Thread { source })?;
        let handle = Handle {
            queue,
            permits: Arc::new(Semaphore::new(MAX_REQUESTS as usize)),
            _on_scrape: on_scrape(waiting),
        };
        let storage = Self {
            handle: Arc::new(handle),
        };
        Ok((storage, restored))
    }

    /// Hands over what has changed, and never waits. What is newer takes the place of what is not written yet, so what
    /// waits is bounded by the number of users, rooms, modules, homeservers, and pairs of a module or a homeserver with a
    /// user.
    ///
    /// Each `done` hears once when all that was handed over so far is on disk, or that it is not: then it is kept, and tried
    /// again with the next write, and each second. Two things it does not wait for: what modules have routed, which is
    /// written 50 ms later at the latest, and rooms, when there are more than some thousands.
    pub fn write(&self, writes: Writes, done: Vec<oneshot::Sender<Result<(), WriteError>>>) {
        self.handle.queue.write(writes, done);
    }

    /// How many rows were handed over and are not on disk yet.
    pub fn len_waiting(&self) -> usize {
        self.handle.queue.len()
    }

    /// Waits until all that was handed over so far is on disk, or could not be written.
    pub async fn flush(&self) -> Result<(), WriteError> {
        self.done(|done| self.handle.queue.flush(done)).await
    }

    /// Writes what waits, brings the log into the database, and unlocks it. Calls that come later, and those of other
    /// handles, are answered by [`WriteError::Closed`].
    ///
    /// An error says that what was handed over is not stored whole, and will not be.
    pub async fn close(&self) -> Result<(), WriteError> {
        self.handle.permits.close();
        self.done(|done| self.handle.queue.close(Some(done))).await
    }

    /// Stores a filter of a user, whose text is to be of bounded length, and gives its number. Numbers count from 0 for
    /// each user; the same text has the same number. Answered when it is on disk.
    ///
    /// At most [`MAX_FILTERS`] a user: else [`WriteError::TooMany`].
    pub async fn put_filter(&self, user: &UserId, json: String) -> Result<u64, WriteError> {
        let user = user.clone();
        self.ask(Purpose::Change, json.len(), move |tables| {
            filters::put(tables, &user, &json)
        })
        .await
    }

    /// The text of a filter of a user.
    pub async fn filter(&self, user: &UserId, id: u64) -> Result<Option<String>, WriteError> {
        let user = user.clone();
        self.ask(Purpose::Read, 0, move |tables| filters::get(tables, &user, id))
            .await
    }

    /// What the instance `module` of a module keeps under `key`.
    pub async fn get(&self, module: Arc<str>, key: String) -> Result<Option<Vec<u8>>, WriteError> {
        module_data::check_key(&key)?;
        self.ask(Purpose::Read, key.len(), move |tables| {
            module_data::get(tables, &module, &key)
        })
        .await
    }

    /// Keeps `value` under `key` for the instance `module` of a module. Answered when it is on disk. A call whose
    /// future is dropped may still have its effect.
    ///
    /// Keys, values and the whole of a module's data are bounded by [`MAX_KEY_BYTES`], [`MAX_VALUE_BYTES`] and
    /// [`MAX_MODULE_BYTES`]: else [`WriteError::TooLarge`].
    pub async fn put(&self, module: Arc<str>, key: String, value: Vec<u8>) -> Result<(), WriteError> {
        module_data::check_key(&key)?;
        module_data::check_value(&value)?;
        self.ask(Purpose::Change, key.len() + value.len(), move |tables| {
            module_data::put(tables, &module, &key, &value)
        })
        .await
    }

    /// Forgets `key` of the instance `module` of a module, and says whether it was there. Answered when it is on disk.
    pub async fn delete(&self, module: Arc<str>, key: String) -> Result<bool, WriteError> {
        module_data::check_key(&key)?;
        self.ask(Purpose::Change, key.len(), move |tables| {
            module_data::delete(tables, &module, &key)
        })
        .await
    }

    /// What the instance `module` of a module keeps under keys that begin with `prefix`, in the order of the keys'
    /// bytes, strictly after `after`, at most `limit` entries, which is at most [`MAX_SCAN`].
    pub async fn scan(
        &self,
        module: Arc<str>,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, WriteError> {
        module_data::check_limit(limit)?;
        let carried = prefix.len() + after.as_ref().map_or(0, String::len);
        self.ask(Purpose::Read, carried, move |tables| {
            module_data::scan(tables, &module, &prefix, after.as_deref(), limit)
        })
        .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        purpose: Purpose,
        carried: usize,
        work: impl FnMut(&mut Tables<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, WriteError> {
        let weight = u32::try_from(1 + carried / BYTES_A_REQUEST).unwrap_or(MAX_REQUESTS);
        let permits = Arc::clone(&self.handle.permits);
        let permit = permits
            .acquire_many_owned(weight.min(MAX_REQUESTS))
            .await
            .map_err(|_closed| WriteError::Closed)?;
        let (request, answered) = Request::new(work, permit);
        self.handle.queue.ask(request, purpose);
        answered.await.unwrap_or(Err(WriteError::Closed))
    }

    async fn done(&self, hand_over: impl FnOnce(Done)) -> Result<(), WriteError> {
        let (done, heard) = oneshot::channel();
        hand_over(done);
        heard.await.unwrap_or(Err(WriteError::Closed))
    }
}

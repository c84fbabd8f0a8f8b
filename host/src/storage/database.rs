//! The connection, and transactions on it. Knows what is in a transaction, not when there is one.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use crate::metrics::StorageMetrics;

use super::checkpoint::{Checkpoints, checkpoint};
use super::error::WriteError;
use super::outgoing;
use super::pending::{Outgoing, Pending};
use super::request::{Request, Tables};
use super::rows::put_all;

/// A transaction that takes longer is reported.
const SLOW: Duration = Duration::from_secs(1);

/// Says to other servers that the database is open, until it is dropped.
pub(super) struct Lock(pub(super) File);

impl Drop for Lock {
    /// Closing the file is not enough: a process that was forked a moment ago has it open too, until it runs its own program.
    fn drop(&mut self) {
        // What fails to be unlocked is unlocked with the process.
        let _ = self.0.unlock();
    }
}

/// Closed before it is unlocked: fields drop in this order.
pub(super) struct Database {
    /// None for one in memory, which has no log.
    checkpoints: Option<Checkpoints>,
    connection: Connection,
    /// Bytes of keys and values by module; of those that are missing, to be counted.
    sizes: HashMap<Arc<str>, u64>,
    name: Arc<str>,
    metrics: StorageMetrics,
    _lock: Option<Lock>,
}

impl Database {
    pub(super) fn new(
        path: &Path,
        connection: Connection,
        sizes: HashMap<Arc<str>, u64>,
        checkpoints: Option<Checkpoints>,
        lock: Option<Lock>,
    ) -> Self {
        Self {
            checkpoints,
            connection,
            sizes,
            name: path.display().to_string().into(),
            metrics: StorageMetrics::new(),
            _lock: lock,
        }
    }

    /// Writes all in one transaction: all of it is stored, or nothing.
    pub(super) fn write(&mut self, pending: &Pending, requests: &mut [Request]) -> Result<(), WriteError> {
        if pending.is_empty() && requests.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let written = self.transact(pending, requests).map_err(|source| {
            // What they count was taken back.
            self.sizes.clear();
            failed(&self.name, source)
        });
        let took = began.elapsed();
        match &written {
            Ok(()) => self.metrics.committed(pending.len() + requests.len(), took),
            Err(_) => self.metrics.failed(took),
        }
        self.warn_if_slow(took, pending.len(), requests.len());
        written
    }

    fn transact(&mut self, pending: &Pending, requests: &mut [Request]) -> rusqlite::Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        put_pending(&transaction, pending)?;
        let mut tables = Tables {
            connection: &transaction,
            sizes: &mut self.sizes,
        };
        for request in requests {
            request.run(&mut tables)?;
        }
        transaction.commit()
    }

    /// Reads what was stored, and answers.
    pub(super) fn read(&mut self, mut request: Request) {
        let mut tables = Tables {
            connection: &self.connection,
            sizes: &mut self.sizes,
        };
        let read = request.run(&mut tables);
        request.answer(read.map_err(|source| failed(&self.name, source)));
    }

    /// Has what was written brought safe from a power cut. Does not wait for it, as long as there is a thread that does.
    pub(super) fn sync(&self) {
        if self
            .checkpoints
            .as_ref()
            .is_some_and(|checkpoints| !checkpoints.begin())
        {
            self.checkpoint();
        }
    }

    /// Brings the rest of a long log, of which most was brought, so that the next transaction begins it anew.
    pub(super) fn shorten_log(&self) {
        if self.checkpoints.as_ref().is_some_and(Checkpoints::is_log_long) {
            self.checkpoint();
        }
    }

    /// What cannot be brought now is later.
    fn checkpoint(&self) {
        let began = Instant::now();
        checkpoint(&self.connection, &self.name);
        self.warn_if_slow(began.elapsed(), 0, 0);
    }

    fn warn_if_slow(&self, took: Duration, rows: usize, requests: usize) {
        if took > SLOW {
            tracing::warn!(
                database = &*self.name,
                rows,
                requests,
                took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "writing the database took long: see to its disk"
            );
        }
    }

    /// Brings all that is in the log into the database, and waits for the disk.
    pub(super) fn close(mut self) {
        self.checkpoints = None;
        let moved = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let closed = self.connection.close().map_err(|(_, error)| error);
        // What could not be moved is in the log, where the next start finds it.
        if let Err(error) = moved.and(closed) {
            tracing::warn!(
                database = &*self.name,
                %error,
                "could not tidy up the database; nothing is lost, keep the files beside it"
            );
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

fn put_pending(connection: &Connection, pending: &Pending) -> rusqlite::Result<()> {
    put_all(connection, pending.modules.values())?;
    put_all(connection, pending.presence.values())?;
    for routes in pending.routed.values() {
        put_all(connection, routes.values())?;
    }
    put_all(connection, pending.snapshots.values())?;
    put_all(connection, pending.rooms.values())?;
    for (server, users) in &pending.outgoing {
        let sent = users.iter().filter(|(_, outgoing)| **outgoing == Outgoing::Sent);
        outgoing::remove_all(connection, sent.map(|(user, _)| (&**server, user)))?;
        put_all(connection, users.values().filter_map(Outgoing::waits))?;
    }
    put_all(connection, pending.destinations.values())?;
    put_all(connection, &pending.reserved)
}

fn failed(database: &Arc<str>, source: rusqlite::Error) -> WriteError {
    WriteError::Failed {
        database: Arc::clone(database),
        source: Arc::new(source),
    }
}

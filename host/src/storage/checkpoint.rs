//! Brings the log into the database, on a thread and by a connection of its own: while the disk is waited for, the thread that
//! writes goes on.
//!
//! What comes meanwhile is brought in another turn, until little is left. When the log has become long, the thread that writes
//! is told so: it alone can bring the rest and begin the log anew.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

/// A log of so many pages, of 4 KiB, is to begin anew.
pub(super) const LONG_LOG: i64 = 4_096;
/// So few pages of it are brought in no time.
const LITTLE: i64 = 256;
/// How often what has come meanwhile is brought too. A disk that is slower than what comes never brings all.
const TURNS: usize = 8;

/// A handle to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpoints {
    begin: Option<SyncSender<()>>,
    is_log_long: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Of a database that has a log, by another connection to it.
    pub(super) fn start(path: &Path, connection: Connection) -> io::Result<Self> {
        let (begin, asked) = sync_channel(1);
        let is_log_long = Arc::new(AtomicBool::new(false));
        let checkpointer = Checkpointer {
            connection,
            name: path.display().to_string().into(),
            is_log_long: Arc::clone(&is_log_long),
        };
        let thread = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || checkpointer.run(&asked))?;
        Ok(Self {
            begin: Some(begin),
            is_log_long,
            thread: Some(thread),
        })
    }

    /// All that is in the log now is to be brought into the database. Does not wait for it.
    pub(super) fn begin(&self) {
        if let Some(begin) = &self.begin {
            // When one waits to begin, that is the one.
            let _ = begin.try_send(());
        }
    }

    /// Whether the log has become long, and most of it is in the database. Says so once.
    pub(super) fn is_log_long(&self) -> bool {
        self.is_log_long.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Checkpoints {
    /// Waits for the disk: when the database is closed, nobody else has it open.
    fn drop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was logged.
            let _ = thread.join();
        }
    }
}

struct Checkpointer {
    connection: Connection,
    name: Arc<str>,
    is_log_long: Arc<AtomicBool>,
}

impl Checkpointer {
    fn run(self, asked: &Receiver<()>) {
        while asked.recv().is_ok() {
            for _ in 0..TURNS {
                match checkpoint(&self.connection, &self.name) {
                    Some(Log { pages, left }) if left <= LITTLE => {
                        self.is_log_long.store(pages >= LONG_LOG, Ordering::Relaxed);
                        break;
                    }
                    Some(_) => {}
                    None => break,
                }
            }
        }
    }
}

/// The log after a turn.
pub(super) struct Log {
    /// How long it is.
    pages: i64,
    /// How many of its pages are not in the database.
    left: i64,
}

/// Brings what is in the log into the database, and waits until the disk has both, so that a power cut does not take it. What
/// cannot be brought now, for somebody reads it, is later. `None` when it failed, which is logged.
pub(super) fn checkpoint(connection: &Connection, database: &str) -> Option<Log> {
    let checkpointed = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (pages, brought): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(Log {
            pages,
            left: pages - brought,
        })
    });
    checkpointed
        .inspect_err(|error| {
            tracing::warn!(
                database,
                %error,
                "what was stored last may be lost in a power cut: the disk did not confirm it"
            );
        })
        .ok()
}

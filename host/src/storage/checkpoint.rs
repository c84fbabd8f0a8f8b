//! Brings the log into the database, on a thread and by a connection of its own: while the disk is waited for, the thread that
//! writes goes on.
//!
//! What comes meanwhile is brought in another turn, until little is left. When the log has become long, the thread that writes
//! is told so: it alone can bring the rest and begin the log anew.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

/// A log of so many pages, of 4 KiB, is to begin anew.
pub(super) const LONG_LOG: i64 = 4_096;
/// So few pages of it are brought in no time.
const LITTLE: i64 = 256;
/// How often what has come meanwhile is brought too. A disk that is slower than what comes never brings all.
const TURNS: usize = 8;
/// After how long it is tried again, when somebody else was at it.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

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

    /// All that is in the log now is to be brought into the database. Does not wait for it; says whether the thread is there, and
    /// will do so.
    pub(super) fn begin(&self) -> bool {
        // When one waits to begin, that is the one.
        let begun = self.begin.as_ref().map(|begin| begin.try_send(()));
        matches!(begun, Some(Ok(()) | Err(TrySendError::Full(()))))
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
        let (mut pages, mut again) = (0, false);
        loop {
            let wait = if again { AGAIN_AFTER } else { Duration::MAX };
            match asked.recv_timeout(wait) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            again = false;
            for _ in 0..TURNS {
                let Some(checkpointed) = checkpoint(&self.connection, &self.name) else {
                    break;
                };
                let Checkpointed::Pages(brought) = checkpointed else {
                    again = true;
                    break;
                };
                let came = came(pages, brought);
                pages = brought;
                // What comes in another turn of so few pages is as little.
                if came <= LITTLE {
                    self.is_log_long.store(pages >= LONG_LOG, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}

/// How many pages have come to a log that had so many before, and was begun anew when it has fewer now.
fn came(before: i64, now: i64) -> i64 {
    if now >= before { now - before } else { now }
}

/// What has become of a turn.
pub(super) enum Checkpointed {
    /// So many pages, all that were in the log when it began, are in the database.
    Pages(i64),
    /// Somebody else is at it, or reads what is older.
    Busy,
}

/// Brings what is in the log into the database, and waits until the disk has both, so that a power cut does not take it.
/// `None` when it failed, which is logged.
pub(super) fn checkpoint(connection: &Connection, database: &str) -> Option<Checkpointed> {
    let checkpointed = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, pages, brought): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(if busy || brought < pages {
            Checkpointed::Busy
        } else {
            Checkpointed::Pages(pages)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_begun_anew_has_all_its_pages_since() {
        assert_eq!(came(0, 300), 300);
        assert_eq!(came(300, 310), 10);
        assert_eq!(came(5_000, 20), 20);
    }
}

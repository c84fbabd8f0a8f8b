//! The threads of the generator, and the steps that they take together: open the connections, listen, write, end.
//!
//! Each thread has a runtime of its own and its share of the connections, so that no request crosses from one to another.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http::{Buffers, Connection};
use crate::run::Run;
use crate::schedule::Schedule;
use crate::stamp::Seen;
use crate::syncer::{SyncTally, Syncer};
use crate::writer::{WriteTally, write};

/// Answered by every server, for everybody, at no cost.
const VERSIONS: &str = "/_matrix/client/versions";

/// What all threads together are to do.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) threads: usize,
    /// Who listens, a connection each, from which token on.
    pub(crate) listeners: Vec<(usize, Arc<str>)>,
    /// The users of each writing connection, and when it writes.
    pub(crate) writers: Vec<(Vec<usize>, Schedule)>,
    /// What the listening connections do with their memory.
    pub(crate) buffers: Buffers,
    /// How long an answer may take.
    pub(crate) patience: Duration,
    /// Where every answer to a listener is written to.
    pub(crate) trace: Option<PathBuf>,
}

/// The threads, with their connections open.
#[derive(Debug)]
pub(crate) struct Crew {
    run: Arc<Run>,
    threads: Vec<JoinHandle<Result<Measured>>>,
    /// Dropped, the threads listen.
    listen: Vec<Sender<()>>,
    write: CancellationToken,
    stop: CancellationToken,
    all_written: Receiver<()>,
}

/// What the threads have measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) writes: WriteTally,
    pub(crate) syncs: SyncTally,
}

impl Crew {
    /// Starts the threads, and waits until every listener's connection is open and has been answered once.
    pub(crate) fn open(run: &Arc<Run>, task: &Task) -> Result<Self> {
        let (say_opened, opened) = channel();
        let (say_written, all_written) = channel();
        let mut crew = Self {
            run: run.clone(),
            threads: Vec::new(),
            listen: Vec::new(),
            write: CancellationToken::new(),
            stop: CancellationToken::new(),
            all_written,
        };
        for share in Share::all(task.threads) {
            let (listen, wait_for_listen) = channel();
            crew.listen.push(listen);
            let work = Work {
                run: run.clone(),
                listeners: share.of(&task.listeners).cloned().collect(),
                writers: share.of(&task.writers).cloned().collect(),
                buffers: task.buffers,
                patience: task.patience,
                trace: task.trace.clone(),
                write: crew.write.clone(),
                stop: crew.stop.clone(),
            };
            let (say_opened, say_written) = (say_opened.clone(), say_written.clone());
            crew.threads.push(thread::spawn(move || {
                let runtime = runtime()?;
                let connections = match runtime.block_on(work.open()) {
                    Ok(connections) => connections,
                    Err(error) => {
                        // Who starts the crew waits for it, unless another thread has failed before.
                        let _ = say_opened.send(Err(error));
                        return Ok(Measured::nothing());
                    }
                };
                let _ = say_opened.send(Ok(()));
                drop(say_opened);
                // Nothing is ever sent: it ends when the sender is dropped.
                let _ = wait_for_listen.recv();
                Ok(runtime.block_on(work.listen_and_write(connections, say_written)))
            }));
        }
        drop(say_opened);
        // Dropped on an error, the crew stops.
        opened.iter().collect::<Result<()>>()?;
        Ok(crew)
    }

    /// Has them listen.
    pub(crate) fn listen(&mut self) {
        self.listen.clear();
    }

    /// Starts the time of the run, and has them write until its window ends.
    pub(crate) fn write(&mut self) {
        self.run.begin();
        self.write.cancel();
    }

    /// Waits until all is written, listens for `drain` more, and ends them.
    pub(crate) fn end(mut self, drain: Duration) -> Result<Measured> {
        let _ = self.all_written.recv();
        thread::sleep(drain);
        self.stop.cancel();
        let mut all = Measured::nothing();
        for thread in self.threads.drain(..) {
            let one = thread
                .join()
                .map_err(|_| anyhow!("a thread of the load has panicked"))??;
            all.writes.merge(one.writes);
            all.syncs.merge(one.syncs);
        }
        Ok(all)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop.cancel();
        self.listen.clear();
    }
}

impl Measured {
    pub(crate) fn nothing() -> Self {
        Self {
            writes: WriteTally::new(),
            syncs: SyncTally::new(),
        }
    }
}

/// What one thread is to do.
struct Work {
    run: Arc<Run>,
    listeners: Vec<(usize, Arc<str>)>,
    writers: Vec<(Vec<usize>, Schedule)>,
    buffers: Buffers,
    patience: Duration,
    trace: Option<PathBuf>,
    write: CancellationToken,
    stop: CancellationToken,
}

impl Work {
    /// One after another: a server that gets all at once would refuse some.
    async fn open(&self) -> Result<Vec<Connection>> {
        let request = self.run.authority.get(VERSIONS, "none");
        let mut connections = Vec::with_capacity(self.listeners.len());
        for _ in &self.listeners {
            let mut connection = Connection::new(&self.run.authority, self.buffers, self.patience);
            let opened = connection.exchange(&request).await;
            opened.with_context(|| format!("connection {} could not be opened", connections.len() + 1))?;
            connections.push(connection);
        }
        Ok(connections)
    }

    async fn listen_and_write(self, connections: Vec<Connection>, say_written: Sender<()>) -> Measured {
        let writes = Arc::new(Mutex::new(WriteTally::new()));
        let syncs = Arc::new(Mutex::new(SyncTally::new()));
        let mut listening = JoinSet::new();
        for ((user, since), connection) in self.listeners.into_iter().zip(connections) {
            let mut syncer = Syncer {
                run: self.run.clone(),
                user,
                since,
                connection,
                tally: syncs.clone(),
                trace: self.trace.clone(),
            };
            let stop = self.stop.clone();
            listening.spawn(async move {
                let mut seen = Seen::default();
                stop.run_until_cancelled(syncer.listen(&mut seen)).await;
                syncer.tally.lock().seen.push((user, seen));
            });
        }
        let stopped = self.stop.run_until_cancelled(self.write.cancelled());
        if stopped.await.is_some() {
            let mut writing = JoinSet::new();
            for (users, schedule) in self.writers {
                let connection = Connection::new(&self.run.authority, Buffers::Kept, self.patience);
                writing.spawn(write(
                    self.run.clone(),
                    connection,
                    users,
                    schedule,
                    writes.clone(),
                ));
            }
            writing.join_all().await;
        }
        drop(say_written);
        listening.join_all().await;
        let mut measured = Measured::nothing();
        std::mem::swap(&mut measured.writes, &mut writes.lock());
        std::mem::swap(&mut measured.syncs, &mut syncs.lock());
        measured
    }
}

/// A runtime for the thread that it is made on.
pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

/// What one of several threads takes of a list.
#[derive(Debug, Clone, Copy)]
struct Share {
    index: usize,
    threads: usize,
}

impl Share {
    /// The shares of `threads` threads; of one at least.
    fn all(threads: usize) -> impl Iterator<Item = Self> {
        let threads = threads.max(1);
        (0..threads).map(move |index| Self { index, threads })
    }

    /// What is this thread's.
    fn of<T>(self, list: &[T]) -> impl Iterator<Item = &T> {
        list.iter().skip(self.index).step_by(self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_all_of_the_list_and_none_has_what_another_has() {
        for threads in 0..5 {
            let list = [1, 2, 3, 4, 5, 6, 7];
            let mut taken: Vec<_> = Share::all(threads).flat_map(|share| share.of(&list)).collect();
            taken.sort();
            assert_eq!(taken, list.iter().collect::<Vec<_>>(), "{threads}");
        }
    }
}

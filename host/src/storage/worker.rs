//! The thread that writes the database, and the queue before it. All that has come while one transaction was written
//! goes into the next: the more there is to write, the less a row costs.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::database::Database;
use super::error::WriteError;
use super::pending::Pending;
use super::records::Writes;
use super::request::Request;

/// After how long what could not be written is tried again, when nothing else comes.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// After how long what was written is brought safe from a power cut. A group waits for no disk; this is what each would
/// otherwise wait for.
pub(super) const SYNC_AFTER: Duration = Duration::from_secs(1);

/// How long what nobody waits for may wait for a transaction. A user whom a module has routed many times meanwhile is one row.
pub(super) const LINGER: Duration = Duration::from_millis(50);

/// Hears what became of a write.
pub(super) type Done = oneshot::Sender<Result<(), WriteError>>;

/// Between the handles and the thread.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

struct Waiting {
    pending: Pending,
    /// Since when something waits that was handed over after the thread last took: what failed before is tried again with it.
    fresh_since: Option<Instant>,
    /// Somebody waits for all of it.
    to_flush: bool,
    /// The rows that the thread is writing.
    in_flight: usize,
    done: Vec<Done>,
    /// Bounded by the permits of the handles.
    changes: Vec<Request>,
    reads: Vec<Request>,
    phase: Phase,
}

enum Phase {
    Open,
    /// Nothing more is taken. Who closed hears of the end.
    Closing(Option<Done>),
    Closed,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Change,
    Read,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                pending: Pending::default(),
                fresh_since: None,
                to_flush: false,
                in_flight: 0,
                done: Vec::new(),
                changes: Vec::new(),
                reads: Vec::new(),
                phase: Phase::Open,
            }),
            wake: Condvar::new(),
        }
    }

    pub(super) fn write(&self, writes: Writes, done: Vec<Done>) {
        let mut waiting = self.waiting.lock();
        if !matches!(waiting.phase, Phase::Open) {
            drop(waiting);
            answer(done, &Err(WriteError::Closed));
            return;
        }
        waiting.pending.add(writes);
        // The thread wakes by itself when what nobody waits for is due, once it knows of it.
        let to_wake = !done.is_empty() || waiting.fresh_since.is_none();
        waiting.done.extend(done);
        waiting.fresh_since.get_or_insert_with(Instant::now);
        if to_wake {
            self.wake.notify_one();
        }
    }

    /// All that was handed over is written at once.
    pub(super) fn flush(&self, done: Done) {
        self.waiting.lock().to_flush = true;
        self.write(Writes::default(), vec![done]);
        self.wake.notify_one();
    }

    pub(super) fn ask(&self, request: Request, purpose: Purpose) {
        let mut waiting = self.waiting.lock();
        if !matches!(waiting.phase, Phase::Open) {
            drop(waiting);
            request.answer(Err(WriteError::Closed));
            return;
        }
        match purpose {
            Purpose::Change => waiting.changes.push(request),
            Purpose::Read => waiting.reads.push(request),
        }
        self.wake.notify_one();
    }

    /// The thread writes what waits, and ends.
    pub(super) fn close(&self, done: Option<Done>) {
        let mut waiting = self.waiting.lock();
        if matches!(waiting.phase, Phase::Open) {
            waiting.phase = Phase::Closing(done);
            self.wake.notify_one();
        } else {
            drop(waiting);
            answer(done, &Err(WriteError::Closed));
        }
    }

    pub(super) fn len(&self) -> usize {
        let waiting = self.waiting.lock();
        waiting.pending.len() + waiting.in_flight
    }

    /// Waits until there is something to do.
    fn take(&self, retry: Option<Instant>, sync: Option<Instant>) -> Turn {
        let mut waiting = self.waiting.lock();
        let alarm = retry.into_iter().chain(sync).min();
        while !waiting.has_work() {
            let due = waiting.fresh_since.map(|since| since + LINGER);
            if due.is_some_and(|due| due <= Instant::now()) {
                break;
            }
            match alarm.into_iter().chain(due).min() {
                Some(at) if self.wake.wait_until(&mut waiting, at).timed_out() => break,
                Some(_) => {}
                None => self.wake.wait(&mut waiting),
            }
        }
        // Also when requests keep coming.
        let is_due = retry.is_some_and(|at| Instant::now() >= at);
        let is_last = !matches!(waiting.phase, Phase::Open);
        // A request of a module is no reason to try again what has just failed.
        let lingered = waiting.fresh_since.is_some_and(|since| since.elapsed() >= LINGER);
        let to_flush = mem::take(&mut waiting.to_flush);
        let pending = if is_last || to_flush {
            mem::take(&mut waiting.pending)
        } else if is_due || lingered {
            // What is left of it has waited long enough.
            waiting.fresh_since.get_or_insert_with(Instant::now);
            waiting.pending.take_bounded()
        } else if !waiting.done.is_empty() {
            waiting.pending.take_urgent()
        } else {
            Pending::default()
        };
        if waiting.pending.is_empty() {
            waiting.fresh_since = None;
        }
        waiting.in_flight = pending.len();
        Turn {
            pending,
            done: mem::take(&mut waiting.done),
            changes: mem::take(&mut waiting.changes),
            reads: mem::take(&mut waiting.reads),
            is_last,
        }
    }

    /// The rows that were taken are on disk, or come back.
    fn settle(&self, failed: Option<Pending>) {
        let mut waiting = self.waiting.lock();
        waiting.in_flight = 0;
        if let Some(failed) = failed {
            waiting.pending.take_back(failed);
            // It is tried again with what somebody waits for, and when it is time.
            waiting.fresh_since = None;
        }
    }

    /// Nothing is taken any more. Whoever waits hears so.
    fn end(&self) -> Option<Done> {
        let mut waiting = self.waiting.lock();
        let phase = mem::replace(&mut waiting.phase, Phase::Closed);
        let done = mem::take(&mut waiting.done);
        let requests: Vec<_> = mem::take(&mut waiting.changes)
            .into_iter()
            .chain(mem::take(&mut waiting.reads))
            .collect();
        drop(waiting);
        answer(done, &Err(WriteError::Closed));
        for request in requests {
            request.answer(Err(WriteError::Closed));
        }
        match phase {
            Phase::Closing(closer) => closer,
            Phase::Open | Phase::Closed => None,
        }
    }
}

impl Waiting {
    /// Whether there is what somebody waits for.
    fn has_work(&self) -> bool {
        self.to_flush
            || !self.done.is_empty()
            || !self.changes.is_empty()
            || !self.reads.is_empty()
            || !matches!(self.phase, Phase::Open)
    }
}

/// What the thread does at once.
struct Turn {
    pending: Pending,
    done: Vec<Done>,
    changes: Vec<Request>,
    reads: Vec<Request>,
    is_last: bool,
}

/// The thread.
pub(super) struct Worker {
    queue: Arc<Queue>,
    /// When to try again what could not be written.
    retry: Option<Instant>,
    /// When to have it brought safe from a power cut, once something was written.
    sync: Option<Instant>,
}

impl Worker {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            retry: None,
            sync: None,
        }
    }

    /// Until it is closed.
    pub(super) fn run(mut self, mut database: Database) {
        let written = loop {
            let turn = self.queue.take(self.retry, self.sync);
            let is_last = turn.is_last;
            let writes = !turn.pending.is_empty() || !turn.changes.is_empty();
            let written = self.write(&mut database, turn);
            if writes && written.is_ok() {
                self.sync.get_or_insert_with(|| Instant::now() + SYNC_AFTER);
            }
            // First: it is not to be begun by both.
            database.shorten_log();
            if self.sync.is_some_and(|at| Instant::now() >= at) {
                self.sync = None;
                database.sync();
            }
            if is_last {
                break written;
            }
        };
        database.close();
        // The file is unlocked: who hears of it may open it again.
        if let Some(closer) = self.queue.end() {
            answer([closer], &written);
        }
    }

    fn write(&mut self, database: &mut Database, turn: Turn) -> Result<(), WriteError> {
        let Turn {
            pending,
            done,
            mut changes,
            reads,
            is_last: _,
        } = turn;
        let mut written = database.write(&pending, &mut changes);
        if !changes.is_empty() && written.as_ref().is_err_and(WriteError::may_lie_in_a_row) {
            // What failed together is tried apart: too much from a module does not keep presence from being stored.
            written = database.write(&pending, &mut []);
            for mut change in changes {
                let stored = match &written {
                    Ok(()) => database.write(&Pending::default(), std::slice::from_mut(&mut change)),
                    Err(error) => Err(error.clone()),
                };
                change.answer(stored);
            }
        } else {
            for change in changes {
                change.answer(written.clone());
            }
        }

        if pending.is_empty() {
            self.queue.settle(None);
        } else {
            self.report(database.name(), &written);
            self.queue.settle(written.is_err().then_some(pending));
        }
        answer(done, &written);
        for read in reads {
            database.read(read);
        }
        written
    }

    /// The first failure and the end of the failing are logged, and none in between.
    fn report(&mut self, database: &str, written: &Result<(), WriteError>) {
        match written {
            Ok(()) => {
                if self.retry.take().is_some() {
                    tracing::info!(
                        database,
                        "the database can be written again, and all that waited is on disk"
                    );
                }
            }
            Err(error) => {
                if self.retry.is_none() {
                    tracing::error!(
                        error = error as &dyn std::error::Error,
                        "presence is served from memory, and stored as soon as the database can be written"
                    );
                }
                self.retry = Some(Instant::now() + RETRY);
            }
        }
    }
}

impl Drop for Worker {
    /// Also when the thread panics: nobody waits for it any more.
    fn drop(&mut self) {
        self.queue.end();
    }
}

fn answer(done: impl IntoIterator<Item = Done>, written: &Result<(), WriteError>) {
    for done in done {
        // Who asked may have gone.
        drop(done.send(written.clone()));
    }
}

//! What a process writes, line by line as it comes, and waiting for a line of it.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A stream of a process. Clones are the same stream.
#[derive(Debug, Clone)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    pub(crate) fn read_from(stream: impl Read + Send + 'static) -> Self {
        let log = Self(Arc::new(Shared::default()));
        let shared = Arc::clone(&log.0);
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                line.clear();
                shared.lock().lines.push(text);
                shared.changed.notify_all();
            }
            shared.lock().ended = true;
            shared.changed.notify_all();
        });
        log
    }

    /// All that was written so far.
    pub fn text(&self) -> String {
        self.0.lock().lines.join("\n")
    }

    /// How many lines were written so far.
    pub fn len(&self) -> usize {
        self.0.lock().lines.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a line written so far contains all of these.
    pub fn contains(&self, parts: &[&str]) -> bool {
        let written = self.0.lock();
        written.lines.iter().any(|line| has_all(line, parts))
    }

    /// Waits for a line that contains all of these, and answers it. Panics at the deadline, and when the
    /// process ends without having written it.
    #[track_caller]
    pub fn wait_for(&self, parts: &[&str], within: Duration) -> String {
        let found = self.wait_until(within, |lines| {
            lines.iter().find(|line| has_all(line, parts)).cloned()
        });
        found.unwrap_or_else(|| panic!("no line with {parts:?} within {within:?} in:\n{}", self.text()))
    }

    /// Waits until `look` finds something in the lines; `None` at the deadline, or when there will be no
    /// more.
    pub fn wait_until<T>(&self, within: Duration, look: impl Fn(&[String]) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + within;
        let mut written = self.0.lock();
        loop {
            let found = look(&written.lines);
            let left = deadline.saturating_duration_since(Instant::now());
            if found.is_some() || written.ended || left.is_zero() {
                return found;
            }
            written = self
                .0
                .changed
                .wait_timeout(written, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until the stream has ended.
    pub(crate) fn wait_for_end(&self, within: Duration) {
        self.wait_until(within, |_| None::<()>);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_all(line: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| line.contains(part))
}

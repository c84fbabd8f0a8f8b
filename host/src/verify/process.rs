//! Runs a check in a process of its own, waits for it, and kills it when it is late. A crash is a verdict.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::verify::journal::Entries;
use crate::verify::outcome::Outcome;
use crate::verify::resources::signal_name;
use crate::verify::task::Task;

/// How much of what a child writes is kept: the end.
const TAIL: usize = 8 * 1024;
/// How often it is looked whether a child has ended.
const LOOK: Duration = Duration::from_millis(5);
/// What a child has started itself may keep its output open; it is waited for no longer than this.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How a child's work ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// It made the check.
    Done(Outcome),
    /// The process ended before it was done: how, and what it was doing.
    Crashed {
        how: String,
        step: Option<String>,
        tail: Vec<String>,
    },
    /// It was killed: what it was doing.
    Late { step: Option<String>, tail: Vec<String> },
}

/// Runs `program` as a child. `directory` is empty, and the child's working directory.
pub(super) fn run(program: &Path, task: &Task, directory: &Path, deadline: Duration) -> io::Result<Ending> {
    let input = serde_json::to_vec(task)?;
    let mut command = Command::new(program);
    command
        .arg(super::CHILD_COMMAND)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = Running(command.spawn()?);
    let tail = Tail::default();
    let drained = [
        tail.drain(child.0.stdout.take()),
        tail.drain(child.0.stderr.take()),
    ];
    if let Some(mut stdin) = child.0.stdin.take() {
        // A child that has ended already is found below.
        let _ = stdin.write_all(&input);
    }
    let status = child.wait(deadline)?;
    let begun = Instant::now();
    for drained in drained {
        let _ = drained.recv_timeout(LAST_WORDS.saturating_sub(begun.elapsed()));
    }
    let Entries { last_step, outcome } = Entries::read(&task.journal);
    let tail = tail.lines();
    Ok(match (status, outcome) {
        (None, _) => Ending::Late {
            step: last_step,
            tail,
        },
        (Some(status), Some(outcome)) if status.success() => Ending::Done(outcome),
        (Some(status), _) => Ending::Crashed {
            how: how(status),
            step: last_step,
            tail,
        },
    })
}

fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("killed by {}", signal_name(signal.unsigned_abs())),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// A child that is killed and waited for when this is dropped.
struct Running(Child);

impl Running {
    /// How it ended; `None` when it had to be killed.
    fn wait(&mut self, deadline: Duration) -> io::Result<Option<ExitStatus>> {
        let begun = Instant::now();
        while begun.elapsed() < deadline {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            thread::sleep(LOOK);
        }
        Ok(None)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The end of what a child has written.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    /// Reads all there is, so that a child never waits for a reader. Tells when there is no more.
    fn drain(&self, from: Option<impl Read + Send + 'static>) -> Receiver<()> {
        let (tail, (done, is_done)) = (self.clone(), channel());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            let Some(mut from) = from else { return };
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                tail.keep(buffer.get(..read).unwrap_or_default());
            }
            // Nobody listens when it took too long.
            let _ = done.send(());
        });
        is_done
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock();
        kept.extend_from_slice(bytes);
        let excess = kept.len().saturating_sub(TAIL);
        kept.drain(..excess);
    }

    /// The last lines, at most ten.
    fn lines(&self) -> Vec<String> {
        const LINES: usize = 10;
        let kept = self.0.lock();
        let text = String::from_utf8_lossy(&kept);
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let first = lines.len().saturating_sub(LINES);
        lines.into_iter().skip(first).collect()
    }
}

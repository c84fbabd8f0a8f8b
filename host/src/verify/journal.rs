//! What passes from the child to its parent: a file of JSON lines. Each step is written before it begins, so that the
//! last line tells where a module crashed or hung. Not a pipe: a module may write to standard output or close it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::verify::Outcome;

/// The most that is read back.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Step(String),
    Outcome(Outcome),
}

/// The child's side.
pub(super) struct Journal(Mutex<File>);

impl Journal {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map(|file| Self(Mutex::new(file)))
    }

    /// What begins now.
    pub(super) fn step(&self, step: impl Into<String>) {
        // A step that is not written is missed by nothing but the text of a failure.
        let _ = self.write(&Line::Step(step.into()));
    }

    /// What was found; the last line.
    pub(super) fn finish(&self, outcome: Outcome) -> io::Result<()> {
        self.write(&Line::Outcome(outcome))
    }

    fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.0.lock().write_all(&text)
    }
}

/// What a child has left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    /// What it did last.
    pub(super) last_step: Option<String>,
    /// What it found; nothing when it came to no end.
    pub(super) outcome: Option<Outcome>,
}

impl Entries {
    /// Reads what is there. Lines that cannot be read, as the child ended within them, are passed over.
    pub(super) fn read(path: &Path) -> Self {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
        let mut entries = Self::default();
        if read.is_err() {
            return entries;
        }
        for line in bytes.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Step(step)) => entries.last_step = Some(step),
                Ok(Line::Outcome(outcome)) => entries.outcome = Some(outcome),
                Err(_) => {}
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_up_to_a_line_that_was_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("journal");
        let journal = Journal::open(&path).expect("opens");
        journal.step("one");
        journal.step("two");
        let two = Entries {
            last_step: Some("two".to_owned()),
            outcome: None,
        };
        assert_eq!(Entries::read(&path), two);
        std::fs::write(&path, "{\"step\":\"two\"}\n{\"outcome\":{\"find").expect("writes");
        assert_eq!(Entries::read(&path), two);
        Journal::open(&path)
            .and_then(|journal| journal.finish(Outcome::default()))
            .expect("writes");
        // Behind a cut line it is lost, too: the two stand in one.
        assert_eq!(Entries::read(&path), two);
        assert_eq!(Entries::read(&directory.path().join("none")), Entries::default());
    }
}

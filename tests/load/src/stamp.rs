//! Which update an event tells of: every update's `status_msg` says who wrote it, when, and in which run.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};

/// A number that another run does not have.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Tells the updates of this run from what others have left.
#[derive(Debug, Clone)]
pub(crate) struct Tag(String);

/// An update: who wrote it, by the number in the targets file, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) writer: usize,
    pub(crate) at: u64,
}

impl Tag {
    pub(crate) fn new(run: u64) -> Self {
        Self(format!("pl{:x}", run & 0xffff_ffff))
    }

    /// Writes the `status_msg` of an update.
    pub(crate) fn write(&self, stamp: Stamp, to: &mut String) {
        let _ = write!(to, "{}:{}:{}", self.0, stamp.writer, stamp.at);
    }

    /// Reads one. `None` when it is not of this run.
    pub(crate) fn read(&self, status_msg: &str) -> Option<Stamp> {
        let rest = status_msg.strip_prefix(&self.0)?.strip_prefix(':')?;
        let (writer, at) = rest.split_once(':')?;
        Some(Stamp {
            writer: writer.parse().ok()?,
            at: at.parse().ok()?,
        })
    }
}

/// The newest update that one reader has seen of each writer.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashMap<usize, u64>);

/// What an event is to a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Novelty {
    New,
    /// This update, or a newer one, was there already.
    Repeated,
}

impl Seen {
    pub(crate) fn note(&mut self, stamp: Stamp) -> Novelty {
        let newest = self.0.entry(stamp.writer).or_default();
        if stamp.at <= *newest {
            return Novelty::Repeated;
        }
        *newest = stamp.at;
        Novelty::New
    }

    pub(crate) fn newest(&self, writer: usize) -> Option<u64> {
        self.0.get(&writer).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let (tag, other) = (Tag::new(7), Tag::new(8));
        let stamp = Stamp {
            writer: 12,
            at: 3_456,
        };
        let mut text = String::new();
        tag.write(stamp, &mut text);
        assert_eq!(tag.read(&text), Some(stamp));
        assert_eq!(other.read(&text), None);
        for foreign in [
            "", "pl7", "pl7:", "pl7:1", "pl7:1:x", "pl7:-1:5", "pl70:1:5", "hello",
        ] {
            assert_eq!(tag.read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn an_older_update_and_the_same_again_are_no_news() {
        let mut seen = Seen::default();
        let at = |at| Stamp { writer: 1, at };
        assert_eq!(seen.note(at(5)), Novelty::New);
        assert_eq!(seen.note(at(5)), Novelty::Repeated);
        assert_eq!(seen.note(at(4)), Novelty::Repeated);
        assert_eq!(seen.note(Stamp { writer: 2, at: 4 }), Novelty::New);
        assert_eq!(seen.note(at(6)), Novelty::New);
        assert_eq!((seen.newest(1), seen.newest(3)), (Some(6), None));
    }
}

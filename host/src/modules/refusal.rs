//! What a person reads when a module is refused: what is wrong, who must change, the command that fixes it.
//! At most five lines. Owns the form; the errors of each step know their own advice.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// What an error of the loader knows beside its text.
pub trait Advice: Error {
    /// Who must change something.
    fn who(&self) -> Who;

    /// The command, or the change, that fixes it: one line.
    fn fix(&self) -> String;
}

/// Who must change something for a refused module to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Who runs this server: the config, a file's permissions, a missing library.
    Operator,
    /// Who wrote or built the module.
    Author,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "the operator of this server",
            Self::Author => "the author of the module, or who builds it",
        })
    }
}

/// A refusal for people. Its text holds the cause too, so it names no source of its own.
#[derive(Debug)]
pub struct Refusal {
    subject: Option<PathBuf>,
    error: Box<dyn Advice + Send + Sync>,
}

impl Refusal {
    /// Names the module's file, for an error that does not.
    #[must_use]
    pub fn of(self, module: &Path) -> Self {
        Self {
            subject: Some(module.to_owned()),
            ..self
        }
    }

    /// Who must change something.
    pub fn who(&self) -> Who {
        self.error.who()
    }

    /// The command, or the change, that fixes it.
    pub fn fix(&self) -> String {
        self.error.fix()
    }
}

impl<E: Advice + Send + Sync + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self {
            subject: None,
            error: Box::new(error),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.subject {
            write!(f, "`{}`: ", printable(&subject.display().to_string()))?;
        }
        writeln!(f, "{}", printable(&self.error.to_string()))?;
        let causes: Vec<_> = std::iter::successors(self.error.source(), |error| (*error).source())
            .map(ToString::to_string)
            .collect();
        if !causes.is_empty() {
            writeln!(f, "  cause:  {}", printable(&causes.join(": ")))?;
        }
        writeln!(f, "  change: {}", self.who())?;
        write!(f, "  fix:    {}", printable(&self.fix()))
    }
}

impl Error for Refusal {}

/// Text that others have chosen, safe to print: a file's name may hold a line break or an escape, a line of ours
/// may not.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use insta::assert_snapshot;

    use super::*;
    use crate::modules::locate::LocateError;

    #[test]
    fn a_refusal_names_cause_change_and_fix() {
        let error = LocateError::Unreadable {
            path: PathBuf::from("/modules/lib\n\u{1b}x.so"),
            source: io::Error::from(io::ErrorKind::PermissionDenied),
        };
        let refusal = Refusal::from(error);
        assert_snapshot!(refusal, @r"
        `/modules/lib��x.so` cannot be read
          cause:  permission denied
          change: the operator of this server
          fix:    chmod a+r /modules/lib��x.so and a+x on its directories, or run as a user who may read it
        ");
        assert!(refusal.to_string().lines().count() <= 5);
        assert!(refusal.source().is_none());
    }
}

//! What is wrong with the config files: a list of entries, each with its place.
//!
//! Owns how an entry reads and what of it reaches `--format json`. Knows no key by name, and never
//! holds a secret: whoever makes an entry sees to that (see `KeyPath::without_secrets`).

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// All that was found wrong in one pass; never empty. Shown as one line an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The entries: what kept a file from being read first, then by file and line.
    pub fn entries(&self) -> &[ConfigError] {
        &self.0
    }

    /// `None` when there is no error.
    pub(super) fn of(errors: Vec<ConfigError>) -> Option<Self> {
        if errors.is_empty() {
            None
        } else {
            Some(Self(errors))
        }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

fn lines(errors: &[ConfigError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// One thing that is wrong: `key.path[0]: what was wrong; what to do (homeserver.yaml:14)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The file, as its path was given; `None` when no single file is at fault.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_path")]
    pub file: Option<PathBuf>,
    /// The line in that file, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in that line, counted from 1; known for errors of syntax only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The path of the key, in the syntax of [`Origins::locate`](super::Origins::locate).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What was wrong, and what to do.
    pub message: String,
}

impl ConfigError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            file: None,
            line: None,
            column: None,
            key: None,
            message: message.into(),
        }
    }

    pub(super) fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    pub(super) fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    pub(super) fn at_column(mut self, column: usize) -> Self {
        self.column = Some(column);
        self
    }

    /// An empty `key` stands for the whole file and is left out.
    pub(super) fn for_key(mut self, key: String) -> Self {
        self.key = Some(key).filter(|key| !key.is_empty());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(file) = &self.file {
            write!(f, " ({}", file.display())?;
            for number in [self.line, self.column].into_iter().flatten() {
                write!(f, ":{number}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A path that is not UTF-8 must not make the report of an error fail.
#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn lossy_path<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&path.as_ref().map(|path| path.to_string_lossy()))
}

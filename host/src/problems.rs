//! What stands in the way of a command or of an operation on a running server: for people as text, for programs as JSON.

use std::fmt;

use serde::Serialize;

use crate::config::{ConfigError, ConfigErrors, Origin};
use crate::modules::Refusal;

/// One or more problems. As JSON, a list.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

/// A problem, as JSON has it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Problem {
    /// In a config file.
    Config(ConfigError),
    /// With a module.
    Module {
        file: Option<String>,
        line: Option<usize>,
        key: Option<String>,
        message: String,
        change: String,
        fix: String,
        #[serde(skip)]
        text: String,
    },
    /// With anything else.
    Other { message: String },
}

impl Problems {
    /// A module was refused; `origin` is where the config names it.
    pub fn refused(key: &str, origin: Option<&Origin>, refusal: &Refusal) -> Self {
        let place = origin.map(|origin| format!(" ({origin})")).unwrap_or_default();
        let text = refusal.to_string();
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        Self(vec![Problem::Module {
            file: origin.map(|origin| origin.file.display().to_string()),
            line: origin.map(|origin| origin.line),
            key: (!key.is_empty()).then(|| key.to_owned()),
            message: first.to_owned(),
            change: refusal.who().to_string(),
            fix: refusal.fix(),
            text: match key {
                "" => text.clone(),
                _ => format!("{key}: {first}{place}\n{rest}"),
            },
        }])
    }

    /// All of these, in this order; `None` when there are none.
    pub fn of(problems: Vec<Self>) -> Option<Self> {
        let problems: Vec<_> = problems.into_iter().flat_map(|problems| problems.0).collect();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// Something else failed.
    pub fn other(message: impl Into<String>) -> Self {
        Self(vec![Problem::Other {
            message: message.into(),
        }])
    }
}

impl Problems {
    /// The text without `error:` before each, to stand in a line of the log.
    pub fn plain(&self) -> String {
        self.texts().collect::<Vec<_>>().join("\n")
    }

    fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|problem| match problem {
            Problem::Config(error) => error.to_string(),
            Problem::Module { text, .. } => text.clone(),
            Problem::Other { message } => message.clone(),
        })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, text) in self.texts().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "error: {text}")?;
        }
        Ok(())
    }
}

/// With its causes, which an error's own text leaves out.
impl From<anyhow::Error> for Problems {
    fn from(error: anyhow::Error) -> Self {
        Self::other(format!("{error:#}"))
    }
}

impl From<ConfigErrors> for Problems {
    fn from(errors: ConfigErrors) -> Self {
        Self(errors.entries().iter().cloned().map(Problem::Config).collect())
    }
}

impl From<ConfigError> for Problems {
    fn from(error: ConfigError) -> Self {
        Self(vec![Problem::Config(error)])
    }
}

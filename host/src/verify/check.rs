//! Which checks there are, what each shows, and which belong to a level. Runs none of them.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A check of the suite, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Inspection finds nothing to refuse, and the module describes itself.
    Inspect,
    /// It opens, accepts its config, starts and shuts down, each in time.
    Load,
    /// Both methods answer, in time and rightly, for batches of 0, 1, 16 and 4,096 states.
    Answers,
    /// What one method sends is what the other says is wanted.
    MethodsLineUp,
    /// The same question gets the same answer.
    SameAnswer,
    /// A bad config is refused with the name of a key.
    BadConfig,
    /// It survives a server that answers its questions with errors, or not at all.
    FailingHost,
    /// After `shutdown` nothing of it is left: no thread, task, descriptor or signal handler.
    Shutdown,
    /// It can be loaded again and again.
    Reload,
    /// Two instances do not disturb each other.
    SideBySide,
}

/// How much is asked of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It loads and answers
    Basic,
    /// All checks
    Standard,
    /// All checks, and a warning fails
    Strict,
}

impl Check {
    /// All, in order.
    pub const ALL: [Self; 10] = [
        Self::Inspect,
        Self::Load,
        Self::Answers,
        Self::MethodsLineUp,
        Self::SameAnswer,
        Self::BadConfig,
        Self::FailingHost,
        Self::Shutdown,
        Self::Reload,
        Self::SideBySide,
    ];

    /// The lowest level that it belongs to.
    pub fn level(self) -> Level {
        match self {
            Self::Inspect | Self::Load | Self::Answers => Level::Basic,
            _ => Level::Standard,
        }
    }

    /// The checks without which it makes no sense: when one of them failed, this one is not made.
    pub fn needs(self) -> &'static [Self] {
        match self {
            Self::Inspect => &[],
            Self::Load => &[Self::Inspect],
            Self::Answers | Self::BadConfig | Self::FailingHost | Self::Shutdown => {
                &[Self::Inspect, Self::Load]
            }
            Self::MethodsLineUp | Self::SameAnswer | Self::Reload | Self::SideBySide => {
                &[Self::Inspect, Self::Load, Self::Answers]
            }
        }
    }

    /// What it shows, in a sentence.
    pub fn shows(self) -> &'static str {
        match self {
            Self::Inspect => "inspection finds nothing to refuse",
            Self::Load => "it opens, accepts its config, starts and shuts down in time",
            Self::Answers => "both methods answer batches of 0, 1, 16 and 4096 states in time",
            Self::MethodsLineUp => "what one method sends is what the other says is wanted",
            Self::SameAnswer => "the same question gets the same answer",
            Self::BadConfig => "a bad config is refused with the name of a key",
            Self::FailingHost => "it survives a server that fails",
            Self::Shutdown => "nothing of it is left after shutdown",
            Self::Reload => "it can be loaded again and again",
            Self::SideBySide => "two instances do not disturb each other",
        }
    }

    /// Its name, as the command line and the reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Load => "load",
            Self::Answers => "answers",
            Self::MethodsLineUp => "methods-line-up",
            Self::SameAnswer => "same-answer",
            Self::BadConfig => "bad-config",
            Self::FailingHost => "failing-host",
            Self::Shutdown => "shutdown",
            Self::Reload => "reload",
            Self::SideBySide => "side-by-side",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_command_line_and_of_the_reports() {
        for check in Check::ALL {
            let value = check.to_possible_value().expect("no check is hidden");
            assert_eq!(value.get_name(), check.name());
            assert_eq!(serde_json::to_value(check).expect("JSON"), check.name());
        }
    }

    #[test]
    fn what_a_check_needs_is_made_before_it_and_at_its_level() {
        for check in Check::ALL {
            for needed in check.needs() {
                assert!(*needed < check && needed.level() <= check.level(), "{check}");
            }
        }
    }
}

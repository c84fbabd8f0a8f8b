//! The conformance suite: does a module keep the contract? It loads the module as the server does, with a scripted
//! server around it, and makes each check in a process of its own, so that a crash is a verdict like any other.
//!
//! Knows the modules and what a config says of them; no HTTP, no engine.

mod bench;
mod check;
mod checks;
mod child;
mod journal;
mod junit;
mod line_up;
mod outcome;
mod people;
mod process;
mod random;
mod records;
mod report;
mod resources;
mod server;
mod suite;
mod task;
mod variants;

pub use crate::verify::check::{Check, Level};
pub use crate::verify::child::child;
pub use crate::verify::junit::junit;
pub use crate::verify::outcome::{Finding, Outcome, Severity};
pub use crate::verify::people::likely_server;
pub use crate::verify::report::{CheckReport, Report, Verdict};
pub use crate::verify::suite::{Progress, Suite, SuiteError};
pub use crate::verify::task::Subject;

/// The subcommand by which a program is started as the child of a suite; it has to call [`child`].
pub const CHILD_COMMAND: &str = "verify-child";

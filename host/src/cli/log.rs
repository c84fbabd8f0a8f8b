//! Where logs go: to stderr, as `log:` in the config says.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::problem::Problems;
use crate::config::{Log, LogFormat};

/// Starts logging. Once a process.
pub(super) fn start(log: &Log) -> Result<(), Problems> {
    let filter =
        EnvFilter::try_new(&log.level).map_err(|error| Problems::other(format!("log.level: {error}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Problems::other(format!("logging cannot be started: {error}")))
}

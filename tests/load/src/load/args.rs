//! The arguments of the load.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::output::Format;

/// Writers and syncers, without a subcommand.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets file (see below)
    #[arg(long)]
    pub(crate) targets: Option<PathBuf>,
    /// Connections that write
    #[arg(long, default_value_t = 16)]
    pub(crate) connections: usize,
    /// Updates a second of all connections together; 0 is a closed loop: as fast as they are answered
    #[arg(long, default_value_t = 0.0)]
    pub(crate) rate: f64,
    /// Users that long-poll /sync instead of writing, besides the observers
    #[arg(long, default_value_t = 0)]
    pub(crate) syncers: usize,
    /// Which users these are
    #[arg(long, value_enum, default_value_t = Pick::Stride)]
    pub(crate) pick: Pick,
    /// No observer syncs (else all of them do when --syncers is above 0, or with --observers)
    #[arg(long)]
    pub(crate) no_observers: bool,
    /// Observers sync though --syncers is 0
    #[arg(long)]
    pub(crate) observers: bool,
    /// Seconds that are measured
    #[arg(long, default_value_t = 20.0)]
    pub(crate) duration: f64,
    /// Seconds of the same load before
    #[arg(long, default_value_t = 3.0)]
    pub(crate) warmup: f64,
    /// Seconds of syncing after the last update
    #[arg(long, default_value_t = 3.0)]
    pub(crate) drain: f64,
    /// Filter of /sync: "presence" (nothing but presence), "none", or one in JSON
    #[arg(long, default_value = "presence")]
    pub(crate) filter: String,
    /// `set_presence` of /sync
    #[arg(long, default_value = "offline")]
    pub(crate) set_presence: String,
    /// Timeout of /sync in milliseconds; up to 9999 are added, others in each run, because Synapse answers a
    /// repeated, identical /sync from a cache for two minutes
    #[arg(long, default_value_t = 30_000)]
    pub(crate) sync_timeout: u64,
    /// Process of the server, whose CPU and memory count, with those of all that it started; may be repeated
    #[arg(long)]
    pub(crate) pid: Vec<u32>,
    /// Threads of the generator
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
    /// Directory to which every answer of /sync is written; spoils the times
    #[arg(long)]
    pub(crate) trace: Option<PathBuf>,
    /// Text that is copied into the result
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
}

/// Which of the users sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pick {
    /// Spread over the list, so that every room has its share
    Stride,
    /// The first
    Head,
    /// The last
    Tail,
}

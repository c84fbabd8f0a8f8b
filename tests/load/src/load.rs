//! The load itself: writers set presence, syncers long-poll; what both saw is counted and timed.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::crew::{Crew, Task, runtime};
use crate::http::{Authority, Buffers, PATIENCE};
use crate::output::Format;
use crate::plan::{Plan, writers};
use crate::report::{Report, Results};
use crate::run::{Run, Window};
use crate::stamp::{Tag, random};
use crate::syncer::sync_path;
use crate::syncs::first_syncs;
use crate::targets::Targets;
use crate::usage::{Usage, Used};

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
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
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

/// Runs it, and answers with what was measured.
pub(crate) fn run(args: &Args) -> Result<Report> {
    let path = args
        .targets
        .as_deref()
        .context("--targets is missing: which server, which users?")?;
    let targets = Targets::load(path)?;
    let plan = Plan::new(&targets.users, args)?;
    let window = Window::after(args.warmup, args.duration)
        .context("--warmup and --duration are to be seconds, and --duration more than 0; a day at most")?;
    let drain = Duration::try_from_secs_f64(args.drain).context("--drain is to be seconds")?;
    let number = random();
    let authority = Authority::of(&targets.base_url)?;
    // Synapse answers a repeated, identical sync from a cache for two minutes.
    let timeout = Duration::from_millis(args.sync_timeout.saturating_add(number % 10_000));
    let run = Arc::new(Run {
        targets,
        authority,
        tag: Tag::new(number),
        started: OnceLock::new(),
        window,
        sync_path: sync_path(timeout, &args.set_presence, &args.filter),
    });
    let task = Task {
        threads: args.threads.into(),
        listeners: runtime()?.block_on(first_syncs(&run, &plan.syncers))?,
        writers: writers(&plan.writers, args.rate, args.connections),
        buffers: Buffers::Kept,
        patience: timeout.saturating_add(PATIENCE),
        trace: args.trace.clone(),
    };
    let mut crew = Crew::open(&run, &task)?;
    let (writers, listeners) = (plan.writers.len(), task.listeners.len());
    eprintln!(
        "{writers} writers on {} connections, {listeners} syncers",
        args.connections
    );
    crew.listen();
    crew.write();
    let usage = measure(&run, &args.pid)?;
    let measured = crew.end(if listeners == 0 { Duration::ZERO } else { drain })?;
    Ok(Results {
        label: &args.label,
        run: &run,
        writers,
        connections: args.connections,
        listeners,
        rate: args.rate,
        seconds: args.duration,
        usage,
        measured,
    }
    .report())
}

/// What everybody takes in the window of a run that has begun.
pub(crate) fn measure(run: &Run, server: &[u32]) -> Result<Used> {
    sleep_until(run.at(run.window.from));
    let before = Usage::now(server)?;
    sleep_until(run.at(run.window.to));
    Usage::now(server)?.since(&before, run.window.seconds())
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

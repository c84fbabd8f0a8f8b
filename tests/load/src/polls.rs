//! Very many long-polls at once: what one costs the server, and how late updates come while all of them wait.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::crew::{Crew, Task, runtime};
use crate::http::{Authority, Buffers, PATIENCE};
use crate::load::{Pick, measure};
use crate::output::Format;
use crate::plan::{pick, writers};
use crate::report::{Report, Results};
use crate::run::{Run, Window};
use crate::stamp::{Tag, random};
use crate::stats::{float_of, round};
use crate::syncer::sync_path;
use crate::syncs::first_syncs;
use crate::table::Table;
use crate::targets::Targets;
use crate::usage::{Memory, cpu_seconds, own_memory};

/// How long the server may be busy before its memory is looked at.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);

/// The server is at rest when it took less than two ticks of the clock in this time.
const REST: Duration = Duration::from_millis(500);

/// Files that are open besides the connections.
const OTHER_FILES: usize = 50;

/// Open very many long-polls and say what one costs; then write, and say how late updates arrive.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets file, as for the load
    #[arg(long)]
    targets: PathBuf,
    /// Long-polls, each on a connection of its own
    #[arg(long)]
    polls: usize,
    /// How many users poll: several polls may be of one. Without it one a poll, but at most half of the users
    #[arg(long)]
    pollers: Option<usize>,
    /// Updates a second, of users who do not poll; 0 writes nothing
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Connections that write
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds of writing that are measured
    #[arg(long, default_value_t = 20.0)]
    duration: f64,
    /// Seconds of the same before
    #[arg(long, default_value_t = 3.0)]
    warmup: f64,
    /// Seconds of polling after the last update
    #[arg(long, default_value_t = 3.0)]
    drain: f64,
    /// Timeout of the polls in milliseconds
    #[arg(long, default_value_t = 600_000)]
    sync_timeout: u64,
    /// Process of the server, whose CPU and memory count, with those of all that it started; may be repeated
    #[arg(long, required = true)]
    pid: Vec<u32>,
    /// Threads of the generator
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Text that is copied into the result
    #[arg(long, default_value = "")]
    label: String,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
}

/// The result.
#[derive(Debug, Serialize)]
pub(crate) struct PollsReport {
    polls: usize,
    pollers: usize,
    /// The server's memory before anything was asked.
    rss_start_mib: f64,
    /// When every poller had synced once.
    rss_ready_mib: f64,
    /// When every connection was open and had been answered once.
    rss_idle_mib: f64,
    /// When every poll waited.
    rss_parked_mib: f64,
    /// When the updates were over.
    rss_end_mib: f64,
    bytes_per_idle_connection: f64,
    /// With its connection.
    bytes_per_poll: f64,
    opening_seconds: f64,
    parking_seconds: f64,
    generator_rss_mib: f64,
    #[serde(flatten)]
    load: Report,
}

/// Runs it, and answers with what was measured.
pub(crate) fn run(args: &Args) -> Result<PollsReport> {
    let targets = Targets::load(&args.targets)?;
    let writing = if args.rate > 0.0 { args.connections } else { 0 };
    allow_files(args.polls + writing + OTHER_FILES)?;
    let plain: Vec<usize> = (0..targets.users.len())
        .filter(|user| targets.users.get(*user).is_some_and(|user| !user.is_observer()))
        .collect();
    let pollers = args.pollers.unwrap_or(args.polls.min(plain.len() / 2));
    if args.polls == 0 || pollers == 0 || pollers > args.polls || pollers + writing > plain.len() {
        bail!(
            "{} polls of {pollers} users, and {writing} connections for the others, are not possible with {} users",
            args.polls,
            plain.len()
        );
    }
    let polling = pick(&plain, pollers, Pick::Stride);
    let others: Vec<usize> = plain.into_iter().filter(|user| !polling.contains(user)).collect();
    let window = Window::after(args.warmup, args.duration)
        .context("--warmup and --duration are to be seconds, and --duration more than 0; a day at most")?;
    let drain = Duration::try_from_secs_f64(args.drain).context("--drain is to be seconds")?;
    let number = random();
    let timeout = Duration::from_millis(args.sync_timeout.saturating_add(number % 10_000));
    let run = Arc::new(Run {
        authority: Authority::of(&targets.base_url)?,
        targets,
        tag: Tag::new(number),
        started: OnceLock::new(),
        window,
        sync_path: sync_path(timeout, "offline", "presence"),
    });

    let rss_start_mib = resident(&args.pid)?;
    let polling: Vec<usize> = polling.into_iter().collect();
    let since = runtime()?.block_on(first_syncs(&run, &polling))?;
    let rss_ready_mib = settled(&args.pid)?;
    let task = Task {
        threads: args.threads.into(),
        listeners: since.into_iter().cycle().take(args.polls).collect(),
        writers: writers(&others, args.rate, writing),
        buffers: Buffers::Released,
        patience: timeout.saturating_add(PATIENCE),
        trace: None,
    };
    let started = Instant::now();
    let mut crew = Crew::open(&run, &task)?;
    let opening_seconds = started.elapsed().as_secs_f64();
    let rss_idle_mib = settled(&args.pid)?;
    eprintln!(
        "{} connections are open; the server has {rss_idle_mib} MiB",
        args.polls
    );
    let started = Instant::now();
    crew.listen();
    let rss_parked_mib = settled(&args.pid)?;
    let parking_seconds = started.elapsed().as_secs_f64();
    eprintln!("{} polls wait; the server has {rss_parked_mib} MiB", args.polls);
    crew.write();
    let usage = measure(&run, &args.pid)?;
    let (rss_end_mib, generator_rss_mib) = (resident(&args.pid)?, own_memory()?);
    let measured = crew.end(drain)?;
    let each = |mib: f64| round((mib - rss_ready_mib) * 1024.0 * 1024.0 / float_of(args.polls), 0);
    Ok(PollsReport {
        polls: args.polls,
        pollers,
        rss_start_mib,
        rss_ready_mib,
        rss_idle_mib,
        rss_parked_mib,
        rss_end_mib,
        bytes_per_idle_connection: each(rss_idle_mib),
        bytes_per_poll: each(rss_parked_mib),
        opening_seconds: round(opening_seconds, 2),
        parking_seconds: round(parking_seconds, 2),
        generator_rss_mib,
        load: Results {
            label: &args.label,
            run: &run,
            writers: others.len(),
            connections: writing,
            listeners: args.polls,
            rate: args.rate,
            seconds: args.duration,
            usage,
            measured,
        }
        .report(),
    })
}

/// Raises the bound of open files to what is needed, as far as the system lets us.
fn allow_files(needed: usize) -> Result<()> {
    let needed = u64::try_from(needed).context("too many files")?;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        bail!(
            "{needed} open files are needed and {} allowed: name fewer polls, or several programs",
            limit.maximum.unwrap_or(0)
        );
    }
    limit.current = Some(needed);
    setrlimit(Resource::Nofile, limit).with_context(|| format!("cannot have {needed} open files"))
}

/// The memory of the server when it is at rest, in MiB.
fn settled(server: &[u32]) -> Result<f64> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    let used = || -> Result<f64> {
        let each = server.iter().map(|pid| cpu_seconds(*pid));
        each.sum()
    };
    let mut before = used()?;
    loop {
        thread::sleep(REST);
        let now = used()?;
        if now - before < 0.02 {
            return resident(server);
        }
        if Instant::now() > deadline {
            bail!("the server is busy though nothing is asked; its memory would say nothing");
        }
        before = now;
    }
}

fn resident(server: &[u32]) -> Result<f64> {
    let each = server.iter().map(|pid| Ok(Memory::of(*pid)?.rss_mib));
    each.sum()
}

impl PollsReport {
    /// For people.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.row("polls", format!("{} of {} users", self.polls, self.pollers));
        table.row("resident MiB at the start", self.rss_start_mib);
        table.row("after first syncs", self.rss_ready_mib);
        table.row("with idle connections", self.rss_idle_mib);
        table.row("with waiting polls", self.rss_parked_mib);
        table.row("after the updates", self.rss_end_mib);
        table.row("bytes a connection", self.bytes_per_idle_connection);
        table.row(
            "bytes a poll",
            format!("{} (its connection included)", self.bytes_per_poll),
        );
        table.row("generator, resident MiB", self.generator_rss_mib);
        table.append(self.load.table());
        table
    }
}

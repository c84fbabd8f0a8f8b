//! The load itself: writers set presence, syncers long-poll; what both saw is counted and timed.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::http::{Authority, Buffers, Connection};
use crate::load::args::Args;
use crate::load::plan::Plan;
use crate::load::report::{Measured, Report};
use crate::run::{Run, Window};
use crate::schedule::Schedule;
use crate::stamp::{Seen, Tag, Time, random};
use crate::syncer::{SyncTally, Syncer, first_sync, sync_path};
use crate::targets::Targets;
use crate::threads::{Share, runtime};
use crate::usage::Usage;
use crate::writer::{WriteTally, write};

pub(crate) mod args;
mod plan;
mod report;

/// Runs it, and answers with what was measured.
pub(crate) fn run(args: &Args) -> Result<Report> {
    let path = args
        .targets
        .as_deref()
        .context("--targets is missing: which server, which users?")?;
    let targets = Targets::load(path)?;
    let plan = Plan::new(&targets.users, args)?;
    let window = Window::after(args.warmup, args.duration)
        .context("--warmup and --duration are to be seconds, and --duration more than 0")?;
    let drain = Duration::try_from_secs_f64(args.drain).context("--drain is to be seconds")?;
    let number = random();
    let authority = Authority::of(&targets.base_url)?;
    // Synapse answers a repeated, identical sync from a cache for two minutes.
    let timeout = Duration::from_millis(args.sync_timeout.saturating_add(number % 10_000));
    let mut run = Run {
        targets,
        authority,
        tag: Tag::new(number),
        time: Time(Instant::now()),
        window,
        sync_path: sync_path(timeout, &args.set_presence, &args.filter),
    };
    let since = runtime()?.block_on(first_syncs(&run, &plan.syncers))?;
    eprintln!(
        "{} writers on {} connections, {} syncers",
        plan.writers.len(),
        args.connections,
        since.len()
    );
    run.time = Time(Instant::now());
    let run = Arc::new(run);
    let (stop, (all_written, written)) = (CancellationToken::new(), mpsc::channel());
    let threads: Vec<_> = Share::all(args.threads)
        .map(|share| {
            let work = Work {
                run: run.clone(),
                connections: connections(share, &plan.writers, args),
                syncers: share.of(&since).cloned().collect(),
                trace: args.trace.clone(),
                all_written: all_written.clone(),
                stop: stop.clone(),
            };
            thread::spawn(|| -> Result<Done> { Ok(runtime()?.block_on(work.done())) })
        })
        .collect();
    drop(all_written);

    sleep_until(run.time.0 + run.window.from);
    let before = Usage::now(&args.pid)?;
    sleep_until(run.time.0 + run.window.to);
    let usage = Usage::now(&args.pid)?.since(&before, args.duration)?;
    // Nothing is ever sent: it ends when the last thread has written all.
    let _ = written.recv();
    if !since.is_empty() {
        thread::sleep(drain);
    }
    stop.cancel();
    let (mut writes, mut syncs) = (WriteTally::new(), SyncTally::new());
    for thread in threads {
        let done = thread
            .join()
            .map_err(|_| anyhow!("a thread of the load has panicked"))??;
        writes.merge(done.0);
        syncs.merge(done.1);
    }
    Ok(Measured {
        args,
        run: &run,
        plan: &plan,
        usage,
        writes,
        syncs,
    }
    .report())
}

/// The syncers' first syncs, one after another: on a server that takes long for each, all at once would time out.
async fn first_syncs(run: &Run, syncers: &[usize]) -> Result<Vec<(usize, String)>> {
    let mut connection = Connection::new(&run.authority, Buffers::Kept);
    let mut ready = Vec::with_capacity(syncers.len());
    for &user in syncers {
        let token = run.targets.users.get(user).map_or("", |user| &user.token);
        let since = first_sync(&run.authority, &mut connection, &run.sync_path, token).await?;
        ready.push((user, since));
    }
    Ok(ready)
}

/// The writing connections of a thread: the users of each, and when it writes.
fn connections(share: Share, writers: &[usize], args: &Args) -> Vec<(Vec<usize>, Schedule)> {
    let all: Vec<usize> = (0..args.connections).collect();
    let users = |index| writers.iter().copied().skip(index).step_by(args.connections);
    let schedule = |index| Schedule::new(args.rate, index, args.connections);
    share
        .of(&all)
        .map(|&index| (users(index).collect(), schedule(index)))
        .collect()
}

/// What one thread does.
struct Work {
    run: Arc<Run>,
    connections: Vec<(Vec<usize>, Schedule)>,
    syncers: Vec<(usize, String)>,
    trace: Option<std::path::PathBuf>,
    /// Dropped when all of the thread's updates are written.
    all_written: mpsc::Sender<()>,
    stop: CancellationToken,
}

/// What one thread has measured.
struct Done(WriteTally, SyncTally);

impl Work {
    async fn done(self) -> Done {
        let writes = Arc::new(Mutex::new(WriteTally::new()));
        let syncs = Arc::new(Mutex::new(SyncTally::new()));
        let mut listening = tokio::task::JoinSet::new();
        for (user, since) in self.syncers {
            let mut syncer = Syncer {
                run: self.run.clone(),
                user,
                since,
                connection: Connection::new(&self.run.authority, Buffers::Kept),
                tally: syncs.clone(),
                trace: self.trace.clone(),
            };
            let stop = self.stop.clone();
            listening.spawn(async move {
                let mut seen = Seen::default();
                stop.run_until_cancelled(syncer.listen(&mut seen)).await;
                syncer.tally.lock().seen.push((user, seen));
            });
        }
        let mut writing = tokio::task::JoinSet::new();
        for (users, schedule) in self.connections {
            writing.spawn(write(self.run.clone(), users, schedule, writes.clone()));
        }
        writing.join_all().await;
        drop(self.all_written);
        listening.join_all().await;
        let (mut all_writes, mut all_syncs) = (WriteTally::new(), SyncTally::new());
        std::mem::swap(&mut all_writes, &mut writes.lock());
        std::mem::swap(&mut all_syncs, &mut syncs.lock());
        Done(all_writes, all_syncs)
    }
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

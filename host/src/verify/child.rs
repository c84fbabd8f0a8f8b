//! The child process: makes one check and writes what it found into the journal. Here the code of a module runs; what it
//! does to this process is the verdict of the check, and nothing else's.

use std::io::Read;
use std::panic::AssertUnwindSafe;

use anyhow::Context;
use futures_util::FutureExt;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use tokio::runtime::Builder;

use crate::verify::bench::Bench;
use crate::verify::checks;
use crate::verify::journal::Journal;
use crate::verify::outcome::{Finding, Outcome};
use crate::verify::records::Records;
use crate::verify::resources::OWN_THREADS;
use crate::verify::task::Task;

/// Reads a task from standard input and does it. The exit code tells the parent nothing: the journal does.
pub fn child() -> anyhow::Result<()> {
    // Whoever started this reads the answer; without them, nobody does. What crashes on purpose leaves no core file.
    set_parent_process_death_signal(Some(Signal::KILL)).context("the parent's end cannot be noticed")?;
    let no_core = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, no_core).context("core files cannot be turned off")?;

    let mut task = String::new();
    std::io::stdin()
        .read_to_string(&mut task)
        .context("no task can be read")?;
    let task: Task = serde_json::from_str(&task).context("the task is none")?;
    let journal = Journal::open(&task.journal).context("the journal cannot be opened")?;
    let records = Records::start();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(OWN_THREADS)
        .enable_all()
        .build()
        .context("no threads can be started")?;

    let check = task.check;
    let bench = match Bench::new(task, journal) {
        Ok(bench) => bench,
        Err(finding) => anyhow::bail!("{}: {}", finding.message, finding.details.join(" ")),
    };
    let outcome = runtime.block_on(async {
        let mut outcome = Outcome::default();
        let made = AssertUnwindSafe(checks::make(check, &bench, &mut outcome))
            .catch_unwind()
            .await;
        match made {
            Ok(Ok(())) => {}
            Ok(Err(finding)) => outcome.find(finding),
            Err(_) => outcome.find(Finding::failure(
                "the check itself panicked; this is a fault of the host",
            )),
        }
        outcome
    });
    let outcome = with_panics(outcome, &records);
    bench
        .journal()
        .finish(outcome)
        .context("the journal cannot be written")?;
    bench.step("ending the process");
    // What a module has left running has been found, or is none of this check's business.
    runtime.shutdown_background();
    Ok(())
}

/// Panics that no answer told of: in the background, in drops.
fn with_panics(mut outcome: Outcome, records: &Records) -> Outcome {
    for panic in records.take_panics() {
        let known = outcome.findings.iter().any(|finding| {
            finding.message.contains(&panic) || finding.details.iter().any(|detail| detail.contains(&panic))
        });
        if !known {
            outcome.find(Finding::failure(panic));
        }
    }
    outcome
}

//! Loaded, started, asked and shut down a hundred times, each a generation of its own, as an operator's reloads do it:
//! what the process holds does not grow. Memory does, as a library stays mapped; how much is noted.

use crate::verify::bench::{Bench, Remains, call_failed, left_over, resources, until_gone};
use crate::verify::outcome::{Finding, Outcome};
use crate::verify::resources::memory;

/// How often it is loaded.
const CYCLES: usize = 100;
/// What is made once, lazily, is made by then.
const WARM_UP: usize = 3;

pub(super) async fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    let mut all = Vec::with_capacity(CYCLES);
    for _ in 0..WARM_UP {
        all.push(cycle(bench, "warming up").await?);
    }
    // What stays after three stays after a hundred: that takes no more waiting to show.
    gone(&all).await?;
    let (before, memory_before) = (resources()?, memory());
    for number in 1..=CYCLES {
        all.push(cycle(bench, &format!("reload {number}")).await?);
    }
    bench.step("waiting until nothing is left of the instances");
    if let Err(finding) = gone(&all).await {
        outcome.find(finding);
    }
    for left in left_over(&before).await? {
        outcome.find(Finding::failure(format!(
            "after {CYCLES} reloads there is more: {left}"
        )));
    }
    let grown = memory().saturating_sub(memory_before);
    outcome.note(format!(
        "{CYCLES} reloads, {} KiB of memory each",
        grown / 1024 / u64::try_from(CYCLES).unwrap_or(1)
    ));
    Ok(())
}

/// Waits until nothing is left of these instances.
async fn gone(all: &[Remains]) -> Result<(), Finding> {
    if until_gone(|| all.iter().all(Remains::is_gone)).await {
        return Ok(());
    }
    let alive = all.iter().filter(|remains| !remains.is_gone()).count();
    Err(Finding::failure(format!(
        "{alive} of {} instances are still there after their shutdown",
        all.len()
    )))
}

async fn cycle(bench: &Bench, what: &str) -> Result<Remains, Finding> {
    let opened = bench.open()?;
    bench.step(what);
    let instance = bench.start(&opened, "verified").await?;
    let states = bench.people.any_states(bench.people.users(), &mut bench.random());
    let in_cycle = |finding: Finding| finding.detail(format!("in {what}"));
    let routed = instance.route(&states, None).await;
    routed.map_err(|error| in_cycle(call_failed("get_users_for_states", &error)))?;
    if let Some(user) = bench
        .people
        .users()
        .iter()
        .find(|user| bench.people.is_local(user))
    {
        let interested = instance.interested(user).await;
        interested.map_err(|error| in_cycle(call_failed("get_interested_users", &error)))?;
    }
    bench.end(instance).await.map_err(in_cycle)
}

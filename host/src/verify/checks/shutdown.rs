//! After `shutdown` nothing of an instance is left: no thread, no task, no descriptor, no signal handler, and nobody who
//! still holds its `ModuleApi`. A call after it is answered with an error.

use crate::verify::bench::{Bench, left_over, resources, until_gone};
use crate::verify::outcome::{Finding, Outcome};

pub(super) async fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    let states = bench.people.any_states(bench.people.users(), &mut bench.random());
    let before = resources()?;
    let opened = bench.open()?;
    let instance = bench.start(&opened, "verified").await?;
    instance.rest().await;
    // What it does lazily is done, whatever it answers: that is for another check.
    bench.step("both methods, before the shutdown");
    let _ = instance.route(&states, None).await;
    if let Some(user) = bench.people.users().first() {
        let _ = instance.interested(user).await;
    }
    let remains = bench.end(instance).await?;
    drop(opened);
    bench.step("waiting until nothing is left of the instance");
    if !until_gone(|| remains.is_gone()).await {
        outcome.find(
            Finding::failure("something still holds the instance's ModuleApi after shutdown")
                .detail("a thread, a static, or the router itself, which is then never dropped"),
        );
    }
    for left in left_over(&before).await? {
        outcome.find(Finding::failure(format!("left behind after shutdown: {left}")));
    }
    Ok(())
}

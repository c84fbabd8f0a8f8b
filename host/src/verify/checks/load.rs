//! From the file to a running instance, and to its end, each in time. What hangs before a deadline of the host's own is
//! killed with the process.

use tokio::time::Instant;

use crate::verify::bench::Bench;
use crate::verify::outcome::{Finding, Outcome};

pub(super) async fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    let begun = Instant::now();
    let opened = bench.open()?;
    let open = begun.elapsed();
    let begun = Instant::now();
    let instance = bench.start(&opened, "verified").await?;
    let start = begun.elapsed();
    // What it begins in the background has its chance to fail.
    instance.rest().await;
    let begun = Instant::now();
    bench.end(instance).await?;
    let end = begun.elapsed();
    outcome.note(format!(
        "opened in {} ms, started in {} ms, shut down in {} ms",
        open.as_millis(),
        start.as_millis(),
        end.as_millis()
    ));
    Ok(())
}

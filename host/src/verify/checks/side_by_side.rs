//! Two instances at once, as during a reload or with two entries in a config: what one does, its end included, changes
//! nothing for the other.

use crate::verify::bench::{Bench, until_gone};
use crate::verify::checks::same_answer::said;
use crate::verify::outcome::{Finding, Outcome};

pub(super) async fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    let states = bench.people.any_states(bench.people.users(), &mut bench.random());
    // Of one library, and of two: an operator may name one file twice, and a reload makes a copy.
    for what in ["of one library", "of two generations of it"] {
        let opened = bench.open()?;
        let other = if what == "of one library" {
            opened.clone()
        } else {
            bench.open()?
        };
        let first = bench.start(&opened, "first").await?;
        let alone = said(bench, &first, &states).await?;
        let second = bench
            .start(&other, "second")
            .await
            .map_err(|finding| finding.detail(format!("beside another instance, {what}")))?;
        let beside = said(bench, &second, &states).await?;
        if let Some(finding) = alone.differs_from(&beside, "the first of two instances, then the second") {
            return Err(finding);
        }
        let meanwhile = said(bench, &first, &states).await?;
        if let Some(finding) = alone.differs_from(&meanwhile, "alone, then beside another instance") {
            return Err(finding);
        }
        let remains = bench.end(second).await?;
        until_gone(|| remains.is_gone()).await;
        let after = said(bench, &first, &states)
            .await
            .map_err(|finding| finding.detail("after another instance was shut down"))?;
        if let Some(finding) = alone.differs_from(&after, "before and after another instance was shut down") {
            return Err(finding);
        }
        bench.end(first).await?;
    }
    outcome.note("two of one library, and two generations");
    Ok(())
}

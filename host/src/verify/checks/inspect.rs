//! What can be seen without running the module: every check of inspection passes, and it describes itself. No code of the
//! module runs.

use crate::modules::Verdict;
use crate::verify::bench::{Bench, lines};
use crate::verify::outcome::{Finding, Outcome};

pub(super) fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    bench.step("inspecting the file");
    let report = bench
        .inspect(&bench.subject.file)
        .map_err(|refusal| lines(Finding::failure("the file cannot be inspected"), refusal))?;
    for result in report
        .checks
        .iter()
        .filter(|result| result.verdict == Verdict::Refused)
    {
        outcome.find(Finding::failure(format!("{}: {}", result.check, result.detail)));
    }
    let Some(manifest) = &report.manifest else {
        return Ok(());
    };
    if manifest.description.is_empty() {
        outcome.find(
            Finding::warning("it has no description")
                .detail("in Cargo.toml: description = \"what it does, in a sentence\""),
        );
    }
    outcome.note(format!(
        "{} {}, built with presence-router-api {}",
        manifest.name, manifest.version, manifest.sdk_version
    ));
    Ok(())
}

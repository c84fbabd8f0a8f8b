//! The checks, a file each. They run in a child process; what they cannot survive, the parent tells.

mod answers;
mod bad_config;
mod failing_host;
mod inspect;
mod load;
mod methods_line_up;
mod reload;
mod same_answer;
mod shutdown;
mod side_by_side;

use crate::verify::Check;
use crate::verify::bench::Bench;
use crate::verify::outcome::{Finding, Outcome};

/// Makes a check. What ends it early is the error; what was found before is in the outcome.
pub(super) async fn make(check: Check, bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    match check {
        Check::Inspect => inspect::make(bench, outcome),
        Check::Load => load::make(bench, outcome).await,
        Check::Answers => answers::make(bench, outcome).await,
        Check::MethodsLineUp => methods_line_up::make(bench, outcome).await,
        Check::SameAnswer => same_answer::make(bench, outcome).await,
        Check::BadConfig => bad_config::make(bench, outcome).await,
        Check::FailingHost => failing_host::make(bench, outcome).await,
        Check::Shutdown => shutdown::make(bench, outcome).await,
        Check::Reload => reload::make(bench, outcome).await,
        Check::SideBySide => side_by_side::make(bench, outcome).await,
    }
}

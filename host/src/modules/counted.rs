//! Counts a call, for the metrics and for the instance's own figures, however it ends.

use crate::metrics::{Method, ModuleMetrics, Outcome, RunningCall};
use crate::modules::figures::Figures;
use crate::modules::running::CallError;

/// A call that runs. Dropped without an [`end`](Self::end), it counts as abandoned.
pub(super) struct Counted<'a> {
    /// There until the drop.
    running: Option<RunningCall<'a>>,
    figures: &'a Figures,
    outcome: Outcome,
}

impl<'a> Counted<'a> {
    pub(super) fn begin(metrics: &'a ModuleMetrics, figures: &'a Figures, method: Method) -> Self {
        Self {
            running: Some(metrics.begin(method)),
            figures,
            outcome: Outcome::Abandoned,
        }
    }

    pub(super) fn end<T>(mut self, answer: &Result<T, CallError>) {
        self.outcome = outcome(answer);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.figures.count(self.outcome, running.took());
            running.end(self.outcome);
        }
    }
}

fn outcome<T>(answer: &Result<T, CallError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Ok,
        Err(CallError::Failed(_)) => Outcome::Error,
        Err(CallError::Panicked(_)) => Outcome::Panic,
        Err(CallError::TimedOut(_)) => Outcome::Timeout,
        Err(CallError::Quarantined(_)) => Outcome::Quarantined,
        Err(CallError::Off) => Outcome::Off,
        Err(CallError::Wrong(_)) => Outcome::Wrong,
        Err(CallError::ShutDown) => Outcome::ShutDown,
        Err(CallError::CutOff) => Outcome::CutOff,
        Err(CallError::Blocked(_)) => Outcome::Blocked,
        Err(CallError::Busy(_) | CallError::NotReached(_)) => Outcome::Busy,
    }
}

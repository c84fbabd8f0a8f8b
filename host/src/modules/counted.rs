//! In which words of the metrics a call to a module has ended.

use crate::metrics::Outcome;
use crate::modules::running::CallError;

pub(super) fn outcome<T>(answer: &Result<T, CallError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Ok,
        Err(CallError::Failed(_)) => Outcome::Error,
        Err(CallError::Panicked(_)) => Outcome::Panic,
        Err(CallError::TimedOut(_)) => Outcome::Timeout,
        Err(CallError::Quarantined(_)) => Outcome::Quarantined,
        Err(CallError::Wrong(_)) => Outcome::Wrong,
        Err(CallError::ShutDown) => Outcome::ShutDown,
        Err(CallError::CutOff) => Outcome::CutOff,
        Err(CallError::Blocked(_)) => Outcome::Blocked,
    }
}

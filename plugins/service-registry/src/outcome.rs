//! How a poll of the registry may end: what the metrics and the log call it.

use presence_router_api::{ApiError, Counter, HttpError, ModuleApi};

/// The longest text of an error that is logged, in characters: a registry chooses part of it.
const MAX_LOGGED: usize = 300;

/// How a poll ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a list of services.
    Ok,
    /// Without an answer.
    Unreachable,
    /// Without all of an answer in time.
    Timeout,
    /// With a status of failure.
    Status,
    /// With an answer that is none.
    BadAnswer,
}

/// Why a poll gave no list.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
}

/// The counter of polls, by outcome.
#[derive(Debug)]
pub(crate) struct Polls([Counter; 5]);

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Ok,
        Self::Unreachable,
        Self::Timeout,
        Self::Status,
        Self::BadAnswer,
    ];

    /// The value of the metric's label `outcome`.
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::BadAnswer => "bad_answer",
        }
    }
}

impl Failed {
    pub(crate) fn bad_answer(reason: String) -> Self {
        Self {
            outcome: Outcome::BadAnswer,
            reason,
        }
    }
}

impl From<HttpError> for Failed {
    fn from(error: HttpError) -> Self {
        let outcome = match error {
            HttpError::Status(_) => Outcome::Status,
            HttpError::TimedOut(_) => Outcome::Timeout,
            HttpError::BadBody(_) | HttpError::TooLarge(_) => Outcome::BadAnswer,
            _ => Outcome::Unreachable,
        };
        Self {
            outcome,
            reason: error.to_string().chars().take(MAX_LOGGED).collect(),
        }
    }
}

impl Polls {
    /// All series are there from the start, at 0.
    pub(crate) fn new(api: &ModuleApi) -> Result<Self, ApiError> {
        let polls = api.counter(
            "polls_total",
            "How often the registry was asked, by what came of it.",
        )?;
        let of = |outcome: Outcome| -> Result<Counter, ApiError> {
            let counter = polls.with(&[("outcome", outcome.label())])?;
            counter.add(0);
            Ok(counter)
        };
        let [ok, unreachable, timeout, status, bad_answer] = Outcome::ALL.map(of);
        Ok(Self([ok?, unreachable?, timeout?, status?, bad_answer?]))
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        // In the order of `Outcome::ALL`, which is that of the declaration.
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.add(1);
        }
    }
}

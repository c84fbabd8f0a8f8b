//! What the suite found: as JSON through serde, as text through `Display`.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::verify::outcome::{Outcome, Severity};
use crate::verify::{Check, Level};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is as it should be.
    Passed,
    /// Nothing is broken, but there are warnings.
    Warned,
    /// The contract is broken.
    Failed,
    /// The module ended the process.
    Crashed,
    /// The process was killed at the deadline.
    Late,
    /// Not made, as an earlier one failed.
    Skipped,
}

/// A check, and how it went.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// The check.
    pub check: Check,
    /// How it went.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What it found.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// All that the suite found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The module's file.
    pub file: PathBuf,
    /// Which of its routers, when one was named.
    pub router: Option<String>,
    /// How much was asked of it.
    pub level: Level,
    /// With this seed the same is found again.
    pub seed: u64,
    /// The checks, in order.
    pub checks: Vec<CheckReport>,
}

impl Verdict {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome.worst() {
            None => Self::Passed,
            Some(Severity::Warning) => Self::Warned,
            Some(Severity::Failure) => Self::Failed,
        }
    }

    /// Whether the contract is broken.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Crashed | Self::Late)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "ok",
            Self::Warned => "warned",
            Self::Failed => "FAILED",
            Self::Crashed => "CRASHED",
            Self::Late => "LATE",
            Self::Skipped => "skipped",
        })
    }
}

impl Report {
    /// Whether the module passes at the level. A skipped check has another that failed.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|report| self.accepts(report.verdict))
    }

    /// Whether a verdict passes at the level.
    pub(super) fn accepts(&self, verdict: Verdict) -> bool {
        !verdict.is_bad() && (verdict != Verdict::Warned || self.level != Level::Strict)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for report in &self.checks {
            writeln!(f, "{report}")?;
        }
        let count = |is: fn(Verdict) -> bool| self.checks.iter().filter(|report| is(report.verdict)).count();
        let router = self
            .router
            .as_ref()
            .map(|router| format!(" ({router})"))
            .unwrap_or_default();
        write!(
            f,
            "\n{}{router}: {}: {} passed, {} warned, {} failed, {} skipped; seed {}",
            self.file.display(),
            if self.is_ok() { "ok" } else { "FAILED" },
            count(|verdict| verdict == Verdict::Passed),
            count(|verdict| verdict == Verdict::Warned),
            count(Verdict::is_bad),
            count(|verdict| verdict == Verdict::Skipped),
            self.seed,
        )
    }
}

impl fmt::Display for CheckReport {
    /// The verdict, the check, and what shows it; what was found stands below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            check,
            verdict,
            outcome,
            ..
        } = self;
        let notes = outcome.notes.join("; ");
        let line = format!("{verdict:<8}{check:<16}{}", printable(&notes));
        f.write_str(line.trim_end())?;
        for finding in &outcome.findings {
            let severity = match finding.severity {
                Severity::Warning => "warning",
                Severity::Failure => "failure",
            };
            write!(f, "\n        {severity}: {}", printable(&finding.message))?;
            for detail in &finding.details {
                write!(f, "\n            {}", printable(detail))?;
            }
        }
        Ok(())
    }
}

/// Text of a module, safe to print: no line break or escape of its own.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

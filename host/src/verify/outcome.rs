//! What a check found. Plain data: it crosses from the child process in the journal.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The contract is kept, but somebody will be sorry.
    Warning,
    /// The contract is broken.
    Failure,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in a line.
    pub message: String,
    /// What shows it, a line each.
    pub details: Vec<String>,
}

impl Finding {
    pub(super) fn failure(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Failure,
            message: message.into(),
            details: Vec::new(),
        }
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::failure(message)
        }
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }
}

/// All that a check found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What is not as it should be; empty when all is well.
    pub findings: Vec<Finding>,
    /// What was measured or counted on the way, a line each.
    pub notes: Vec<String>,
}

impl Outcome {
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(super) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The worst of the findings.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

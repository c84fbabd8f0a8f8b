//! Makes the checks of a level one after the other, and puts together what came of them. Runs no code of the module
//! itself: that is for the child processes.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::verify::outcome::{Finding, Outcome};
use crate::verify::process::{self, Ending};
use crate::verify::report::{CheckReport, Report, Verdict};
use crate::verify::task::{Subject, Task};
use crate::verify::{Check, Level};

/// What is to be verified, and how.
#[derive(Debug)]
pub struct Suite {
    /// The program that is started for each check: this one, or another that knows [`CHILD_COMMAND`].
    ///
    /// [`CHILD_COMMAND`]: crate::verify::CHILD_COMMAND
    pub program: PathBuf,
    /// The module.
    pub subject: Subject,
    /// How much is asked of it.
    pub level: Level,
    /// By which all is chosen that is chosen at random.
    pub seed: u64,
    /// How long a check may take; its process is killed then.
    pub deadline: Duration,
    /// The checks to make; empty for all of the level. What they need is made too.
    pub only: Vec<Check>,
    /// Checks to leave out.
    pub skip: Vec<Check>,
}

/// How far the suite is, for people.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// The check begins; it is the first number of so many.
    Begins(Check, usize, usize),
    /// It has ended.
    Ended(&'a CheckReport),
}

/// Why the suite could not be run. That a module is bad is none.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// There is no place for the files of a check.
    #[error("no directory can be made in `{}`; set TMPDIR to one that may be written", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No process can be started.
    #[error("no process can be started for the check {check}")]
    Process {
        /// The check.
        check: Check,
        /// Why.
        source: io::Error,
    },
}

impl Suite {
    /// Makes the checks. Each has a process of its own; none outlives this call.
    pub fn run(&self, mut progress: impl FnMut(Progress<'_>)) -> Result<Report, SuiteError> {
        let checks = self.checks();
        let mut reports: Vec<CheckReport> = Vec::with_capacity(checks.len());
        for (index, check) in checks.iter().copied().enumerate() {
            progress(Progress::Begins(check, index + 1, checks.len()));
            let broken = check.needs().iter().find(|needed| {
                let needed = reports.iter().find(|report| report.check == **needed);
                needed.is_some_and(|report| report.verdict.is_bad())
            });
            let report = match broken {
                Some(needed) => CheckReport {
                    check,
                    verdict: Verdict::Skipped,
                    seconds: 0.0,
                    outcome: Outcome {
                        notes: vec![format!("it needs what {needed} shows")],
                        ..Outcome::default()
                    },
                },
                None => self.make(check)?,
            };
            progress(Progress::Ended(&report));
            reports.push(report);
        }
        Ok(Report {
            file: self.subject.file.clone(),
            router: self.subject.router.clone(),
            level: self.level,
            seed: self.seed,
            checks: reports,
        })
    }

    /// Those of the level, or those that were asked for with all that they need; without those to be skipped.
    fn checks(&self) -> Vec<Check> {
        let wanted: BTreeSet<Check> = if self.only.is_empty() {
            Check::ALL
                .into_iter()
                .filter(|check| check.level() <= self.level)
                .collect()
        } else {
            let needed = self.only.iter().flat_map(|check| check.needs());
            self.only.iter().chain(needed).copied().collect()
        };
        wanted
            .into_iter()
            .filter(|check| !self.skip.contains(check))
            .collect()
    }

    fn make(&self, check: Check) -> Result<CheckReport, SuiteError> {
        let directory = temporary(&std::env::temp_dir())?;
        let (copies, work) = (directory.path().join("copies"), directory.path().join("work"));
        for part in [&copies, &work] {
            std::fs::create_dir(part).map_err(|source| SuiteError::Directory {
                path: directory.path().to_owned(),
                source,
            })?;
        }
        let task = Task {
            check,
            subject: self.subject.clone(),
            seed: self.seed,
            journal: directory.path().join("journal"),
            copies,
        };
        let begun = Instant::now();
        let ending = process::run(&self.program, &task, &work, self.deadline)
            .map_err(|source| SuiteError::Process { check, source })?;
        let seconds = begun.elapsed().as_secs_f64();
        let (verdict, outcome) = judge(ending, self.deadline);
        Ok(CheckReport {
            check,
            verdict,
            seconds,
            outcome,
        })
    }
}

/// Removed with all in it, also what a killed child has left.
fn temporary(parent: &Path) -> Result<tempfile::TempDir, SuiteError> {
    let made = tempfile::Builder::new()
        .prefix("presence-router-verify-")
        .tempdir_in(parent);
    made.map_err(|source| SuiteError::Directory {
        path: parent.to_owned(),
        source,
    })
}

fn judge(ending: Ending, deadline: Duration) -> (Verdict, Outcome) {
    let ended_early = |verdict, message: String, step: Option<String>, tail: Vec<String>| {
        let mut finding = Finding::failure(message);
        if let Some(step) = step {
            finding = finding.detail(format!("while: {step}"));
        }
        let finding = tail
            .into_iter()
            .fold(finding, |finding, line| finding.detail(format!("log: {line}")));
        let mut outcome = Outcome::default();
        outcome.find(finding);
        (verdict, outcome)
    };
    match ending {
        Ending::Done(outcome) => (Verdict::of(&outcome), outcome),
        Ending::Crashed { how, step, tail } => ended_early(
            Verdict::Crashed,
            format!("the process was ended: {how}"),
            step,
            tail,
        ),
        Ending::Late { step, tail } => {
            let message = format!("no end within {} s; the process was killed", deadline.as_secs());
            ended_early(Verdict::Late, message, step, tail)
        }
    }
}

//! What the benchmarks share: how one is run, its bars, what it measures with, the modules and the servers that it measures.
//!
//! A benchmark has groups for criterion, and bars: figures of which it is said what they should be. A bar compares what was
//! measured in one run, by turns, as machines are noisy. Knows nothing of what a single benchmark measures.
#![allow(dead_code, reason = "each benchmark uses a part of this")]

pub(crate) mod bar;
pub(crate) mod cpu;
pub(crate) mod module;
pub(crate) mod people;
pub(crate) mod server;

use std::process::ExitCode;
use std::time::Duration;

use criterion::Criterion;

use crate::kit::bar::Bar;

/// How large that is which is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// As the figures are wanted.
    Full,
    /// Only to see that it runs: with `--test`, and under `cargo test`.
    Small,
}

impl Scale {
    /// A number of users as it is wanted, or as many as are set up at once.
    pub(crate) fn users(self, wanted: usize) -> usize {
        match self {
            Self::Full => wanted,
            Self::Small => wanted.min(1_000),
        }
    }
}

/// Runs a benchmark: its groups, then its bars, one line each.
///
/// With `--test` its groups alone, once each; with `--bar` its bars alone; with a filter its groups alone.
pub(crate) fn run(groups: impl FnOnce(&mut Criterion, Scale), bars: impl FnOnce() -> Vec<Bar>) -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let has = |argument: &str| asked.iter().any(|asked| asked == argument);
    let bars_alone = has("--bar");
    if !bars_alone {
        let mut criterion = Criterion::default()
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(800))
            .sample_size(10)
            .without_plots()
            .configure_from_args();
        // As criterion has it: without `--bench` it is run by `cargo test`.
        let scale = if has("--test") || !has("--bench") {
            Scale::Small
        } else {
            Scale::Full
        };
        groups(&mut criterion, scale);
        criterion.final_summary();
    }
    if bars_alone || asked.iter().all(|argument| argument == "--bench") && !asked.is_empty() {
        let bars = bars();
        println!();
        for bar in bars {
            println!("{bar}");
        }
    }
    // A bar that is missed on a noisy machine is no failure.
    ExitCode::SUCCESS
}

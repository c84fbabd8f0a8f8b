//! `modules list` for people: a row a module, and below what is out of the ordinary.

use crate::operations::{Latency, ModuleState, ModuleStatus};

const HEADINGS: [&str; 14] = [
    "NAME",
    "ROUTER",
    "VERSION",
    "GEN",
    "STATE",
    "SHA256",
    "SINCE",
    "CALLS",
    "ERRORS",
    "PANICS",
    "TIMEOUTS",
    "P50/P99 MS",
    "QUEUE",
    "DIRTY",
];

/// The columns of words; the others are numbers, and stand to the right.
const WORDS: [usize; 5] = [0, 1, 2, 4, 5];

/// The table, at a time of day in milliseconds.
pub(super) fn text(modules: &[ModuleStatus], now: u64) -> String {
    if modules.is_empty() {
        return "no module is loaded".to_owned();
    }
    let rows = modules.iter().map(|module| row(module, now));
    let mut text = lines(HEADINGS, &WORDS, rows);
    text.extend(modules.iter().filter_map(notes));
    text.join("\n")
}

/// The headings and the rows, with their columns in line: to the left those of words, all others to the right.
pub(super) fn lines<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    words: &[usize],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> Vec<String> {
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows);
    let widths: Vec<usize> = (0..COLUMNS)
        .map(|column| lines.iter().map(|cells| width(cells, column)).max().unwrap_or(0))
        .collect();
    let aligned = lines.iter().map(|cells| aligned(cells, words, &widths));
    aligned.collect()
}

fn width(cells: &[String], column: usize) -> usize {
    cells.get(column).map_or(0, |cell| cell.chars().count())
}

fn aligned(cells: &[String], words: &[usize], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).enumerate();
    let cells: Vec<_> = cells
        .map(|(column, (cell, width))| {
            if words.contains(&column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        })
        .collect();
    cells.join("  ").trim_end().to_owned()
}

fn row(module: &ModuleStatus, now: u64) -> [String; 14] {
    let ModuleStatus {
        name,
        library,
        state,
        since_ms,
        calls,
        latency,
        queue,
        dirty_users,
        ..
    } = module;
    [
        name.clone(),
        library.router.clone(),
        library.version.clone(),
        library.generation.to_string(),
        state_word(*state).to_owned(),
        library.sha256.short(),
        age(now.saturating_sub(*since_ms)),
        calls.total.to_string(),
        calls.errors.to_string(),
        calls.panics.to_string(),
        calls.timeouts.to_string(),
        latency.as_ref().map_or_else(|| "-".to_owned(), latencies),
        queue.to_string(),
        dirty_users.to_string(),
    ]
}

fn state_word(state: ModuleState) -> &'static str {
    match state {
        ModuleState::Serving => "serving",
        ModuleState::Watched => "watched",
        ModuleState::Quarantined => "quarantined",
        ModuleState::Off => "off",
    }
}

fn latencies(latency: &Latency) -> String {
    format!("{}/{}", digits(latency.p50_ms), digits(latency.p99_ms))
}

/// As many digits as say something.
fn digits(ms: f64) -> String {
    if ms < 1.0 {
        format!("{ms:.3}")
    } else if ms < 100.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

/// How long ago, by its two largest units.
pub(super) fn age(ms: u64) -> String {
    format!("{} ago", span(ms))
}

/// A time by its two largest units.
pub(super) fn span(ms: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let seconds = ms / 1_000;
    let first = UNITS.iter().position(|(_, unit)| seconds >= *unit).unwrap_or(3);
    let mut rest = seconds;
    let parts = UNITS.iter().skip(first).take(2).map(|(name, unit)| {
        let count = rest / unit;
        rest %= unit;
        format!("{count}{name}")
    });
    parts.collect()
}

/// What a row has no room for.
fn notes(module: &ModuleStatus) -> Option<String> {
    let ModuleStatus {
        name,
        state,
        calls,
        containment,
        previous,
        ..
    } = module;
    let mut notes = Vec::new();
    match state {
        ModuleState::Serving => {}
        ModuleState::Watched => notes.push("is rolled back when too many of its calls fail".to_owned()),
        ModuleState::Quarantined => {
            let rest = containment.quarantined_for_ms.unwrap_or_default();
            notes.push(format!(
                "is left alone for another {} s after a call that overran",
                rest.div_ceil(1_000)
            ));
        }
        ModuleState::Off => notes.push(
            "is not asked until it is reloaded or rolled back, as it has panicked or overrun too often"
                .to_owned(),
        ),
    }
    if containment.crashes > 0 {
        let budget = containment.crash_budget;
        let budget = budget.map(|budget| format!(" of {budget}")).unwrap_or_default();
        notes.push(format!("panics and overruns: {}{budget}", containment.crashes));
    }
    if containment.blocked_threads > 0 {
        notes.push(format!(
            "threads blocked and left behind: {}",
            containment.blocked_threads
        ));
    }
    if calls.wrong > 0 {
        notes.push(format!("wrong answers: {}", calls.wrong));
    }
    if let Some(previous) = previous {
        notes.push(format!(
            "rollback goes to generation {} ({})",
            previous.generation, previous.version
        ));
    }
    (!notes.is_empty()).then(|| format!("{name}: {}", notes.join("; ")))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use insta::assert_snapshot;

    use super::*;
    use crate::modules::Identity;
    use crate::operations::{Containment, Counts};
    use crate::sha256::Sha256;

    fn module(name: &str, generation: u64) -> ModuleStatus {
        let identity = Identity {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            router: "Router".to_owned(),
            generation,
            sha256: Sha256::of(name.as_bytes()),
            path: PathBuf::from("lib.so"),
        };
        ModuleStatus {
            name: name.to_owned(),
            library: identity.clone().into(),
            state: ModuleState::Serving,
            since_ms: 1_000_000,
            calls: Counts::default(),
            latency: None,
            queue: 0,
            dirty_users: 0,
            containment: Containment::default(),
            previous: None,
        }
    }

    #[test]
    fn columns_are_aligned_and_what_is_out_of_the_ordinary_stands_below() {
        let busy = ModuleStatus {
            state: ModuleState::Quarantined,
            since_ms: 0,
            calls: Counts {
                total: 1_234_567,
                errors: 12,
                panics: 1,
                timeouts: 3,
                wrong: 2,
            },
            latency: Some(Latency {
                p50_ms: 0.0213,
                p99_ms: 250.4,
            }),
            queue: 16,
            dirty_users: 40_000,
            containment: Containment {
                quarantined_for_ms: Some(11_001),
                blocked_threads: 1,
                crashes: 4,
                crash_budget: Some(5),
            },
            ..module("for-the-team", 12)
        };
        let off = ModuleStatus {
            state: ModuleState::Off,
            ..module("selective", 2)
        };
        let previous = Identity {
            name: String::new(),
            version: "0.0.9".to_owned(),
            router: String::new(),
            generation: 3,
            sha256: Sha256::of(b""),
            path: PathBuf::new(),
        };
        let watched = ModuleStatus {
            state: ModuleState::Watched,
            previous: Some(previous),
            ..module("pairs", 4)
        };
        let table = text(&[module("broadcast", 1), busy, off, watched], 1_190_000);
        assert_snapshot!(table, @"
        NAME          ROUTER  VERSION  GEN  STATE        SHA256             SINCE    CALLS  ERRORS  PANICS  TIMEOUTS  P50/P99 MS  QUEUE  DIRTY
        broadcast     Router  0.1.0      1  serving      e88199c42322   3m10s ago        0       0       0         0           -      0      0
        for-the-team  Router  0.1.0     12  quarantined  7cc716c909aa  19m50s ago  1234567      12       1         3   0.021/250     16  40000
        selective     Router  0.1.0      2  off          c0f7c0be2df7   3m10s ago        0       0       0         0           -      0      0
        pairs         Router  0.1.0      4  watched      fb0956241032   3m10s ago        0       0       0         0           -      0      0
        for-the-team: is left alone for another 12 s after a call that overran; panics and overruns: 4 of 5; threads blocked and left behind: 1; wrong answers: 2
        selective: is not asked until it is reloaded or rolled back, as it has panicked or overrun too often
        pairs: is rolled back when too many of its calls fail; rollback goes to generation 3 (0.0.9)
        ");
        assert_snapshot!(text(&[], 0), @"no module is loaded");
    }

    #[test]
    fn an_age_has_two_units() {
        let ages = [0, 999, 59_999, 60_000, 3_599_000, 90_061_000, 40 * 86_400_000].map(age);
        assert_snapshot!(ages.join(", "), @"0s ago, 0s ago, 59s ago, 1m0s ago, 59m59s ago, 1d1h ago, 40d0h ago");
    }
}

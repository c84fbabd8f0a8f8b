//! `destinations` for people: a row a homeserver, and below how many there are of which state.

use crate::cli::admin::table;
use crate::operations::{DestinationState, DestinationStatus};

const HEADINGS: [&str; 7] = [
    "DESTINATION",
    "STATE",
    "WAITING",
    "LAST SUCCESS",
    "LAST FAILURE",
    "FAILURES",
    "RETRY IN",
];

/// The columns of words; the others are numbers, and stand to the right.
const WORDS: [usize; 2] = [0, 1];

/// The table, at a time of day in milliseconds.
pub(super) fn text(destinations: &[DestinationStatus], now: u64) -> String {
    if destinations.is_empty() {
        return "nothing was sent to another homeserver yet, and nothing waits".to_owned();
    }
    let rows = destinations.iter().map(|destination| row(destination, now));
    let mut lines = table::lines(HEADINGS, &WORDS, rows);
    lines.push(counts(destinations));
    lines.join("\n")
}

fn row(destination: &DestinationStatus, now: u64) -> [String; 7] {
    let DestinationStatus {
        destination,
        state,
        waiting,
        succeeded_ts,
        failed_ts,
        failures,
        retry_ts,
    } = destination;
    let ago = |ts: Option<u64>| ts.map_or_else(|| "-".to_owned(), |ts| table::age(now.saturating_sub(ts)));
    [
        destination.clone(),
        word(*state).to_owned(),
        waiting.to_string(),
        ago(*succeeded_ts),
        ago(*failed_ts),
        failures.to_string(),
        retry_ts.map_or_else(|| "-".to_owned(), |ts| table::span(ts.saturating_sub(now))),
    ]
}

fn word(state: DestinationState) -> &'static str {
    match state {
        DestinationState::Untried => "untried",
        DestinationState::Up => "up",
        DestinationState::BackingOff => "backing off",
    }
}

fn counts(destinations: &[DestinationStatus]) -> String {
    let count = |state| {
        let of_it = destinations
            .iter()
            .filter(|destination| destination.state == state);
        format!("{} {}", of_it.count(), word(state))
    };
    let states = [
        DestinationState::Up,
        DestinationState::BackingOff,
        DestinationState::Untried,
    ];
    let waiting: usize = destinations.iter().map(|destination| destination.waiting).sum();
    format!("{}; {waiting} waiting", states.map(count).join(", "))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn each_homeserver_has_a_row_and_all_are_counted() {
        let up = DestinationStatus {
            destination: "matrix.org".to_owned(),
            state: DestinationState::Up,
            waiting: 0,
            succeeded_ts: Some(999_000),
            failed_ts: None,
            failures: 0,
            retry_ts: None,
        };
        let away = DestinationStatus {
            destination: "other.test:8448".to_owned(),
            state: DestinationState::BackingOff,
            waiting: 1_200,
            succeeded_ts: Some(1_000),
            failed_ts: Some(940_000),
            failures: 12,
            retry_ts: Some(1_190_000),
        };
        let due = DestinationStatus {
            // It waits for a place, or the clock was set back.
            retry_ts: Some(5),
            ..away.clone()
        };
        let untried = DestinationStatus {
            destination: "new.test".to_owned(),
            state: DestinationState::Untried,
            waiting: 7,
            succeeded_ts: None,
            ..up.clone()
        };
        assert_snapshot!(text(&[up, away, due, untried], 1_000_000), @"
        DESTINATION      STATE        WAITING  LAST SUCCESS  LAST FAILURE  FAILURES  RETRY IN
        matrix.org       up                 0        1s ago             -         0         -
        other.test:8448  backing off     1200    16m39s ago      1m0s ago        12     3m10s
        other.test:8448  backing off     1200    16m39s ago      1m0s ago        12        0s
        new.test         untried            7             -             -         0         -
        1 up, 2 backing off, 1 untried; 2407 waiting
        ");
        assert_snapshot!(text(&[], 0), @"nothing was sent to another homeserver yet, and nothing waits");
    }
}

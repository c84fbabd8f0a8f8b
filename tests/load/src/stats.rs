//! Latencies and rates, as they are reported.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Ten minutes in nanoseconds: what takes longer counts as that long.
const LONGEST: u64 = 600_000_000_000;

/// Latencies in nanoseconds, with three significant digits. Takes a quarter of a MiB, so there is one a thread.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, LONGEST, 3)
                .expect("1 is below the longest, and 3 digits are possible"),
        )
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(crate) fn summary(&self) -> Latency {
        let at = |quantile| milliseconds(self.0.value_at_quantile(quantile));
        Latency {
            count: self.0.len(),
            mean_ms: round(self.0.mean() / 1e6, 3),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: milliseconds(self.0.max()),
        }
    }
}

/// Latencies, summed up, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

fn milliseconds(nanoseconds: u64) -> f64 {
    round(float(nanoseconds) / 1e6, 3)
}

/// A count as a number to divide by.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of a run are far below 2^53"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// A length as a number to divide by.
pub(crate) fn float_of(length: usize) -> f64 {
    float(u64::try_from(length).unwrap_or(u64::MAX))
}

/// `count` for each `unit`; none when there are no units.
pub(crate) fn per(count: u64, units: f64, digits: i32) -> Option<f64> {
    (units > 0.0).then(|| round(float(count) / units, digits))
}

pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded_on_all_threads() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        for millisecond in 1..=500 {
            one.record(millisecond * 1_000_000);
            other.record((500 + millisecond) * 1_000_000);
        }
        one.add(&other);
        let summary = one.summary();
        assert_eq!(summary.count, 1000);
        let close = |is: f64, wanted: f64| (is - wanted).abs() < wanted / 500.0;
        assert!(close(summary.mean_ms, 500.5), "{summary:?}");
        assert!(close(summary.p50_ms, 500.0), "{summary:?}");
        assert!(close(summary.p90_ms, 900.0), "{summary:?}");
        assert!(close(summary.p99_ms, 990.0), "{summary:?}");
        assert!(close(summary.p999_ms, 999.0), "{summary:?}");
        assert!(close(summary.max_ms, 1000.0), "{summary:?}");
    }

    #[test]
    fn what_takes_longer_than_the_longest_counts_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX);
        assert!(latencies.summary().max_ms >= 600_000.0);
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        assert_eq!(per(5, 0.0, 1), None);
        assert_eq!(per(5, 2.0, 1), Some(2.5));
        assert_eq!(Latencies::new().summary().count, 0);
    }
}

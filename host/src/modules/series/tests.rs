//! What a module records reaches the recorder of the process, and no more than is allowed.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use ::metrics::{
    CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, Unit, with_local_recorder,
};
use parking_lot::Mutex;
use presence_router_api::abi::FailureKind;

use super::*;

/// Notes everything as lines.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

struct Noted(Notes, Key, AtomicU64);

impl Notes {
    fn note(&self, line: String) {
        self.0.lock().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }

    fn of(&self, key: &Key) -> Arc<Noted> {
        Arc::new(Noted(self.clone(), key.clone(), AtomicU64::new(0)))
    }
}

impl Noted {
    fn note(&self, what: &str, value: impl Display) {
        let labels = self
            .1
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()));
        let labels = labels.collect::<Vec<_>>().join(",");
        self.0
            .note(format!("{}{{{labels}}} {what} {value}", self.1.name()));
    }
}

impl CounterFn for Noted {
    fn increment(&self, value: u64) {
        let sum = self.2.fetch_add(value, Ordering::Relaxed) + value;
        self.note(&format!("+{value} makes"), sum);
    }

    fn absolute(&self, _: u64) {
        panic!("a module only counts up");
    }
}

impl GaugeFn for Noted {
    fn increment(&self, value: f64) {
        self.note("+", value);
    }

    fn decrement(&self, value: f64) {
        self.note("-", value);
    }

    fn set(&self, value: f64) {
        self.note("=", value);
    }
}

impl HistogramFn for Noted {
    fn record(&self, value: f64) {
        self.note("observed", value);
    }
}

impl Recorder for Notes {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
        self.note(format!("counter {}: {help}", key.as_str()));
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
        self.note(format!("gauge {}: {help}", key.as_str()));
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
        self.note(format!("histogram {}: {help}", key.as_str()));
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

fn metric(kind: MetricKind, name: &str, labels: &[(&str, &str)]) -> Metric {
    Metric {
        kind,
        name: name.into(),
        help: format!("What {name} is.").into(),
        labels: labels
            .iter()
            .map(|(name, value)| MetricLabel {
                name: (*name).into(),
                value: (*value).into(),
            })
            .collect(),
    }
}

fn all() -> AllSeries {
    AllSeries::of(Arc::from("registry"))
}

#[track_caller]
fn refused(outcome: Result<u64, Failure>, text: &str) {
    let failure = outcome.expect_err("is refused");
    assert_eq!(failure.kind, FailureKind::ERROR);
    assert!(failure.message.contains(text), "{}", failure.message);
}

#[test]
fn records_reach_the_recorder_under_the_prefix_and_the_name_of_the_module() {
    let (notes, all) = (Notes::default(), all());
    with_local_recorder(&notes, || {
        let labels = [("b", "2"), ("a", "1")];
        let counter = all.register(metric(MetricKind::COUNTER, "polls_total", &labels));
        let counter = counter.expect("is made");
        let gauge = all
            .register(metric(MetricKind::GAUGE, "members", &[]))
            .expect("is made");
        let histogram = all.register(metric(MetricKind::HISTOGRAM, "seconds", &[]));
        let histogram = histogram.expect("is made");
        all.record(counter, MetricAction::ADD, 2.0);
        all.record(counter, MetricAction::ADD, 3.0);
        all.record(gauge, MetricAction::SET, 5.5);
        all.record(gauge, MetricAction::ADD, -1.5);
        all.record(histogram, MetricAction::OBSERVE, 0.25);
    });
    insta::assert_snapshot!(notes.take().join("\n"), @r"
    counter presence_router_custom_polls_total: What polls_total is.
    gauge presence_router_custom_members: What members is.
    histogram presence_router_custom_seconds: What seconds is.
    presence_router_custom_polls_total{a=1,b=2,module=registry} +2 makes 2
    presence_router_custom_polls_total{a=1,b=2,module=registry} +3 makes 5
    presence_router_custom_members{module=registry} = 5.5
    presence_router_custom_members{module=registry} + -1.5
    presence_router_custom_seconds{module=registry} observed 0.25
    ");
}

#[test]
fn what_makes_no_sense_is_not_recorded() {
    let (notes, all) = (Notes::default(), all());
    with_local_recorder(&notes, || {
        let counter = all
            .register(metric(MetricKind::COUNTER, "c", &[]))
            .expect("is made");
        let gauge = all
            .register(metric(MetricKind::GAUGE, "g", &[]))
            .expect("is made");
        notes.take();
        all.record(counter, MetricAction::ADD, -1.0);
        all.record(counter, MetricAction::SET, 1.0);
        all.record(counter, MetricAction::OBSERVE, 1.0);
        all.record(gauge, MetricAction::OBSERVE, 1.0);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            all.record(counter, MetricAction::ADD, value);
            all.record(gauge, MetricAction::SET, value);
        }
        all.record(2, MetricAction::ADD, 1.0);
        all.record(u64::MAX, MetricAction::ADD, 1.0);
    });
    assert_eq!(notes.take(), [""; 0]);
}

#[test]
fn the_same_metric_is_one_series_and_is_described_once() {
    let (notes, all) = (Notes::default(), all());
    with_local_recorder(&notes, || {
        let first = all.register(metric(MetricKind::COUNTER, "c", &[("a", "1"), ("b", "2")]));
        let same = all.register(metric(MetricKind::COUNTER, "c", &[("b", "2"), ("a", "1")]));
        let other = all.register(metric(MetricKind::COUNTER, "c", &[("a", "2"), ("b", "1")]));
        assert_eq!(first, same);
        assert_ne!(first, other);
        refused(
            all.register(metric(MetricKind::GAUGE, "c", &[])),
            "a metric of another kind",
        );
        refused(
            all.register(metric(MetricKind::GAUGE, "c-d", &[])),
            "not the name",
        );
    });
    assert_eq!(notes.take(), ["counter presence_router_custom_c: What c is."]);
}

#[test]
fn metrics_and_their_series_are_bounded() {
    let all = all();
    let name = |number: usize| format!("m{number}");
    for number in 0..MAX_METRICS {
        all.register(metric(MetricKind::GAUGE, &name(number), &[]))
            .expect("is made");
    }
    refused(
        all.register(metric(MetricKind::GAUGE, &name(MAX_METRICS), &[])),
        "100 metrics",
    );
    for number in MAX_METRICS..MAX_SERIES {
        let labels = [("number", name(number))];
        let labels = [(labels[0].0, labels[0].1.as_str())];
        all.register(metric(MetricKind::GAUGE, "m0", &labels))
            .expect("is made");
    }
    refused(
        all.register(metric(MetricKind::GAUGE, "m0", &[("number", "one too many")])),
        "1000 sets of labels",
    );
    assert!(
        all.register(metric(MetricKind::GAUGE, "m0", &[])).is_ok(),
        "it is known"
    );
}

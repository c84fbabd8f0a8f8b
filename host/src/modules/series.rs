//! The metrics of one module instance: what it has made known, and where its records go.
//!
//! Records go to the recorder of the process, by the crate `metrics`; without one they go nowhere. A series appears with its
//! first record.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use ::metrics::{Counter, Gauge, Histogram, Label, SharedString};
use parking_lot::RwLock;
use presence_router_api::abi::Failure;
use presence_router_api::abi::bounds::{MAX_METRICS, MAX_SERIES, check_metric};
use presence_router_api::abi::requests::{Metric, MetricAction, MetricKind, MetricLabel};

/// What stands before the names that modules give. Not `presence_router_module_`, as those are the host's own about its
/// modules.
pub(super) const PREFIX: &str = "presence_router_custom_";

/// The label that names the instance.
const MODULE: &str = "module";

/// The metrics of one instance.
#[derive(Debug)]
pub(super) struct AllSeries {
    module: Arc<str>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    kinds: BTreeMap<String, MetricKind>,
    numbers: BTreeMap<(String, Vec<MetricLabel>), u64>,
    /// By number.
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    kind: MetricKind,
    name: String,
    labels: Vec<Label>,
    handle: OnceLock<Handle>,
}

#[derive(Debug)]
enum Handle {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl AllSeries {
    /// No metrics yet, of the instance of this name.
    pub(super) fn of(module: Arc<str>) -> Self {
        Self {
            module,
            state: RwLock::default(),
        }
    }

    /// Makes a metric known, with its labels in any order. The same one again gets the same number.
    pub(super) fn register(&self, metric: Metric) -> Result<u64, Failure> {
        check_metric(&metric)?;
        let name = metric.name.into_string();
        let mut labels = metric.labels.into_vec();
        labels.sort_unstable();
        let mut state = self.state.write();
        let is_new = match state.kinds.get(&name) {
            Some(kind) if *kind != metric.kind => {
                return Err(Failure::error(format!(
                    "{name:?} is a metric of another kind already; take another name"
                )));
            }
            Some(_) => false,
            None if state.kinds.len() >= MAX_METRICS => {
                return Err(Failure::error(format!(
                    "the module has {MAX_METRICS} metrics already, more are not allowed"
                )));
            }
            None => true,
        };
        let key = (name, labels);
        if let Some(number) = state.numbers.get(&key) {
            return Ok(*number);
        }
        if state.series.len() >= MAX_SERIES {
            return Err(Failure::error(format!(
                "the metrics of the module have {MAX_SERIES} sets of labels already; labels take values of which there \
                 are few"
            )));
        }
        let (name, labels) = &key;
        if is_new {
            describe(metric.kind, format!("{PREFIX}{name}"), metric.help.into_string());
            state.kinds.insert(name.clone(), metric.kind);
        }
        let own = labels
            .iter()
            .map(|label| Label::new(label.name.to_string(), label.value.to_string()));
        let series = Series {
            kind: metric.kind,
            name: format!("{PREFIX}{name}"),
            labels: own
                .chain([Label::new(MODULE, Arc::clone(&self.module))])
                .collect(),
            handle: OnceLock::new(),
        };
        let number = state.series.len() as u64;
        state.series.push(series);
        state.numbers.insert(key, number);
        Ok(number)
    }

    /// Records a value. What makes no sense is ignored: an unknown number, an action that is not the metric's, a value that
    /// is not finite.
    pub(super) fn record(&self, number: u64, action: MetricAction, value: f64) {
        let state = self.state.read();
        let series = usize::try_from(number)
            .ok()
            .and_then(|number| state.series.get(number));
        let Some(series) = series.filter(|_| value.is_finite()) else {
            return;
        };
        match (series.handle(), action) {
            (Handle::Counter(counter), MetricAction::ADD) if value >= 0.0 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is not below 0; modules count in whole numbers, and what is too large saturates"
                )]
                counter.increment(value as u64);
            }
            (Handle::Gauge(gauge), MetricAction::ADD) => gauge.increment(value),
            (Handle::Gauge(gauge), MetricAction::SET) => gauge.set(value),
            (Handle::Histogram(histogram), MetricAction::OBSERVE) => histogram.record(value),
            _ => {}
        }
    }
}

impl Series {
    fn handle(&self) -> &Handle {
        self.handle.get_or_init(|| {
            let (name, labels) = (self.name.clone(), self.labels.clone());
            match self.kind {
                MetricKind::GAUGE => Handle::Gauge(::metrics::gauge!(name, labels)),
                MetricKind::HISTOGRAM => Handle::Histogram(::metrics::histogram!(name, labels)),
                _ => Handle::Counter(::metrics::counter!(name, labels)),
            }
        })
    }
}

fn describe(kind: MetricKind, name: String, help: String) {
    let help = SharedString::from(help);
    match kind {
        MetricKind::GAUGE => ::metrics::describe_gauge!(name, help),
        MetricKind::HISTOGRAM => ::metrics::describe_histogram!(name, help),
        _ => ::metrics::describe_counter!(name, help),
    }
}

//! The metrics that a module keeps on the fake host.

use std::collections::BTreeMap;

use super::{FakeHost, Service};
use crate::abi::bounds::{MAX_METRICS, MAX_SERIES, check_metric};
use crate::abi::failure::Failure;
use crate::abi::requests::{Metric, MetricAction, MetricKind, MetricLabel};

/// What a series holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// How many were counted.
    Counter(u64),
    /// How much it is.
    Gauge(f64),
    /// All that was observed, in its order.
    Histogram(Vec<f64>),
}

type Labels = Vec<MetricLabel>;

#[derive(Default)]
pub(super) struct Metrics {
    kinds: BTreeMap<String, MetricKind>,
    series: BTreeMap<(String, Labels), u64>,
    /// What was recorded, by the number of the series.
    recorded: BTreeMap<u64, (MetricKind, Option<Recorded>)>,
}

impl FakeHost {
    /// What a series of the module holds: by the name that the module gave, and labels in any order. Nothing before the first
    /// record.
    ///
    /// ```
    /// use presence_router_api::testing::{FakeHost, Recorded};
    ///
    /// let host = FakeHost::new("example.org");
    /// let polls = host.api().counter("polls_total", "How often it was asked.")?;
    /// polls.with(&[("outcome", "ok")])?.add(2);
    /// assert_eq!(host.metric("polls_total", &[("outcome", "ok")]), Some(Recorded::Counter(2)));
    /// assert_eq!(host.metric("polls_total", &[]), None);
    /// # Ok::<(), presence_router_api::ApiError>(())
    /// ```
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<Recorded> {
        let labels = labels.iter().map(|(name, value)| MetricLabel {
            name: (*name).into(),
            value: (*value).into(),
        });
        let state = self.state();
        let id = state.metrics.series.get(&(name.to_owned(), sorted(labels)))?;
        state.metrics.recorded.get(id)?.1.clone()
    }

    pub(super) fn register(&self, metric: Metric) -> Result<u64, Failure> {
        self.serving(Service::Metrics)?;
        check_metric(&metric)?;
        self.state().metrics.register(metric)
    }
}

impl Metrics {
    fn register(&mut self, metric: Metric) -> Result<u64, Failure> {
        let name = metric.name.into_string();
        match self.kinds.get(&name) {
            Some(kind) if *kind != metric.kind => {
                return Err(Failure::error(format!(
                    "{name:?} is a metric of another kind already"
                )));
            }
            Some(_) => {}
            None if self.kinds.len() >= MAX_METRICS => {
                return Err(Failure::error(format!(
                    "{MAX_METRICS} metrics are all that a module may have"
                )));
            }
            None => {
                self.kinds.insert(name.clone(), metric.kind);
            }
        }
        let key = (name, sorted(metric.labels));
        if let Some(id) = self.series.get(&key) {
            return Ok(*id);
        }
        if self.series.len() >= MAX_SERIES {
            return Err(Failure::error(format!(
                "{MAX_SERIES} sets of labels are all that a module may have"
            )));
        }
        let id = self.series.len() as u64;
        self.series.insert(key, id);
        self.recorded.insert(id, (metric.kind, None));
        Ok(id)
    }

    pub(super) fn record(&mut self, id: u64, action: MetricAction, value: f64) {
        let series = self.recorded.get_mut(&id).filter(|_| value.is_finite());
        let Some((kind, recorded)) = series else {
            return;
        };
        let recorded = recorded.get_or_insert_with(|| match *kind {
            MetricKind::GAUGE => Recorded::Gauge(0.0),
            MetricKind::HISTOGRAM => Recorded::Histogram(Vec::new()),
            _ => Recorded::Counter(0),
        });
        match (recorded, action) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a counter is given whole numbers from 0 on; what is none saturates"
            )]
            (Recorded::Counter(count), MetricAction::ADD) => *count = count.saturating_add(value as u64),
            (Recorded::Gauge(gauge), MetricAction::ADD) => *gauge += value,
            (Recorded::Gauge(gauge), MetricAction::SET) => *gauge = value,
            (Recorded::Histogram(values), MetricAction::OBSERVE) => values.push(value),
            _ => {}
        }
    }
}

fn sorted(labels: impl IntoIterator<Item = MetricLabel>) -> Labels {
    let mut labels: Labels = labels.into_iter().collect();
    labels.sort_unstable();
    labels
}

//! A module's own metrics, in the host's.

use std::fmt;
use std::sync::Arc;

use abi_stable::std_types::{RString, RVec};

use super::ModuleApi;
use crate::abi::requests::{Metric, MetricAction, MetricKind, MetricLabel};
use crate::error::ApiError;

/// Counts what happens: requests, errors. Only ever goes up; made by [`ModuleApi::counter`]. Cheap to clone; may be used
/// from any thread.
#[derive(Clone)]
pub struct Counter(Series);

/// A value that goes up and down: a length, a temperature; made by [`ModuleApi::gauge`]. Cheap to clone; may be used from
/// any thread.
#[derive(Clone)]
pub struct Gauge(Series);

/// The distribution of values: durations, sizes; made by [`ModuleApi::histogram`]. Cheap to clone; may be used from any
/// thread.
#[derive(Clone)]
pub struct Histogram(Series);

/// A metric with one set of labels, under the number by which the host knows it.
#[derive(Clone)]
struct Series {
    api: ModuleApi,
    id: u64,
    metric: Arc<Metric>,
}

impl ModuleApi {
    /// A counter that appears in the host's metrics as `presence_router_custom_` and its name, with the label
    /// `module`: the instance's name in the config.
    ///
    /// It appears with its first [`add`](Counter::add), also one of 0. Recording costs a call over the boundary
    /// and no allocation: keep the counter, do not ask for it anew. Asking again gives the same one.
    ///
    /// A name has up to 128 characters: letters, digits, `_`, not a digit first (the [rule] of Prometheus). `help` is a
    /// sentence for the operator. For bounds and labels see [`Counter::with`].
    ///
    /// ```
    /// # use presence_router_api::{ApiError, Counter, ModuleApi};
    /// struct Poller { polls: Counter }
    ///
    /// fn start(api: &ModuleApi) -> Result<Poller, ApiError> {
    ///     Ok(Poller { polls: api.counter("polls_total", "How often the registry was asked.")? })
    /// }
    ///
    /// fn poll(poller: &Poller) {
    ///     poller.polls.add(1);
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::Refused`] for a bad name, for one that is a metric of another kind, and when there are too many;
    /// [`ApiError::ShutDown`] after `shutdown`, [`ApiError::TooOld`].
    ///
    /// [rule]: https://prometheus.io/docs/concepts/data_model/
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter, ApiError> {
        self.metric(MetricKind::COUNTER, name, help).map(Counter)
    }

    /// A gauge; all that is said of a [`counter`](Self::counter) holds.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, ModuleApi};
    /// fn report(api: &ModuleApi, members: u32) -> Result<(), ApiError> {
    ///     api.gauge("members", "How many users receive everything.")?.set(f64::from(members));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`counter`](Self::counter).
    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, ApiError> {
        self.metric(MetricKind::GAUGE, name, help).map(Gauge)
    }

    /// A histogram; all that is said of a [`counter`](Self::counter) holds. Durations are in seconds, by the convention
    /// of Prometheus.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, Histogram, ModuleApi};
    /// fn timer(api: &ModuleApi) -> Result<Histogram, ApiError> {
    ///     api.histogram("poll_seconds", "How long the registry took to answer.")
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`counter`](Self::counter).
    pub fn histogram(&self, name: &str, help: &str) -> Result<Histogram, ApiError> {
        self.metric(MetricKind::HISTOGRAM, name, help).map(Histogram)
    }

    fn metric(&self, kind: MetricKind, name: &str, help: &str) -> Result<Series, ApiError> {
        Series::register(
            self,
            Metric {
                kind,
                name: RString::from(name),
                help: RString::from(help),
                labels: RVec::new(),
            },
        )
    }
}

impl Series {
    fn register(api: &ModuleApi, metric: Metric) -> Result<Self, ApiError> {
        Ok(Self {
            api: api.clone(),
            id: api.host.register_metric(metric.clone()).into_result()?,
            metric: Arc::new(metric),
        })
    }

    fn with(&self, labels: &[(&str, &str)]) -> Result<Self, ApiError> {
        let mut metric = Metric::clone(&self.metric);
        metric
            .labels
            .extend(labels.iter().map(|(name, value)| MetricLabel {
                name: RString::from(*name),
                value: RString::from(*value),
            }));
        Self::register(&self.api, metric)
    }

    fn record(&self, action: MetricAction, value: f64) {
        self.api.host.record_metric(self.id, action, value);
    }
}

impl Counter {
    /// The same counter with labels, in addition to those that it has: another series.
    ///
    /// An instance may have 100 metrics and 1,000 series, a series 16 labels. A label's name has the form of a metric's, does
    /// not begin with `__`, and is not `module`, `le` or `quantile`; its value has up to 256 bytes. Never put into a label
    /// what has no bound, such as user ids.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, Counter, ModuleApi};
    /// fn counters(api: &ModuleApi) -> Result<[Counter; 2], ApiError> {
    ///     let polls = api.counter("polls_total", "How often the registry was asked.")?;
    ///     Ok([polls.with(&[("outcome", "ok")])?, polls.with(&[("outcome", "error")])?])
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::Refused`] for a bad or repeated label and when there are too many, [`ApiError::ShutDown`] after
    /// `shutdown`.
    pub fn with(&self, labels: &[(&str, &str)]) -> Result<Self, ApiError> {
        self.0.with(labels).map(Self)
    }

    /// Counts so many. Nothing happens after `shutdown`.
    pub fn add(&self, count: u64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "one step of a counter is far below 2^53, up to which it is exact"
        )]
        self.0.record(MetricAction::ADD, count as f64);
    }
}

impl Gauge {
    /// The same gauge with labels: as [`Counter::with`].
    ///
    /// # Errors
    /// Those of [`Counter::with`].
    pub fn with(&self, labels: &[(&str, &str)]) -> Result<Self, ApiError> {
        self.0.with(labels).map(Self)
    }

    /// It is so much from now on. Nothing happens after `shutdown`, nor by a value that is not finite.
    pub fn set(&self, value: f64) {
        self.0.record(MetricAction::SET, value);
    }

    /// It is so much more; less, if below 0. Nothing happens after `shutdown`, nor by a value that is not finite.
    pub fn add(&self, value: f64) {
        self.0.record(MetricAction::ADD, value);
    }
}

impl Histogram {
    /// The same histogram with labels: as [`Counter::with`].
    ///
    /// # Errors
    /// Those of [`Counter::with`].
    pub fn with(&self, labels: &[(&str, &str)]) -> Result<Self, ApiError> {
        self.0.with(labels).map(Self)
    }

    /// Notes a value. Nothing happens after `shutdown`, nor by a value that is not finite.
    pub fn observe(&self, value: f64) {
        self.0.record(MetricAction::OBSERVE, value);
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric.name)?;
        f.debug_map()
            .entries(self.metric.labels.iter().map(|label| (&label.name, &label.value)))
            .finish()
    }
}

macro_rules! debug_as_series {
    ($($metric:ident),+) => {
        $(impl fmt::Debug for $metric {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($metric), "({:?})"), self.0)
            }
        })+
    };
}

debug_as_series!(Counter, Gauge, Histogram);

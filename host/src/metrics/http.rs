//! What requests are counted by.

use std::time::Duration;

use metrics::Gauge;

use crate::metrics::names::{HTTP_REQUESTS, HTTP_RUNNING, HTTP_SECONDS};

/// The status that is counted when the client went before its answer, as it is known from nginx.
pub const CLIENT_GONE: u16 = 499;

/// The handles of a listener.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    running: Gauge,
}

impl HttpMetrics {
    /// Fetches them.
    pub fn new() -> Self {
        Self {
            running: HTTP_RUNNING.gauge([]),
        }
    }

    /// A request begins.
    pub fn begin(&self) -> RunningRequest {
        self.running.increment(1.0);
        RunningRequest(self.running.clone())
    }

    /// A request has ended. `method` and `route` come from fixed sets, or whoever asks could fill the memory.
    ///
    /// The handles are looked up a request, as their labels are too many to hold them all. That takes about a microsecond,
    /// which is lost beside what a request costs.
    pub fn ended(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let status = status.to_string();
        HTTP_REQUESTS.counter([method, route, &status]).increment(1);
        HTTP_SECONDS.histogram([method, route]).record(took);
    }
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that is being served, until this is dropped.
#[derive(Debug)]
pub struct RunningRequest(Gauge);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

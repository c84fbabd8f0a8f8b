//! What requests are counted by.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use parking_lot::RwLock;

use crate::metrics::names::{HTTP_REQUESTS, HTTP_RUNNING, HTTP_SECONDS};

/// The status that is counted when the client went before its answer, as it is known from nginx.
pub const CLIENT_GONE: u16 = 499;

/// The handles of a listener. Those of an answer are fetched when the first of its kind is given.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    running: Gauge,
    /// By the pattern of the route, of which there is a fixed number.
    answers: Arc<RwLock<HashMap<Box<str>, Vec<Answers>>>>,
}

/// The answers of a route to a method, with a status.
#[derive(Debug, Clone)]
struct Answers {
    method: &'static str,
    status: u16,
    count: Counter,
    seconds: Histogram,
}

impl HttpMetrics {
    /// Fetches them.
    pub fn new() -> Self {
        Self {
            running: HTTP_RUNNING.gauge([]),
            answers: Arc::default(),
        }
    }

    /// A request begins.
    pub fn begin(&self) -> RunningRequest {
        self.running.increment(1.0);
        RunningRequest(self.running.clone())
    }

    /// A request has ended. `method` and `route` come from fixed sets, or whoever asks could fill the memory.
    pub fn ended(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let is_it = |answers: &&Answers| answers.method == method && answers.status == status;
        if let Some(answers) = self
            .answers
            .read()
            .get(route)
            .and_then(|known| known.iter().find(is_it))
        {
            answers.count(took);
            return;
        }
        let text = status.to_string();
        let answers = Answers {
            method,
            status,
            count: HTTP_REQUESTS.counter([method, route, &text]),
            seconds: HTTP_SECONDS.histogram([method, route]),
        };
        answers.count(took);
        // Two that are first at one time have handles of the same numbers.
        let mut all = self.answers.write();
        all.entry(route.into()).or_default().push(answers);
    }
}

impl Answers {
    fn count(&self, took: Duration) {
        self.count.increment(1);
        self.seconds.record(took);
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

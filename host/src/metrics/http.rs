//! What requests are counted by.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use parking_lot::RwLock;

use crate::metrics::names::{HTTP_REQUESTS, HTTP_RUNNING, HTTP_SECONDS};

/// The status that is counted when the client went before its answer, as it is known from nginx.
pub const CLIENT_GONE: u16 = 499;

/// The handles of a route. Those of an answer are fetched when the first of its kind is given. Clones are the same.
#[derive(Debug, Clone)]
pub struct RouteMetrics(Arc<Route>);

#[derive(Debug)]
struct Route {
    pattern: Box<str>,
    running: Gauge,
    /// A few: they are looked for one by one.
    answers: RwLock<Vec<Answers>>,
}

/// The answers of a route to a method, with a status.
#[derive(Debug, Clone)]
struct Answers {
    method: &'static str,
    status: u16,
    count: Counter,
    seconds: Histogram,
}

impl RouteMetrics {
    /// Those of a route. `pattern` comes from a fixed set, or whoever asks could fill the memory.
    pub fn of(pattern: &str) -> Self {
        Self(Arc::new(Route {
            pattern: pattern.into(),
            running: HTTP_RUNNING.gauge([]),
            answers: RwLock::default(),
        }))
    }

    /// Which route it is.
    pub fn pattern(&self) -> &str {
        &self.0.pattern
    }

    /// A request begins.
    pub fn begin(self) -> RunningRequest {
        self.0.running.increment(1.0);
        RunningRequest(self)
    }

    /// A request has ended. `method` comes from a fixed set, as the pattern does.
    pub fn ended(&self, method: &'static str, status: u16, took: Duration) {
        let is_it = |answers: &&Answers| answers.method == method && answers.status == status;
        if let Some(answers) = self.0.answers.read().iter().find(is_it) {
            answers.count(took);
            return;
        }
        let (pattern, text) = (self.pattern(), status.to_string());
        let answers = Answers {
            method,
            status,
            count: HTTP_REQUESTS.counter([method, pattern, &text]),
            seconds: HTTP_SECONDS.histogram([method, pattern]),
        };
        answers.count(took);
        // Two that are first at one time have handles of the same numbers.
        self.0.answers.write().push(answers);
    }
}

impl Answers {
    fn count(&self, took: Duration) {
        self.count.increment(1);
        self.seconds.record(took);
    }
}

/// A request that is being served, until this is dropped.
#[derive(Debug)]
pub struct RunningRequest(RouteMetrics);

impl RunningRequest {
    /// What it asks for.
    pub fn route(&self) -> &RouteMetrics {
        &self.0
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.0.running.decrement(1.0);
    }
}

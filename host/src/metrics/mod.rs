//! What the server measures of itself: the names, their meaning, and the text that Prometheus reads.
//!
//! [`ALL`] lists every metric of the host; `docs/metrics.md` explains each, and a test compares the two. The other areas
//! hold handles, fetched once, and count with them; without a recorder, as in most tests, a handle does nothing. Knows
//! nothing of the areas: they say what happened in the words of the handles' methods.

#![forbid(unsafe_code)]

mod exposition;
mod http;
mod module;
mod names;
mod presence;
mod process;
mod received;
mod scrape;
mod sent;
mod storage;

pub use crate::metrics::exposition::{CONTENT_TYPE, Exposition, InstallError, UPKEEP_INTERVAL};
pub use crate::metrics::http::{CLIENT_GONE, RouteMetrics, RunningRequest};
pub use crate::metrics::module::{Health, Method, ModuleMetrics, Outcome, RunningCall};
pub use crate::metrics::names::{ALL, Kind, Metric};
pub use crate::metrics::presence::{Limited, Locality, NotifyReason, PresenceMetrics, Read, Tally};
pub use crate::metrics::received::{Entry, KeyFetch, Received, ReceivedMetrics};
pub use crate::metrics::scrape::{OnScrape, on_scrape};
pub use crate::metrics::sent::{Sent, SentMetrics};
pub use crate::metrics::storage::StorageMetrics;

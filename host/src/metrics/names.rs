//! Every metric of the host: its name, kind, labels and help, and the buckets of the histograms.
//!
//! Where the meaning is that of a metric of Synapse's, the name is Synapse's, so that dashboards carry over. The suffix
//! `_total`, which Synapse's library adds to counters, is part of the name here.

use metrics::{Counter, Gauge, Histogram, Label};

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels, in the order in which their values are given.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence, with its unit.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the server.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How often a value was at most so large, for each of these.
    Histogram(&'static [f64]),
}

/// For calls in this process: from 10 us to 10 s.
const CALL_SECONDS: &[f64] = &[
    0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0,
];

/// For requests: from 0.3 ms to the longest long-poll.
const REQUEST_SECONDS: &[f64] = &[
    0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 600.0,
];

/// For histograms that are not of the host, but of its modules.
pub(super) const DEFAULT_BUCKETS: &[f64] = &[
    0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0,
];

/// Defines the metrics, and the list of them all.
macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(pub(super) const $constant: Metric = Metric {
            name: $name,
            kind: $kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// Every metric of the host, in the order of `docs/metrics.md`.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

#[rustfmt::skip]
metrics! {
    PRESENCE_UPDATES = "synapse_handler_presence_presence_updates_total", Kind::Counter, [],
        "Updates of a user's presence that were applied: by a PUT, by the begin or the end of a sync, or by a timeout.";
    NOTIFIED = "synapse_handler_presence_notified_presence_total", Kind::Counter, [],
        "Changes of a user's presence that others were told of.";
    TIMERS_FIRED = "synapse_handler_presence_timers_fired_total", Kind::Counter, [],
        "Timeouts of a user's presence that came due and changed what others see.";
    FEDERATION_OUT = "synapse_handler_presence_federation_presence_out_total", Kind::Counter, [],
        "States that were queued for other servers only so that these do not take the user for offline.";
    FEDERATION_IN = "synapse_handler_presence_federation_presence_total", Kind::Counter, [],
        "States of their users that other servers have sent, and that were taken.";
    GET_UPDATES = "synapse_handler_presence_get_updates_total", Kind::Counter, ["type"],
        "Times that an incremental sync looked for news, by the way that was shorter: stream, over what has changed; or full, over whom the user sees.";
    NOTIFY_REASON = "synapse_handler_presence_notify_reason_total", Kind::Counter, ["locality", "reason"],
        "Changes that others were told of, by their reason.";
    STATE_TRANSITION = "synapse_handler_presence_state_transition_total", Kind::Counter, ["locality", "from", "to"],
        "Changes of a user's state that others were told of.";
    CURRENT_STATES = "synapse_handlers_presence_user_to_current_state_size", Kind::Gauge, [],
        "Users whose presence was ever worth telling, and is kept in memory.";
    TIMERS = "synapse_handlers_presence_wheel_timer_size", Kind::Gauge, [],
        "Users who have a timeout ahead.";

    USERS = "presence_router_users", Kind::Gauge, ["state"],
        "Users who are in a state other than offline.";
    CHANGES_WAITING = "presence_router_changes_waiting", Kind::Gauge, [],
        "Changes in the queue that waits to be applied. It takes 8192; then requests wait.";
    OVERLOADED = "presence_router_overloaded_total", Kind::Counter, [],
        "Requests that were answered with 429 because the queue of changes stayed full.";
    LIMITED = "presence_router_rate_limited_total", Kind::Counter, ["request"],
        "Updates of presence beyond rc_presence: put, which was refused with 429; or sync, which was served without setting presence.";
    SYNCS_WAITING = "presence_router_syncs_waiting", Kind::Gauge, [],
        "Long-polls that wait for news.";

    FEDERATION_TRANSACTIONS = "presence_router_federation_transactions_total", Kind::Counter, ["outcome"],
        "Transactions of other servers, by their outcome.";
    FEDERATION_ENTRIES = "presence_router_federation_entries_total", Kind::Counter, ["outcome"],
        "Entries of presence in transactions that were taken, by what became of them.";
    FEDERATION_STRANGERS_REFUSED = "presence_router_federation_strangers_refused_total", Kind::Counter, [],
        "Entries of presence that were left out because too many users of other servers are known who share no room.";
    FEDERATION_KEY_FETCHES = "presence_router_federation_key_fetches_total", Kind::Counter, ["outcome"],
        "Times that keys of another server were needed and not there, by what became of it.";

    FEDERATION_SENT = "presence_router_federation_sent_transactions_total", Kind::Counter, ["outcome"],
        "Transactions to other servers that have ended, by their outcome.";
    FEDERATION_SENT_EDUS = "synapse_federation_client_sent_edus_total", Kind::Counter, [],
        "EDUs in transactions that other servers have taken.";
    FEDERATION_SENT_STATES = "presence_router_federation_sent_states_total", Kind::Counter, [],
        "States of users in transactions that other servers have taken.";
    FEDERATION_SENDING = "synapse_federation_transaction_queue_pending_destinations", Kind::Gauge, [],
        "Other servers to which a transaction is on its way.";
    FEDERATION_WAITING = "synapse_federation_transaction_queue_pending_edus", Kind::Gauge, [],
        "States that wait to be sent to other servers, each user once for a server.";
    DESTINATIONS = "presence_router_destinations", Kind::Gauge, ["state"],
        "Other servers to which something was sent, by how they were reached last: up or backing_off.";

    MODULE_CALLS = "presence_router_module_calls_total", Kind::Counter, ["module", "method", "outcome"],
        "Calls to a module that have ended, by their outcome.";
    MODULE_CALL_SECONDS = "presence_router_module_call_duration_seconds", Kind::Histogram(CALL_SECONDS), ["module", "method"],
        "How long a call to a module took, until its answer or its deadline, in seconds. Calls that were not made are not counted.";
    MODULE_DIRTY = "presence_router_module_dirty_users", Kind::Gauge, ["module"],
        "Users whose newest state the module has yet to route.";
    MODULE_GENERATION = "presence_router_module_generation", Kind::Gauge, ["module"],
        "The generation of the module that is in use.";
    MODULE_QUARANTINED = "presence_router_module_quarantined", Kind::Gauge, ["module"],
        "1 while the module is left alone after a call that overran, 0 otherwise.";
    MODULE_OFF = "presence_router_module_off", Kind::Gauge, ["module"],
        "1 while the module is off, as it has crashed too often, 0 otherwise.";
    MODULE_BLOCKED = "presence_router_module_blocked_threads", Kind::Gauge, ["module"],
        "Threads that the module blocks. With 16, it is not asked any more.";
    MODULE_QUEUE = "presence_router_module_queue", Kind::Gauge, ["module"],
        "Calls to the module that wait for their turn, or run.";

    STORAGE_COMMITS = "presence_router_storage_commits_total", Kind::Counter, ["outcome"],
        "Transactions of the database, by their outcome: ok or error.";
    STORAGE_COMMIT_SECONDS = "presence_router_storage_commit_duration_seconds", Kind::Histogram(CALL_SECONDS), [],
        "How long a transaction of the database took, in seconds.";
    STORAGE_ROWS = "presence_router_storage_rows_total", Kind::Counter, [],
        "Rows that were written to the database.";
    STORAGE_WAITING = "presence_router_storage_waiting", Kind::Gauge, [],
        "Rows that wait to be written to the database.";

    HTTP_REQUESTS = "presence_router_http_requests_total", Kind::Counter, ["method", "route", "status"],
        "Requests that were answered, by their method, the route that served them and the status; 499 when the client went before the answer.";
    HTTP_SECONDS = "presence_router_http_request_duration_seconds", Kind::Histogram(REQUEST_SECONDS), ["method", "route"],
        "How long a request took, long-polls included, in seconds.";
    HTTP_RUNNING = "presence_router_http_requests_running", Kind::Gauge, [],
        "Requests that are being served.";

    BUILD_INFO = "presence_router_build_info", Kind::Gauge, ["version"],
        "Always 1; the version of the server is a label.";
    PROCESS_START = "process_start_time_seconds", Kind::Gauge, [],
        "When the server started, in seconds since the Unix epoch.";
    PROCESS_CPU = "process_cpu_seconds_total", Kind::Gauge, [],
        "Processor time that the server has used, in user and system mode, in seconds.";
    PROCESS_RESIDENT = "process_resident_memory_bytes", Kind::Gauge, [],
        "Memory of the server that is resident, in bytes.";
    PROCESS_THREADS = "process_threads", Kind::Gauge, [],
        "Threads of the server, modules included.";
    PROCESS_FILES = "process_open_fds", Kind::Gauge, [],
        "Files and sockets that the server has open.";
    PROCESS_MAX_FILES = "process_max_fds", Kind::Gauge, [],
        "How many files and sockets the server may have open.";
}

impl Metric {
    /// A handle to count with; `values` are those of the labels.
    pub(super) fn counter<const N: usize>(&self, values: [&str; N]) -> Counter {
        metrics::counter!(self.name, self.labels(values))
    }

    /// A handle to set.
    pub(super) fn gauge<const N: usize>(&self, values: [&str; N]) -> Gauge {
        metrics::gauge!(self.name, self.labels(values))
    }

    /// A handle to record with.
    pub(super) fn histogram<const N: usize>(&self, values: [&str; N]) -> Histogram {
        metrics::histogram!(self.name, self.labels(values))
    }

    fn labels<const N: usize>(&self, values: [&str; N]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), N, "{} has other labels", self.name);
        let pairs = self.labels.iter().zip(values);
        pairs
            .map(|(name, value)| Label::new(*name, value.to_owned()))
            .collect()
    }

    /// Tells the present recorder what the metric is.
    pub(super) fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram(_) => metrics::describe_histogram!(self.name, self.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    impl Kind {
        fn name(self) -> &'static str {
            match self {
                Self::Counter => "counter",
                Self::Gauge => "gauge",
                Self::Histogram(_) => "histogram",
            }
        }
    }

    #[test]
    fn the_documentation_lists_exactly_these() {
        let page = include_str!("../../../docs/metrics.md");
        // A row: | `name` | kind | `label`, `label` | meaning |
        let documented: BTreeSet<(String, String, String)> = page
            .lines()
            .skip_while(|line| !line.starts_with("| name | kind | labels |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let mut cells = line
                    .trim_matches('|')
                    .split('|')
                    .map(|cell| cell.trim().replace('`', ""));
                let mut cell = || cells.next().expect("a row has three cells and a meaning");
                (cell(), cell(), cell())
            })
            .collect();
        let defined: BTreeSet<_> = ALL
            .iter()
            .map(|metric| {
                let labels = metric.labels.join(", ");
                (metric.name.to_owned(), metric.kind.name().to_owned(), labels)
            })
            .collect();
        assert_eq!(defined.len(), ALL.len(), "a name is there twice");
        let missing: Vec<_> = defined.difference(&documented).collect();
        let unknown: Vec<_> = documented.difference(&defined).collect();
        assert!(missing.is_empty(), "docs/metrics.md lacks {missing:#?}");
        assert!(
            unknown.is_empty(),
            "docs/metrics.md has, but no code defines {unknown:#?}"
        );
    }

    #[test]
    fn the_names_are_as_prometheus_wants_them() {
        for Metric {
            name,
            kind,
            labels,
            help,
        } in ALL
        {
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(plain(name) && labels.iter().all(|label| plain(label)), "{name}");
            assert!(*kind != Kind::Counter || name.ends_with("_total"), "{name}");
            assert!(help.ends_with('.'), "{name}: {help}");
            if let Kind::Histogram(buckets) = kind {
                assert!(name.ends_with("_seconds"), "{name}");
                assert!(buckets.is_sorted(), "{name}");
            }
        }
    }
}

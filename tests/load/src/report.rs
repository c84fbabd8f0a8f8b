//! What was measured, as it is printed.

use serde::Serialize;

use crate::crew::Measured;
use crate::expected::Expected;
use crate::run::{Errors, Run};
use crate::stats::{Latency, float, per, round};
use crate::table::Table;
use crate::usage::{ServerUse, Used};

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    label: String,
    base_url: String,
    machine_cores: usize,
    writers: usize,
    connections: usize,
    offered_rate: Offered,
    seconds: f64,
    /// Acknowledged ones that were sent in the window.
    updates: u64,
    updates_per_s: f64,
    put_latency: Latency,
    connections_opened: u64,
    server: Vec<ServerUse>,
    server_cpu_cores: Option<f64>,
    server_rss_mib: Option<f64>,
    server_cpu_s_per_1000_updates: Option<f64>,
    updates_per_cpu_s: Option<f64>,
    generator_cpu_cores: f64,
    generator_cpu_us_per_update: Option<f64>,
    /// Anything else that runs spoils the figures: cores that were neither the server's, if `--pid` was given, nor ours.
    other_cpu_cores: f64,
    /// Cores that the hypervisor took away.
    stolen_cpu_cores: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<SyncReport>,
    errors: Errors,
}

/// How many updates a second were wanted.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Offered {
    Rate(f64),
    Other(&'static str),
}

/// The part of those who listen.
#[derive(Debug, Serialize)]
struct SyncReport {
    syncers: usize,
    /// Updates that arrived, each once for a syncer. Presence is state: what a newer update has replaced need not arrive.
    deliveries: u64,
    deliveries_per_s: f64,
    delivered_of_acked: f64,
    observer_deliveries_per_s: f64,
    observer_delivered_of_acked: f64,
    delivery_latency: Latency,
    responses_per_s: f64,
    events_per_response: f64,
    responses_without_our_updates_per_s: f64,
    responses_with_unmoved_token_per_s: f64,
    bytes_per_s: f64,
    duplicate_events: u64,
    events_for_the_wrong_user: u64,
    /// Pairs of a syncer and a writer whose last acknowledged update never arrived. It has two names: scripts know the first.
    pairs_without_final_state: u64,
    missing_final: u64,
    pairs: u64,
    server_cpu_s_per_1000_deliveries: Option<f64>,
    deliveries_per_cpu_s: Option<f64>,
}

/// What was wanted, and what was measured.
pub(crate) struct Results<'a> {
    pub(crate) label: &'a str,
    pub(crate) run: &'a Run,
    /// How many users wrote, and over how many connections.
    pub(crate) writers: usize,
    pub(crate) connections: usize,
    /// How many connections listened.
    pub(crate) listeners: usize,
    /// Updates a second; 0 is a closed loop.
    pub(crate) rate: f64,
    /// Seconds that were measured.
    pub(crate) seconds: f64,
    pub(crate) usage: Used,
    pub(crate) measured: Measured,
}

impl Results<'_> {
    pub(crate) fn report(self) -> Report {
        let seconds = self.seconds;
        let updates = self.measured.writes.updates();
        let cpu = self.usage.server_cpu_seconds();
        let sync = (self.listeners > 0).then(|| self.sync_report(cpu));
        let mut errors = self.measured.writes.errors;
        errors.merge(self.measured.syncs.errors);
        let usage = self.usage;
        Report {
            label: self.label.to_owned(),
            base_url: self.run.targets.base_url.clone(),
            machine_cores: std::thread::available_parallelism().map_or(0, usize::from),
            writers: self.writers,
            connections: self.connections,
            offered_rate: if self.connections == 0 {
                Offered::Other("nothing is written")
            } else if self.rate > 0.0 {
                Offered::Rate(self.rate)
            } else {
                Offered::Other("closed loop")
            },
            seconds,
            updates,
            updates_per_s: round(float(updates) / seconds, 1),
            put_latency: self.measured.writes.latency.summary(),
            connections_opened: self.measured.writes.opened,
            server_cpu_cores: cpu.map(|cpu| round(cpu / seconds, 3)),
            server_rss_mib: usage.server_rss_mib(),
            server_cpu_s_per_1000_updates: cpu.and_then(|cpu| cost_of_1000(cpu, updates)),
            updates_per_cpu_s: cpu.and_then(|cpu| per(updates, cpu, 1)),
            generator_cpu_cores: round(usage.own / seconds, 3),
            generator_cpu_us_per_update: (updates > 0).then(|| round(usage.own * 1e6 / float(updates), 2)),
            other_cpu_cores: round(usage.others / seconds, 3),
            stolen_cpu_cores: round(usage.stolen / seconds, 3),
            server: usage.server,
            sync,
            errors,
        }
    }

    fn sync_report(&self, cpu: Option<f64>) -> SyncReport {
        let (seconds, syncs) = (self.seconds, &self.measured.syncs);
        let users = &self.run.targets.users;
        let expected = Expected::of(users, &self.measured.writes.written, &syncs.seen);
        let rate = |count| round(float(count) / seconds, 1);
        let of = |count, of: u64| round(float(count) / float(of.max(1)), 4);
        SyncReport {
            syncers: self.listeners,
            deliveries: syncs.deliveries,
            deliveries_per_s: rate(syncs.deliveries),
            delivered_of_acked: of(syncs.deliveries, expected.updates),
            observer_deliveries_per_s: rate(syncs.observer_deliveries),
            observer_delivered_of_acked: of(syncs.observer_deliveries, expected.observer_updates),
            delivery_latency: syncs.latency.summary(),
            responses_per_s: rate(syncs.responses),
            events_per_response: round(float(syncs.deliveries) / float(syncs.responses.max(1)), 2),
            responses_without_our_updates_per_s: rate(syncs.empty),
            responses_with_unmoved_token_per_s: rate(syncs.unmoved),
            bytes_per_s: round(float(syncs.bytes) / seconds, 0),
            duplicate_events: syncs.duplicates,
            events_for_the_wrong_user: syncs.unexpected,
            pairs_without_final_state: expected.missing_final,
            missing_final: expected.missing_final,
            pairs: expected.pairs,
            server_cpu_s_per_1000_deliveries: cpu.and_then(|cpu| cost_of_1000(cpu, syncs.deliveries)),
            deliveries_per_cpu_s: cpu.and_then(|cpu| per(syncs.deliveries, cpu, 1)),
        }
    }
}

fn cost_of_1000(cpu: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| round(cpu * 1000.0 / float(count), 4))
}

impl Report {
    /// For people.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        if !self.label.is_empty() {
            table.row("label", &self.label);
        }
        let offered = match self.offered_rate {
            Offered::Rate(rate) => format!("{rate} updates/s"),
            Offered::Other(text) => text.to_owned(),
        };
        let (writers, connections, seconds) = (self.writers, self.connections, self.seconds);
        table.row(
            "load",
            format!("{writers} writers on {connections} connections, {offered}, {seconds} s"),
        );
        table.row("updates/s", self.updates_per_s);
        table.latency("PUT", &self.put_latency);
        table.maybe("updates a CPU-second", self.updates_per_cpu_s);
        if let Some(sync) = &self.sync {
            table.row("syncers", sync.syncers);
            table.row("deliveries/s", sync.deliveries_per_s);
            table.row(
                "delivered of sent",
                format!("{} (what was replaced need not arrive)", sync.delivered_of_acked),
            );
            table.latency("update to delivery", &sync.delivery_latency);
            table.maybe("deliveries a CPU-second", sync.deliveries_per_cpu_s);
            table.row("repeated events", sync.duplicate_events);
            table.row("events not to be seen", sync.events_for_the_wrong_user);
            table.row(
                "without final state",
                format!("{} of {} pairs", sync.missing_final, sync.pairs),
            );
        }
        table.maybe("server, CPU cores", self.server_cpu_cores);
        table.maybe("server, resident MiB", self.server_rss_mib);
        table.row("generator, CPU cores", self.generator_cpu_cores);
        table.row("others, CPU cores", self.other_cpu_cores);
        table.errors(&self.errors);
        table
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::OnceLock;

    use serde_json::Value;

    use super::*;
    use crate::http::Authority;
    use crate::run::Window;
    use crate::stamp::{Seen, Stamp, Tag};
    use crate::targets::{Role, Targets, User};
    use crate::usage::ServerUse;
    use crate::writer::Written;

    /// Ten updates of user 0 in two seconds, of which user 1 has seen eight.
    fn report(server: Vec<ServerUse>) -> Value {
        let user = |name: &str| User {
            user_id: name.to_owned(),
            token: String::new(),
            rooms: vec![1],
            role: Role::User,
        };
        let run = Run {
            authority: Authority::of("http://x:1").expect("valid"),
            targets: Targets {
                base_url: "http://x:1".to_owned(),
                users: vec![user("@a:x"), user("@b:x")],
            },
            tag: Tag::new(1),
            window: Window::after(0.0, 2.0).expect("a window"),
            started: OnceLock::new(),
            sync_path: String::new(),
        };
        let mut measured = Measured::nothing();
        measured.writes.written.push(Written {
            user: 0,
            updates: 10,
            last: Some(9),
        });
        let mut seen = Seen::default();
        seen.note(Stamp { writer: 0, at: 9 });
        measured.syncs.seen.push((1, seen));
        measured.syncs.deliveries = 8;
        measured.syncs.responses = 4;
        let usage = Used {
            server,
            own: 0.5,
            others: 1.0,
            stolen: 0.0,
        };
        let results = Results {
            label: "a label",
            run: &run,
            writers: 1,
            connections: 1,
            listeners: 1,
            rate: 0.0,
            seconds: 2.0,
            usage,
            measured,
        };
        serde_json::to_value(results.report()).expect("JSON")
    }

    #[test]
    fn rates_are_by_the_second_and_costs_by_the_cpu_second() {
        let report = report(vec![ServerUse::of(4, 0.25), ServerUse::of(5, 0.75)]);
        assert_eq!(
            (&report["updates"], &report["updates_per_s"]),
            (&10.into(), &5.0.into())
        );
        assert_eq!(report["server_cpu_cores"], 0.5);
        assert_eq!(report["updates_per_cpu_s"], 10.0);
        assert_eq!(report["server_cpu_s_per_1000_updates"], 100.0);
        assert_eq!(report["generator_cpu_cores"], 0.25);
        assert_eq!(report["generator_cpu_us_per_update"], 50_000.0);
        assert_eq!(report["other_cpu_cores"], 0.5);
        let sync = &report["sync"];
        assert_eq!(
            (&sync["deliveries_per_s"], &sync["deliveries_per_cpu_s"]),
            (&4.0.into(), &8.0.into())
        );
        assert_eq!(
            (&sync["delivered_of_acked"], &sync["events_per_response"]),
            (&0.8.into(), &2.0.into())
        );
        assert_eq!((&sync["pairs"], &sync["missing_final"]), (&1.into(), &0.into()));
    }

    #[test]
    fn without_a_server_to_look_at_nothing_is_said_of_it() {
        let report = report(Vec::new());
        for name in ["server_cpu_cores", "server_rss_mib", "updates_per_cpu_s"] {
            assert_eq!(report[name], Value::Null, "{name}");
        }
    }

    /// Scripts read them.
    #[test]
    fn the_names_of_what_is_measured_stay() {
        let report = report(Vec::new());
        let names = |value: &Value| -> BTreeSet<String> {
            value.as_object().expect("an object").keys().cloned().collect()
        };
        for name in [
            "label",
            "writers",
            "offered_rate",
            "seconds",
            "put_latency",
            "server",
            "stolen_cpu_cores",
            "errors",
        ] {
            assert!(names(&report).contains(name), "{name}");
        }
        let latency = [
            "count", "max_ms", "mean_ms", "p50_ms", "p90_ms", "p999_ms", "p99_ms",
        ];
        assert_eq!(names(&report["put_latency"]), latency.map(str::to_owned).into());
        assert_eq!(report["put_latency"], report["sync"]["delivery_latency"]);
        assert!(names(&report["sync"]).contains("pairs_without_final_state"));
    }
}

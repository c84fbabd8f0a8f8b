//! The recorder of the process, and the text that Prometheus reads from it.

use std::time::Duration;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::metrics::names::{ALL, BUILD_INFO, DEFAULT_BUCKETS, Kind};
use crate::metrics::process::Process;
use crate::metrics::scrape;

/// The form of [`Exposition::render`]: Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How often [`Exposition::keep_up`] looks after what was recorded.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What is recorded, as Prometheus reads it. Clones read the same.
#[derive(Debug, Clone)]
pub struct Exposition {
    handle: PrometheusHandle,
    process: Process,
}

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The process records metrics already.
    #[error("the process records metrics already; install one recorder only")]
    Installed,
    /// A metric has no buckets.
    #[error("a histogram is defined without buckets")]
    Buckets(#[from] BuildError),
}

impl Exposition {
    /// Has this process record metrics from now on. Handles that were fetched before do nothing for ever, so this comes
    /// before whatever counts.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub fn install(started_ms: u64) -> Result<Self, InstallError> {
        let (recorder, exposition) = Self::build(started_ms)?;
        metrics::set_global_recorder(recorder).map_err(|_| InstallError::Installed)?;
        BUILD_INFO.gauge([env!("CARGO_PKG_VERSION")]).set(1.0);
        Ok(exposition)
    }

    /// A recorder for one test, which makes it the one of its thread.
    #[cfg(test)]
    pub(crate) fn for_test() -> (PrometheusRecorder, Self) {
        Self::build(0).expect("each histogram has buckets")
    }

    fn build(started_ms: u64) -> Result<(PrometheusRecorder, Self), InstallError> {
        let mut builder = PrometheusBuilder::new().set_buckets(DEFAULT_BUCKETS)?;
        for metric in ALL {
            if let Kind::Histogram(buckets) = metric.kind {
                builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
            }
        }
        let recorder = builder.build_recorder();
        let process = metrics::with_local_recorder(&recorder, || {
            for metric in ALL {
                metric.describe();
            }
            Process::started_at(started_ms)
        });
        let handle = recorder.handle();
        Ok((recorder, Self { handle, process }))
    }

    /// The metrics, in the form [`CONTENT_TYPE`]. Refreshes what is read rather than counted.
    pub fn render(&self) -> String {
        self.process.refresh();
        scrape::refresh_all();
        self.handle.render()
    }

    /// Sorts what histograms have recorded into their buckets, now and then, for ever. Without it, and with nobody who
    /// reads the metrics, what is recorded would grow without a bound.
    pub async fn keep_up(self) {
        let mut turns = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            turns.tick().await;
            self.handle.run_upkeep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::names::{HTTP_SECONDS, NOTIFIED, STATE_TRANSITION};

    #[test]
    fn a_metric_is_told_with_its_help_its_kind_its_labels_and_buckets() {
        let (recorder, exposition) = Exposition::for_test();
        metrics::with_local_recorder(&recorder, || {
            NOTIFIED.counter([]).increment(3);
            STATE_TRANSITION
                .counter(["local", "online", "a\"b\n"])
                .increment(1);
            HTTP_SECONDS.histogram(["GET", "/x"]).record(0.02);
            metrics::histogram!("a_module_s_own").record(5.0);
        });
        let text = exposition.render();
        for line in [
            "# HELP synapse_handler_presence_notified_presence_total Changes of a user's presence that others were told of.",
            "# TYPE synapse_handler_presence_notified_presence_total counter",
            "synapse_handler_presence_notified_presence_total 3",
            r#"synapse_handler_presence_state_transition_total{locality="local",from="online",to="a\"b\n"} 1"#,
            "# TYPE presence_router_http_request_duration_seconds histogram",
            r#"presence_router_http_request_duration_seconds_bucket{method="GET",route="/x",le="0.01"} 0"#,
            r#"presence_router_http_request_duration_seconds_bucket{method="GET",route="/x",le="0.03"} 1"#,
            "# TYPE a_module_s_own histogram",
            r#"a_module_s_own_bucket{le="3"} 0"#,
            r#"a_module_s_own_bucket{le="10"} 1"#,
        ] {
            assert!(text.lines().any(|got| got == line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn the_process_is_told_of() {
        let text = Exposition::build(1_500).expect("buckets").1.render();
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
            let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
            line.rsplit(' ')
                .next()
                .and_then(|value| value.parse().ok())
                .expect("a number")
        };
        assert!((value("process_start_time_seconds") - 1.5).abs() < f64::EPSILON);
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}

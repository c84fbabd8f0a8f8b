//! The process itself, under the names that all of Prometheus' libraries use. Reads `/proc`; where there is none, only the
//! time of the start is told.

use std::time::Duration;

use metrics::Gauge;
use procfs::process::LimitValue;

use crate::metrics::names::{
    PROCESS_CPU, PROCESS_FILES, PROCESS_MAX_FILES, PROCESS_RESIDENT, PROCESS_START, PROCESS_THREADS,
};

#[derive(Debug, Clone)]
pub(super) struct Process {
    cpu: Gauge,
    resident: Gauge,
    threads: Gauge,
    files: Gauge,
    max_files: Gauge,
}

impl Process {
    /// The process has started at this time of day, in milliseconds.
    pub(super) fn started_at(started_ms: u64) -> Self {
        PROCESS_START
            .gauge([])
            .set(Duration::from_millis(started_ms).as_secs_f64());
        Self {
            cpu: PROCESS_CPU.gauge([]),
            resident: PROCESS_RESIDENT.gauge([]),
            threads: PROCESS_THREADS.gauge([]),
            files: PROCESS_FILES.gauge([]),
            max_files: PROCESS_MAX_FILES.gauge([]),
        }
    }

    /// What cannot be read stays as it was.
    pub(super) fn refresh(&self) {
        let Ok(process) = procfs::process::Process::myself() else {
            return;
        };
        if let Ok(stat) = process.stat() {
            self.cpu
                .set(number(stat.utime + stat.stime) / number(procfs::ticks_per_second()));
            self.resident.set(number(stat.rss) * number(procfs::page_size()));
            self.threads.set(number(stat.num_threads.unsigned_abs()));
        }
        if let Ok(files) = process.fd_count() {
            self.files.set(number(files as u64));
        }
        if let Ok(limits) = process.limits() {
            self.max_files.set(match limits.max_open_files.soft_limit {
                LimitValue::Value(files) => number(files),
                LimitValue::Unlimited => f64::INFINITY,
            });
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 2^53, nobody misses the last digit of a metric"
)]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

//! The processor's time that this process has taken: what others do on the machine meanwhile is not in it.

use std::fs;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The thread of the database.
const STORAGE: &str = "storage";

/// What has been taken so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    all: Duration,
    storage: Duration,
}

impl Taken {
    /// Until now.
    pub(crate) fn now() -> Self {
        Self {
            all: taken(),
            storage: of_threads(STORAGE),
        }
    }

    /// By all threads since then.
    pub(crate) fn all_since(&self, before: &Self) -> Duration {
        self.all.saturating_sub(before.all)
    }

    /// By all threads since then, but for those that write to databases.
    pub(crate) fn without_storage_since(&self, before: &Self) -> Duration {
        let storage = self.storage.saturating_sub(before.storage);
        self.all_since(before).saturating_sub(storage)
    }
}

/// By all threads until now. Takes well under a microsecond.
pub(crate) fn taken() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// From now on, this thread and those that it starts share one core: none of them waits for another core to wake up, which
/// takes a time that differs by ten times from one moment to the next. Where the system refuses it, all stays as it was.
pub(crate) fn share_one_core() {
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|core| allowed.is_set(*core)) else {
        return;
    };
    let mut one = CpuSet::new();
    one.set(last);
    if let Err(error) = sched_setaffinity(None, &one) {
        println!("not on one core: {error}");
    }
}

/// By the threads of this name, as Linux counts it (`schedstat`).
fn of_threads(name: &str) -> Duration {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads
        .filter_map(|thread| {
            let comm = fs::read_to_string(thread.path().join("comm")).ok()?;
            if comm.trim_end() != name {
                return None;
            }
            let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            schedstat.split(' ').next()?.parse().ok()
        })
        .map(Duration::from_nanos)
        .sum()
}

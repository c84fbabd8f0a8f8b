//! Rolls a new generation back when too many of its calls fail in its first minutes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::AutomaticRollback;
use crate::operations::{Inner, Version};

/// How often it is looked after.
const EVERY: Duration = Duration::from_millis(250);
/// With fewer calls it is not judged: one error of a single call is no rate.
const MIN_CALLS: u64 = 10;

/// Watches what has taken over, if the config says so.
pub(super) fn begin(inner: &Arc<Inner>, version: &Version) {
    let Some(limits) = version.module.automatic_rollback else {
        return;
    };
    let (inner, version) = (Arc::clone(inner), version.clone());
    tokio::spawn(async move { watch(&inner, &version, limits).await });
}

async fn watch(inner: &Arc<Inner>, version: &Version, limits: AutomaticRollback) {
    let (name, until) = (&*version.module.name, Instant::now() + limits.within);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        ticks.tick().await;
        let Some(trouble) = inner.trouble(version, limits) else {
            continue;
        };
        let _running = inner.config.lock().await;
        // Whoever was first has replaced it.
        if !inner.is_serving(version) {
            return;
        }
        tracing::error!(module = name, "is rolled back: {trouble}");
        if let Err(not_done) = inner.roll_back(name).await {
            tracing::error!(
                module = name,
                step = %not_done.step,
                "could not be rolled back: {}",
                not_done.problems
            );
        }
        return;
    }
    inner.trust(version);
}

impl Inner {
    /// Why a generation is to be rolled back, if it is.
    fn trouble(&self, version: &Version, limits: AutomaticRollback) -> Option<String> {
        let view = self.engine.module(&version.module.name)?;
        if view.identity.generation != version.identity().generation {
            return None;
        }
        if view.stats.is_off {
            return Some("its crash budget is spent".to_owned());
        }
        let counts = view.stats.counts;
        let is_too_many =
            counts.total >= MIN_CALLS && counts.failure_rate().is_some_and(|rate| rate > limits.error_rate);
        is_too_many.then(|| format!("{} of its first {} calls failed", counts.failed(), counts.total))
    }

    fn is_serving(&self, version: &Version) -> bool {
        let loaded = self.loaded.read();
        loaded.iter().any(|loaded| {
            loaded.name() == version.module.name
                && loaded.is_watched
                && loaded.now.identity() == version.identity()
        })
    }

    /// It has passed its first minutes.
    fn trust(&self, version: &Version) {
        for loaded in &mut *self.loaded.write() {
            if loaded.now.identity() == version.identity() {
                loaded.is_watched = false;
            }
        }
    }
}

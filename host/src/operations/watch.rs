//! Rolls a new generation back when too many of its calls fail in its first minutes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::AutomaticRollback;
use crate::modules::Identity;
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
    // Not the version itself, which holds the library's copy on the disk.
    let (inner, name, identity) = (
        Arc::clone(inner),
        version.module.name.clone(),
        version.identity().clone(),
    );
    tokio::spawn(async move { watch(&inner, &name, &identity, limits).await });
}

async fn watch(inner: &Arc<Inner>, name: &str, identity: &Identity, limits: AutomaticRollback) {
    let until = Instant::now() + limits.within;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        ticks.tick().await;
        if !inner.is_serving(name, identity) {
            return;
        }
        let Some(trouble) = inner.trouble(name, identity, limits) else {
            continue;
        };
        let _running = inner.config.lock().await;
        // Whoever was first has replaced it.
        if !inner.is_serving(name, identity) {
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
    inner.trust(name, identity);
}

impl Inner {
    /// Why a generation is to be rolled back, if it is.
    fn trouble(&self, name: &str, watched: &Identity, limits: AutomaticRollback) -> Option<String> {
        let view = self.engine.module(name)?;
        if view.identity != *watched {
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

    fn is_serving(&self, name: &str, watched: &Identity) -> bool {
        let loaded = self.loaded.read();
        loaded
            .iter()
            .any(|loaded| loaded.name() == name && loaded.is_watched && loaded.now.identity() == watched)
    }

    /// It has passed its first minutes.
    fn trust(&self, name: &str, watched: &Identity) {
        for loaded in &mut *self.loaded.write() {
            if loaded.name() == name && loaded.now.identity() == watched {
                loaded.is_watched = false;
            }
        }
    }
}

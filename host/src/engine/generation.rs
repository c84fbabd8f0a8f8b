//! What serves under a module's name until another takes over.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::delivery::Form;
use crate::engine::Engine;
use crate::modules::{Advice, CallError, CallStats, Counts, Identity, Running, Who};

/// How many users an instance is tried out with.
const PROBED: usize = 16;

/// A started instance, and who is calling it.
pub(super) struct Generation {
    module: Running,
    /// What its routes depend on: its file and its config.
    pub(super) fingerprint: String,
    /// How it routes.
    pub(super) form: Form,
    /// Counts what has served under the name; a file that comes back is another.
    pub(super) turn: u64,
    /// Since when it serves, in milliseconds since the Unix epoch.
    pub(super) since_ms: u64,
    /// Calls before it served: those by which it was tried out.
    tried: Counts,
    leases: TaskTracker,
}

impl Generation {
    pub(super) fn new(module: Running, fingerprint: &str, form: Form, turn: u64, since_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            tried: module.stats().counts,
            module,
            fingerprint: fingerprint.to_owned(),
            form,
            turn,
            since_ms,
            leases: TaskTracker::new(),
        })
    }

    /// How long the instance is still left alone.
    pub(super) fn quarantined_for(&self) -> Option<Duration> {
        self.module.quarantined_for()
    }

    /// Whether the instance has crashed as often as it may.
    pub(super) fn is_off(&self) -> bool {
        self.module.is_off()
    }

    fn stats(&self) -> CallStats {
        let stats = self.module.stats();
        CallStats {
            counts: stats.counts.since(self.tried),
            ..stats
        }
    }

    pub(super) fn lease(self: &Arc<Self>) -> Lease {
        Lease {
            _token: self.leases.token(),
            generation: Arc::clone(self),
        }
    }
}

/// A generation that is being asked: it is not shut down before the lease is over, within bounds.
pub(super) struct Lease {
    generation: Arc<Generation>,
    _token: TaskTrackerToken,
}

impl Lease {
    pub(super) fn generation(&self) -> &Generation {
        &self.generation
    }
}

impl Deref for Lease {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.generation.module
    }
}

/// A generation that routes no more. It is to be [ended](Self::end).
#[must_use = "what it has running goes on until it is ended"]
pub struct Retired(pub(super) Arc<Generation>);

impl Retired {
    /// The instance.
    pub fn module(&self) -> &Running {
        &self.0.module
    }

    /// Waits for the calls that run, `drain` at most, and shuts the instance down: it has `shutdown` for that. `false` when it
    /// was not done by then, and is left behind.
    pub async fn end(self, drain: Duration, shutdown: Duration) -> bool {
        let Self(generation) = self;
        generation.leases.close();
        let drained = tokio::time::timeout(drain, generation.leases.wait()).await;
        generation.module.shutdown(shutdown).await && drained.is_ok()
    }
}

/// A module that serves, looked at.
#[derive(Debug, Clone)]
pub struct ModuleView {
    /// The library.
    pub identity: Identity,
    /// Since when this generation serves, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Its calls so far.
    pub stats: CallStats,
    /// How many users it has yet to route.
    pub dirty_users: usize,
}

impl Engine {
    /// What serves under a name.
    pub fn module(&self, name: &str) -> Option<ModuleView> {
        let feeds = self.0.feeds();
        let feed = feeds.iter().find(|feed| &**feed.name() == name)?;
        let lease = feed.lease();
        Some(ModuleView {
            identity: lease.identity().clone(),
            since_ms: lease.generation().since_ms,
            stats: lease.generation().stats(),
            dirty_users: feed.dirty.lock().len(),
        })
    }

    /// Asks an instance that does not serve yet as it will be asked when it does, about a few users. What it answers is
    /// checked, and not delivered.
    ///
    /// # Errors
    /// [`ProbeError`] when it gives no answer, or a wrong one.
    pub async fn probe(&self, module: &Running) -> Result<(), ProbeError> {
        let (readers, states): (Vec<_>, Vec<_>) = {
            let world = self.0.world.read();
            let users = world.directory.users().filter(|user| world.is_mine(*user));
            users
                .take(PROBED)
                .filter_map(|user| Some((world.directory.id(user)?.clone(), world.crossing(user)?)))
                .unzip()
        };
        let failed = |method| move |error| ProbeError { method, error };
        for batch in [Vec::new(), states] {
            let routed = module.get_users_for_states(batch, None).await;
            routed.map_err(failed("get_users_for_states"))?;
        }
        for reader in readers {
            let interested = module.get_interested_users(&reader).await;
            interested.map_err(failed("get_interested_users"))?;
        }
        Ok(())
    }
}

/// Why an instance is not let to serve.
#[derive(Debug, thiserror::Error)]
#[error("{method} failed when it was tried out: {error}")]
pub struct ProbeError {
    method: &'static str,
    error: CallError,
}

impl Advice for ProbeError {
    fn who(&self) -> Who {
        Who::Author
    }

    fn fix(&self) -> String {
        "`presence-router verify` shows what else it does wrong; what served before goes on".into()
    }
}

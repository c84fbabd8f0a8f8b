//! What is told of a module and of an operation: to programs as JSON, to people as the command line prints it.

use serde::{Deserialize, Serialize};

use crate::engine::ModuleView;
use crate::modules::Identity;
pub use crate::modules::{Counts, Latency};
use crate::operations::{Inner, Loaded};

/// A loaded module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// What the config calls the instance.
    pub name: String,
    /// The library that serves: its package and version, its router, generation, hash and file.
    #[serde(flatten)]
    pub library: LibraryStatus,
    /// Whether it is asked.
    pub state: ModuleState,
    /// Since when this generation serves, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// How often it was called since it serves, by outcome.
    pub calls: Counts,
    /// How long its calls took since it serves; nothing before the first.
    pub latency: Option<Latency>,
    /// Calls that wait for their turn, or run.
    pub queue: usize,
    /// Users whose newest state it has yet to route.
    pub dirty_users: usize,
    /// What keeps it from doing harm.
    pub containment: Containment,
    /// The generation to which `rollback` would go back.
    pub previous: Option<Identity>,
}

/// The same as [`Identity`], with the package's name under a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryStatus {
    /// The package's name.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// Which of the library's routers.
    pub router: String,
    /// The number of the copy among all that this process has made.
    pub generation: u64,
    /// The hash of the file.
    pub sha256: crate::sha256::Sha256,
    /// The file.
    pub path: std::path::PathBuf,
}

impl From<Identity> for LibraryStatus {
    fn from(identity: Identity) -> Self {
        let Identity {
            name: package,
            version,
            router,
            generation,
            sha256,
            path,
        } = identity;
        Self {
            package,
            version,
            router,
            generation,
            sha256,
            path,
        }
    }
}

/// Whether a module is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModuleState {
    /// It is.
    Serving,
    /// It is, and is rolled back when too many of its calls fail.
    Watched,
    /// Not for a while, after a call that overran.
    Quarantined,
    /// Not until an operator reloads or rolls it back: its crash budget is spent.
    Off,
}

/// What keeps a module from doing harm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containment {
    /// How much longer it is left alone, in milliseconds.
    pub quarantined_for_ms: Option<u64>,
    /// Threads that it blocks, each left behind.
    pub blocked_threads: usize,
    /// Panics and overrun calls in the window of the crash budget.
    pub crashes: u32,
    /// With so many, it is off; nothing when it never is.
    pub crash_budget: Option<u32>,
}

impl Inner {
    pub(super) fn status(&self) -> Vec<ModuleStatus> {
        let loaded = self.loaded.read();
        loaded
            .iter()
            .filter_map(|loaded| self.status_of(loaded))
            .collect()
    }

    fn status_of(&self, loaded: &Loaded) -> Option<ModuleStatus> {
        let ModuleView {
            identity,
            since_ms,
            stats,
            dirty_users,
        } = self.engine.module(loaded.name())?;
        let state = if stats.is_off {
            ModuleState::Off
        } else if stats.quarantined_for.is_some() {
            ModuleState::Quarantined
        } else if loaded.is_watched {
            ModuleState::Watched
        } else {
            ModuleState::Serving
        };
        Some(ModuleStatus {
            name: loaded.name().to_owned(),
            library: identity.into(),
            state,
            since_ms,
            calls: stats.counts,
            latency: stats.latency,
            queue: stats.queue,
            dirty_users,
            containment: Containment {
                quarantined_for_ms: stats
                    .quarantined_for
                    .map(|rest| u64::try_from(rest.as_millis()).unwrap_or(u64::MAX)),
                blocked_threads: stats.blocked_threads,
                crashes: stats.crashes,
                crash_budget: stats.crash_budget,
            },
            previous: loaded.before.as_ref().map(|before| before.identity().clone()),
        })
    }
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What the config calls the instance.
    pub name: String,
    /// What was done.
    pub what: What,
    /// What serves now.
    pub now: Option<Identity>,
    /// What served before.
    pub before: Option<Identity>,
    /// Whether the one before has ended: its calls, its tasks, its `shutdown`. If not, it was left behind.
    pub before_has_ended: bool,
}

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A module was loaded that was not there.
    Loaded,
    /// A new generation took over.
    Reloaded,
    /// The generation before took over again.
    RolledBack,
    /// It is there no more.
    Unloaded,
}

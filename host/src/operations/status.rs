//! What is told of a module and of an operation: to programs as JSON, to people as the command line prints it.

use serde::{Deserialize, Serialize};

use crate::modules::Identity;

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

/// Calls, by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All that have ended.
    pub total: u64,
    /// With an error of the module's.
    pub errors: u64,
    /// With a panic.
    pub panics: u64,
    /// Not by their deadline.
    pub timeouts: u64,
    /// With an answer that was wrong.
    pub wrong: u64,
}

/// How long calls took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
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
    /// With so many, it is off.
    pub crash_budget: u32,
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

//! What an operator does to a running server: swap, roll back, load and unload modules, reload the config, look at it.
//!
//! Owns the order of the steps and what happens when one fails: what ran before runs on. The loader and the engine do the
//! steps; who asks (the admin socket, a signal) is none of its business. One operation runs at a time. Once begun it must
//! run to its end, or an instance that was started may be left to nobody: who serves a client that may go away runs it on a
//! task.

mod destinations;
mod prepare;
mod reload;
mod status;
mod transaction;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::config::{self, Config, Origins};
use crate::directory::StaticSource;
use crate::engine::Engine;
use crate::federation::Sender;
use crate::modules::{HostFacts, Identity, Loader, Opened};
use crate::problems::Problems;
use crate::sha256::Sha256;

pub use crate::operations::destinations::{DestinationState, DestinationStatus};
pub use crate::operations::prepare::{Accepted, accept_all, source};
pub use crate::operations::status::{
    Changed, Containment, Counts, Latency, LibraryStatus, ModuleState, ModuleStatus, What,
};

/// The operations of a running server. Clones are the same.
#[derive(Clone)]
pub struct Operations(Arc<Inner>);

struct Inner {
    files: Vec<PathBuf>,
    loader: Loader,
    engine: Engine,
    directory: Arc<StaticSource>,
    facts: HostFacts,
    /// Held by the operation that runs: what is in force of the config.
    config: Mutex<Config>,
    /// In the order in which they were loaded.
    loaded: RwLock<Vec<Loaded>>,
    /// What sends to other homeservers.
    sender: OnceLock<Sender>,
}

/// What operations work on.
pub struct Setup {
    /// The config files, to be read again.
    pub files: Vec<PathBuf>,
    /// What is in force of them.
    pub config: Config,
    /// The loader of this process.
    pub loader: Loader,
    /// The presence server.
    pub engine: Engine,
    /// Users, tokens and rooms of the config.
    pub directory: Arc<StaticSource>,
    /// What the host is to its modules.
    pub facts: HostFacts,
}

/// A module that serves, and what it could be replaced by.
struct Loaded {
    now: Version,
    /// What served before; nothing after a rollback.
    before: Option<Version>,
    /// What was rolled back from. A reload of the whole config does not take it again.
    shunned: Option<Shunned>,
    /// Whether it is rolled back when too many of its calls fail.
    is_watched: bool,
}

/// What was rolled back from: without the library, which goes.
#[derive(Clone)]
struct Shunned {
    sha256: Sha256,
    module: config::Module,
}

impl Shunned {
    /// Whether this is a file and a config that may route otherwise than what was rolled back from.
    fn differs_from(&self, sha256: Sha256, module: &config::Module) -> bool {
        // By the name of the entry, too: it may ask for another router of the same library.
        self.sha256 != sha256 || self.module.module != module.module || self.module.config != module.config
    }
}

/// A library and a config.
#[derive(Clone)]
struct Version {
    key: String,
    module: config::Module,
    opened: Opened,
    fingerprint: String,
}

impl Version {
    fn identity(&self) -> &Identity {
        self.opened.identity()
    }
}

/// A step of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The module is looked up among those that are loaded.
    Find,
    /// The config is read, and the module found in it.
    Config,
    /// The library is located, copied, inspected and opened.
    Open,
    /// The module checks its config.
    Configure,
    /// The instance starts.
    Start,
    /// The instance answers a few calls, of which nothing is delivered.
    Probe,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Find => "find",
            Self::Config => "config",
            Self::Open => "open",
            Self::Configure => "configure",
            Self::Start => "start",
            Self::Probe => "probe",
        })
    }
}

/// Why an operation was not done. What ran before runs on, unchanged.
#[derive(Debug)]
pub struct NotDone {
    /// The step that failed.
    pub step: Step,
    /// Why, where, and what to do.
    pub problems: Problems,
}

impl NotDone {
    fn at(step: Step, problems: impl Into<Problems>) -> Self {
        Self {
            step,
            problems: problems.into(),
        }
    }
}

impl Operations {
    /// Of a server that has no modules yet.
    pub fn new(setup: Setup) -> Self {
        let Setup {
            files,
            config,
            loader,
            engine,
            directory,
            facts,
        } = setup;
        Self(Arc::new(Inner {
            files,
            loader,
            engine,
            directory,
            facts,
            config: Mutex::new(config),
            loaded: RwLock::default(),
            sender: OnceLock::new(),
        }))
    }

    /// What sends to other homeservers, from now on.
    pub fn sends_by(&self, sender: Sender) {
        // It is set once, at the start.
        let _ = self.0.sender.set(sender);
    }

    /// How other homeservers are reached, by name; nothing where there is no federation.
    pub fn destinations(&self) -> Option<Vec<DestinationStatus>> {
        self.0.destinations()
    }

    /// The presence server.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The modules, in the order in which they were loaded.
    pub fn modules(&self) -> Vec<ModuleStatus> {
        self.0.status()
    }

    /// Starts modules in this order, and lets them route. What starts with the server is not probed: there is nothing yet
    /// that it could be asked of.
    ///
    /// # Errors
    /// What is wrong with the first that does not start; those before it serve.
    pub async fn start(&self, accepted: Vec<Accepted>, origins: &Origins) -> Result<Vec<Identity>, Problems> {
        let config = self.0.config.lock().await;
        let mut identities = Vec::with_capacity(accepted.len());
        for accepted in accepted {
            let identity = accepted.configured.identity().clone();
            self.0
                .begin(accepted, origins)
                .await
                .map_err(|not_done| not_done.problems)?;
            identities.push(identity);
        }
        drop(config);
        Ok(identities)
    }

    /// Replaces a module by a new generation: the file and the config as they are now.
    ///
    /// # Errors
    /// [`NotDone`] when no such module is loaded, or a step failed.
    pub async fn reload(&self, name: &str) -> Result<Changed, NotDone> {
        let _running = self.0.config.lock().await;
        self.0.reload(name).await
    }

    /// Replaces a module by the generation before, with the config that it had.
    ///
    /// # Errors
    /// [`NotDone`] when no such module is loaded, there was none before, or a step failed.
    pub async fn roll_back(&self, name: &str) -> Result<Changed, NotDone> {
        let _running = self.0.config.lock().await;
        self.0.roll_back(name).await
    }

    /// Loads a module that the config names and that is not loaded.
    ///
    /// # Errors
    /// [`NotDone`] when it is loaded, the config does not name it, or a step failed.
    pub async fn load(&self, name: &str) -> Result<Changed, NotDone> {
        let _running = self.0.config.lock().await;
        self.0.load(name).await
    }

    /// Unloads a module. A later reload of the config, or `load`, loads it again if the config names it.
    ///
    /// # Errors
    /// [`NotDone`] when no such module is loaded.
    pub async fn unload(&self, name: &str) -> Result<Changed, NotDone> {
        let _running = self.0.config.lock().await;
        self.0.unload(name).await
    }

    /// Reads the config again, and applies what can be applied while the server runs. What happens to each module is logged.
    pub async fn reload_config(&self) {
        self.0.reload_config().await;
    }
}

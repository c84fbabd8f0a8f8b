//! What an operator does to a running server: swap, roll back, load and unload modules, reload the config, look at it.
//!
//! Owns the order of the steps and what happens when one fails: what ran before runs on. The loader and the engine do the
//! steps; who asks (the admin socket, a signal) is none of its business. One operation runs at a time.

mod status;

pub use crate::operations::status::{
    Changed, Containment, Counts, Latency, LibraryStatus, ModuleState, ModuleStatus, What,
};

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::directory::StaticSource;
use crate::engine::Engine;
use crate::modules::{HostFacts, Loader};
use crate::problems::Problems;

/// The operations of a running server. Clones are the same.
#[derive(Clone)]
pub struct Operations(Arc<Inner>);

struct Inner {
    setup: Setup,
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

/// A step of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
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

/// Why an operation was not done. What ran before runs on, unchanged.
#[derive(Debug)]
pub struct NotDone {
    /// The step that failed.
    pub step: Step,
    /// Why, where, and what to do.
    pub problems: Problems,
}

impl Operations {
    /// Of a server that serves.
    pub fn new(setup: Setup) -> Self {
        Self(Arc::new(Inner { setup }))
    }

    /// The presence server.
    pub fn engine(&self) -> &Engine {
        &self.0.setup.engine
    }

    /// The modules, in the order of the config.
    pub fn modules(&self) -> Vec<ModuleStatus> {
        todo!()
    }

    /// Replaces a module by a new generation: the file and the config as they are now.
    ///
    /// # Errors
    /// [`NotDone`] when no such module is loaded, or a step failed.
    pub async fn reload(&self, name: &str) -> Result<Changed, NotDone> {
        let _ = name;
        todo!()
    }

    /// Replaces a module by the generation before, with the config that it had.
    ///
    /// # Errors
    /// [`NotDone`] when no such module is loaded, there was none before, or a step failed.
    pub async fn roll_back(&self, name: &str) -> Result<Changed, NotDone> {
        let _ = name;
        todo!()
    }

    /// Loads a module that the config names and that is not loaded.
    ///
    /// # Errors
    /// [`NotDone`] when it is loaded, the config does not name it, or a step failed.
    pub async fn load(&self, name: &str) -> Result<Changed, NotDone> {
        let _ = name;
        todo!()
    }

    /// Unloads a module. A later reload of the config, or `load`, loads it again if the config names it.
    ///
    /// # Errors
    /// [`NotDone`] when no such module is loaded.
    pub async fn unload(&self, name: &str) -> Result<Changed, NotDone> {
        let _ = name;
        todo!()
    }
}

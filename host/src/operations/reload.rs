//! Reads the config again, and applies what can be applied while the server runs: users and rooms, and the modules.

use std::sync::Arc;

use crate::config::{self, Applies, Config, Module, Origins};
use crate::directory::Replaced;
use crate::operations::prepare::source;
use crate::operations::transaction::blocking;
use crate::operations::{Changed, Inner, NotDone, What};

impl Inner {
    /// With an error in the files nothing changes. A module that is refused goes on as it was.
    pub(super) async fn reload_config(self: &Arc<Self>) {
        let mut in_force = self.config.lock().await;
        let (new, origins) = match self.read_config().await {
            Ok(read) => read,
            Err(NotDone { problems, .. }) => {
                tracing::error!(
                    "the config is not reloaded, the one before stays in force: {}",
                    problems.plain()
                );
                return;
            }
        };
        let differences = config::differences(&in_force, &new);
        let later: Vec<_> = differences
            .iter()
            .filter(|difference| difference.applies == Applies::AtRestart)
            .map(|difference| difference.key)
            .collect();
        if !later.is_empty() {
            tracing::warn!(
                keys = later.join(", "),
                "the config has changed in keys that apply at the next start"
            );
        }
        let Replaced {
            users_added,
            users_removed,
            tokens_added,
            tokens_revoked,
            joins,
            leaves,
        } = {
            // Comparing millions of users takes seconds, in which others have their turn on this thread.
            let (source, directory) = (Arc::clone(&self.directory), new.directory.clone());
            blocking(move || source.replace(&directory)).await
        };
        let modules = self.reload_modules(&new, &origins).await;
        // What waits for a restart is compared with what is in force.
        in_force.directory = new.directory;
        in_force.modules = new.modules;
        in_force.module_path = new.module_path;
        in_force.presence.presence_router = new.presence.presence_router;
        tracing::info!(
            users_added,
            users_removed,
            tokens_added,
            tokens_revoked,
            joins,
            leaves,
            modules_loaded = modules.loaded,
            modules_reloaded = modules.reloaded,
            modules_unloaded = modules.unloaded,
            modules_refused = modules.refused,
            "config reloaded"
        );
    }

    /// Makes the modules those of the config, with their files as they are now.
    async fn reload_modules(self: &Arc<Self>, config: &Config, origins: &Origins) -> Tally {
        let mut tally = Tally::default();
        for name in self.names() {
            if !config.all_modules().any(|(_, module)| module.name == name) {
                let outcome = self.unload(&name).await;
                tally.note(&name, outcome);
            }
        }
        for (_, module) in config.all_modules() {
            let name = &module.name;
            if !self.names().contains(name) {
                let outcome = self.load_from(config, origins, name).await;
                tally.note(name, outcome);
            } else if self.differs(config, module).await {
                let outcome = self.reload_from(config, origins, name).await;
                tally.note(name, outcome);
            }
        }
        tally
    }

    fn names(&self) -> Vec<String> {
        let loaded = self.loaded.read();
        loaded.iter().map(|loaded| loaded.name().to_owned()).collect()
    }

    /// Whether what a config says of a module, or its file, is another than what serves. What was rolled back from is not
    /// taken again without being asked for.
    async fn differs(self: &Arc<Self>, config: &Config, module: &Module) -> bool {
        let (now, shunned) = {
            let loaded = self.loaded.read();
            let Some(loaded) = loaded.iter().find(|loaded| loaded.name() == module.name) else {
                return true;
            };
            (loaded.now.clone(), loaded.shunned.clone())
        };
        let (inner, source) = (Arc::clone(self), source(config, module));
        let Ok(sha256) = blocking(move || inner.loader.hash(&source)).await else {
            // Why is found again, and told, by who reloads it.
            return true;
        };
        if shunned.is_some_and(|shunned| !shunned.differs_from(sha256, module)) {
            tracing::warn!(
                module = module.name,
                "was rolled back from what the config names, and stays so; `modules reload {}` takes it again",
                module.name
            );
            return false;
        }
        sha256 != now.identity().sha256 || *module != now.module
    }
}

/// What became of the modules.
#[derive(Default)]
struct Tally {
    loaded: usize,
    reloaded: usize,
    unloaded: usize,
    refused: usize,
}

impl Tally {
    fn note(&mut self, name: &str, outcome: Result<Changed, NotDone>) {
        match outcome.map(|changed| changed.what) {
            Ok(What::Loaded) => self.loaded += 1,
            Ok(What::Reloaded | What::RolledBack) => self.reloaded += 1,
            Ok(What::Unloaded) => self.unloaded += 1,
            Err(NotDone { step, problems }) => {
                self.refused += 1;
                tracing::error!(
                    module = name,
                    %step,
                    "is not taken anew, what was there before stays: {}",
                    problems.plain()
                );
            }
        }
    }
}

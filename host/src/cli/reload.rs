//! SIGHUP: reads the config again, and applies what can be applied while the server runs.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, Applies, Config};
use crate::directory::{Replaced, StaticSource};

/// What a reload compares with, and what it changes.
pub(super) struct Reload {
    files: Vec<PathBuf>,
    config: Config,
    directory: Arc<StaticSource>,
}

impl Reload {
    pub(super) fn new(files: &[PathBuf], config: Config, directory: Arc<StaticSource>) -> Self {
        Self {
            files: files.to_vec(),
            config,
            directory,
        }
    }

    /// Reads the files again. With an error in them nothing changes.
    pub(super) fn run(&mut self) {
        let new = match config::load(&self.files) {
            Ok((new, _)) => new,
            Err(errors) => {
                tracing::error!("the config is not reloaded, the one before stays in force: {errors}");
                return;
            }
        };
        let differences = config::differences(&self.config, &new);
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
        } = self.directory.replace(&new.directory);
        // What waits for a restart is compared with what is in force.
        self.config.directory = new.directory;
        tracing::info!(
            users_added,
            users_removed,
            tokens_added,
            tokens_revoked,
            joins,
            leaves,
            "config reloaded"
        );
    }
}

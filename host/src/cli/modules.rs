//! Loads what the config names, for `run` and for `check`.

use std::path::{Path, PathBuf};

use crate::config::{Config, Module, Origins, module_config_error};
use crate::modules::{ConfigureError, Configured, Identity, Loader, Refusal, Signers, Source, Trust};
use crate::problems::Problems;
use crate::sha256::Sha256;

/// A module that has accepted its config.
pub(super) struct Accepted<'c> {
    /// Where the config names it.
    pub(super) key: String,
    pub(super) module: &'c Module,
    pub(super) configured: Configured,
}

/// Opens every module and has each check its config; starts nothing. What is wrong with several is told of all.
pub(super) fn configure<'c>(
    loader: &Loader,
    config: &'c Config,
    origins: &Origins,
) -> Result<Vec<Accepted<'c>>, Problems> {
    let mut accepted = Vec::new();
    let mut problems = Vec::new();
    for (key, module) in config.all_modules() {
        match configure_one(loader, config, origins, &key, module) {
            Ok(configured) => accepted.push(Accepted {
                key,
                module,
                configured,
            }),
            Err(problem) => problems.push(problem),
        }
    }
    Problems::of(problems).map_or(Ok(accepted), Err)
}

fn configure_one(
    loader: &Loader,
    config: &Config,
    origins: &Origins,
    key: &str,
    module: &Module,
) -> Result<Configured, Problems> {
    let source = source(config, module);
    let opened = loader
        .open(&source)
        .map_err(|refusal| refused(origins, key, &refusal))?;
    let file = opened.identity().path.clone();
    match Configured::new(opened, &module.config) {
        Ok(configured) => Ok(configured),
        Err(ConfigureError::Refused { path, message }) => {
            Err(module_config_error(origins, key, &path, &message).into())
        }
        Err(error) => Err(refused(origins, key, &Refusal::from(error).of(&file))),
    }
}

/// Which file the config means, and on what conditions.
pub(super) fn source(config: &Config, module: &Module) -> Source {
    Source {
        module: module.module.clone(),
        base_dir: absolute(&module.base_dir),
        module_path: config
            .module_path
            .iter()
            .map(|directory| absolute(directory))
            .collect(),
        trust: if module.allow_insecure_permissions {
            Trust::Anyone
        } else {
            Trust::OwnFiles
        },
        pinned: module.sha256,
        signed_by: if module.allow_unsigned || config.trusted_keys.is_empty() {
            Signers::Anyone
        } else {
            Signers::OneOf(config.trusted_keys.clone())
        },
    }
}

/// Stands for all that a module's routes depend on: its file, which of its routers, and its config.
pub(super) fn fingerprint(identity: &Identity, module: &Module) -> String {
    let config = Sha256::of(module.config.to_string().as_bytes());
    format!("{} {} {config}", identity.sha256, identity.router)
}

/// What the config says is relative to the working directory; what is shown and loaded is not.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A problem with the module that the config names at `key`.
pub(super) fn refused(origins: &Origins, key: &str, refusal: &Refusal) -> Problems {
    let key = format!("{key}.module");
    Problems::refused(&key, origins.locate(&key).as_ref(), refusal)
}

/// Makes the loader.
pub(super) fn loader() -> Result<Loader, Problems> {
    Loader::new().map_err(|error| Problems::refused("", None, &Refusal::from(error)))
}

//! From what the config names to a module that has accepted its config. Starts nothing.

use std::path::{Path, PathBuf};

use crate::config::{Config, Module, Origins, module_config_error};
use crate::modules::{ConfigureError, Configured, Identity, Loader, Refusal, Signers, Source, Trust};
use crate::operations::{NotDone, Step};
use crate::problems::Problems;
use crate::sha256::Sha256;

/// A module that has accepted its config.
pub struct Accepted {
    /// Where the config names it.
    pub key: String,
    /// What the config says of it.
    pub module: Module,
    /// The module.
    pub configured: Configured,
}

impl Accepted {
    /// Stands for all that the module's routes depend on: its file, which of its routers, and its config.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.configured.identity(), &self.module)
    }
}

fn fingerprint(identity: &Identity, module: &Module) -> String {
    let config = Sha256::of(module.config.to_string().as_bytes());
    format!("{} {} {config}", identity.sha256, identity.router)
}

/// Opens every module of a config and has each check its part; starts nothing.
///
/// # Errors
/// What is wrong with any of them, told of all.
pub fn accept_all(loader: &Loader, config: &Config, origins: &Origins) -> Result<Vec<Accepted>, Problems> {
    let mut accepted = Vec::new();
    let mut problems = Vec::new();
    for (key, module) in config.all_modules() {
        match accept(loader, config, origins, &key, module) {
            Ok(module) => accepted.push(module),
            Err(not_done) => problems.push(not_done.problems),
        }
    }
    Problems::of(problems).map_or(Ok(accepted), Err)
}

/// Opens a module and has it check its config.
pub(super) fn accept(
    loader: &Loader,
    config: &Config,
    origins: &Origins,
    key: &str,
    module: &Module,
) -> Result<Accepted, NotDone> {
    let opened = loader
        .open(&source(config, module))
        .map_err(|refusal| NotDone::at(Step::Open, refused(Some(origins), key, &refusal)))?;
    let file = opened.identity().path.clone();
    let configured = Configured::new(opened, &module.config).map_err(|error| {
        let problems = match error {
            ConfigureError::Refused { path, message } => {
                module_config_error(origins, key, &path, &message).into()
            }
            error => refused(Some(origins), key, &Refusal::from(error).of(&file)),
        };
        NotDone::at(Step::Configure, problems)
    })?;
    Ok(Accepted {
        key: key.to_owned(),
        module: module.clone(),
        configured,
    })
}

/// Which file a config means by a module, and on what conditions it is taken.
pub fn source(config: &Config, module: &Module) -> Source {
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

/// What the config says is relative to the working directory; what is shown and loaded is not.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A problem with the module that the config names at `key`.
pub(super) fn refused(origins: Option<&Origins>, key: &str, refusal: &Refusal) -> Problems {
    let key = format!("{key}.module");
    let origin = origins.and_then(|origins| origins.locate(&key));
    Problems::refused(&key, origin.as_ref(), refusal)
}

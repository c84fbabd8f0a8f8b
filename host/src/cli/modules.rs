//! Loads what the config names, for `run` and for `check`.

use std::path::{Path, PathBuf};

use crate::cli::problem::Problems;
use crate::config::{Config, Origins, module_config_error};
use crate::modules::{ConfigureError, Configured, Loader, Refusal, Source, Trust};

/// Where the config names the router.
pub(super) const ROUTER_KEY: &str = "presence.presence_router.module";

/// Opens the router module and has it check its config; starts nothing. `None` when the config names no module.
pub(super) fn configure(
    loader: &Loader,
    config: &Config,
    origins: &Origins,
) -> Result<Option<Configured>, Problems> {
    let Some(module) = &config.presence.presence_router else {
        return Ok(None);
    };
    let source = Source {
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
    };
    let opened = loader
        .open(&source)
        .map_err(|refusal| refused(origins, &refusal))?;
    let file = opened.identity().path.clone();
    match Configured::new(opened, &module.config) {
        Ok(configured) => Ok(Some(configured)),
        Err(ConfigureError::Refused { path, message }) => {
            Err(module_config_error(origins, &path, &message).into())
        }
        Err(error) => Err(refused(origins, &Refusal::from(error).of(&file))),
    }
}

/// What the config says is relative to the working directory; what is shown and loaded is not.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A problem with the module that the config names.
pub(super) fn refused(origins: &Origins, refusal: &Refusal) -> Problems {
    Problems::refused(ROUTER_KEY, origins.locate(ROUTER_KEY).as_ref(), refusal)
}

/// Makes the loader.
pub(super) fn loader() -> Result<Loader, Problems> {
    Loader::new().map_err(|error| Problems::refused("", None, &Refusal::from(error)))
}

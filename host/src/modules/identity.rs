//! What a loaded module is called, in logs, refusals and lists.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sha256::Sha256;

/// A module's name, version, router, generation, hash and file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// Which of the library's routers.
    pub router: String,
    /// The number of the copy among all that this process has made, from 1 on.
    pub generation: u64,
    /// The hash of the file.
    pub sha256: Sha256,
    /// The file as the config names it, not the private copy.
    pub path: PathBuf,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            version,
            router,
            generation,
            path,
            ..
        } = self;
        let (sha256, path) = (self.sha256.short(), path.display());
        write!(
            f,
            "{name} {version} ({router}) generation {generation} sha256:{sha256} {path}"
        )
    }
}

//! Steps 1 to 4 in their order: from what the config names to an opened library.

use std::path::{Path, PathBuf};

use crate::modules::elf::LibrarySearch;
use crate::modules::inspect::{HostAbi, Inspected, inspect};
use crate::modules::locate::Located;
use crate::modules::open::Opened;
use crate::modules::refusal::Refusal;
use crate::modules::report::Report;
use crate::modules::signature::{self, Signers};
use crate::modules::stage::{self, ModuleCache, StageError, Staged};
use crate::modules::trust::Trust;
use crate::sha256::Sha256;

/// Which file to load, and on what conditions.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the config says: a path, or a name.
    pub module: String,
    /// What a relative path is relative to.
    pub base_dir: PathBuf,
    /// Where a name is searched.
    pub module_path: Vec<PathBuf>,
    /// From whom the file is taken.
    pub trust: Trust,
    /// The hash that it must have.
    pub pinned: Option<Sha256>,
    /// Whose signature it must have.
    pub signed_by: Signers,
}

/// The file that a [`Source`] names, which meets all conditions but the pin.
#[derive(Debug, Clone)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Its hash.
    pub sha256: Sha256,
}

/// Loads modules. A process needs one: it numbers the generations, and owns the directory of the private copies.
pub struct Loader {
    cache: ModuleCache,
    host: HostAbi,
    libraries: LibrarySearch,
}

impl Loader {
    /// Makes the directory of the private copies.
    pub fn new() -> Result<Self, StageError> {
        Ok(Self::of(ModuleCache::new()?))
    }

    /// The same, with that directory in `parent`.
    pub fn new_in(parent: &Path) -> Result<Self, StageError> {
        Ok(Self::of(ModuleCache::new_in(parent)?))
    }

    fn of(cache: ModuleCache) -> Self {
        Self {
            cache,
            host: HostAbi::this(),
            libraries: LibrarySearch::of_this_process(),
        }
    }

    /// Locates, copies, inspects and opens. Code of the module runs in the last step alone, once all checks
    /// before it have passed.
    pub fn open(&self, source: &Source) -> Result<Opened, Refusal> {
        let staged = self.stage(source, source.pinned)?;
        let inspected = Inspected::new(staged, &self.host, &self.libraries)?;
        Ok(Opened::new(inspected)?)
    }

    /// The hash of the file as it is now. It is not opened as a library.
    pub fn hash(&self, source: &Source) -> Result<Sha256, Refusal> {
        let located = Located::find(&source.module, &source.base_dir, &source.module_path)?;
        Ok(stage::hash(located)?)
    }

    /// Which file would be loaded if its hash were pinned. Runs none of its code, and does not inspect it.
    pub fn find(&self, source: &Source) -> Result<Found, Refusal> {
        let staged = self.stage(source, None)?;
        Ok(Found {
            path: staged.source().to_owned(),
            sha256: staged.sha256(),
        })
    }

    fn stage(&self, source: &Source, pinned: Option<Sha256>) -> Result<Staged, Refusal> {
        let located = Located::find(&source.module, &source.base_dir, &source.module_path)?;
        let staged = self.cache.stage(located, source.trust, pinned)?;
        signature::require(&staged, &source.signed_by)?;
        Ok(staged)
    }

    /// What a file says of itself, and which checks it passes. Runs none of its code.
    pub fn inspect(&self, path: &Path) -> Result<Report, Refusal> {
        let located = Located::at(path)?;
        let staged = self.cache.stage(located, Trust::Anyone, None)?;
        Ok(inspect(&staged, &self.host, &self.libraries))
    }
}

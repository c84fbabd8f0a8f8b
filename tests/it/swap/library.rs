//! The file that a config names as its module, and that a test replaces.

use std::fs;
use std::path::{Path, PathBuf};

use presence_router_tests::bad;
use tempfile::TempDir;

/// A library in a directory of its own.
pub(super) struct Library {
    directory: TempDir,
    path: PathBuf,
}

impl Library {
    /// The file that is replaced is called `libbroadcast.so`, so that the module is `broadcast`, whatever is put there.
    pub(super) fn of(build: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let library = Self {
            path: directory.path().join("libbroadcast.so"),
            directory,
        };
        library.put(build);
        library
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts another file in its place, at once, as a package manager does.
    pub(super) fn put(&self, build: &Path) {
        let next = self.directory.path().join("next");
        fs::copy(build, &next)
            .and_then(|_| fs::rename(&next, &self.path))
            .unwrap_or_else(|error| panic!("{} cannot be put in place: {error}", build.display()));
    }

    /// Puts a file in its place that is no library.
    pub(super) fn put_garbage(&self) {
        let garbage = bad::text(self.directory.path());
        fs::rename(garbage, &self.path).expect("a file can be renamed in its directory");
    }
}

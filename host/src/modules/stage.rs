//! Step 2: a private copy of the module's file, hashed while it is read, once.
//! Everything after works on that copy, so that no later change of the original can reach a loaded module,
//! and each copy has a name that was never used before: `dlopen` would answer with the old library.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::Digest;
use tempfile::TempDir;
use thiserror::Error;

use crate::modules::leftovers;
use crate::modules::locate::Located;
use crate::modules::refusal::{Advice, Who};
use crate::modules::trust::{Trust, UntrustedSource, check_file, check_way};
use crate::sha256::Sha256;

/// The largest file that is taken as a module.
pub const MAX_MODULE_BYTES: u64 = 512 * 1024 * 1024;

const PREFIX: &str = "presence-router-";

/// The directory of the private copies: mode 0700, ours alone, removed with all in it on drop.
#[derive(Debug)]
pub struct ModuleCache {
    dir: TempDir,
    /// Held while the directory is in use.
    _claim: File,
    /// The user that we are, as the directory that we made shows.
    us: u32,
    generations: AtomicU64,
}

impl ModuleCache {
    /// Makes the directory where the system keeps temporary files.
    pub fn new() -> Result<Self, StageError> {
        Self::new_in(&std::env::temp_dir())
    }

    /// Makes the directory in `parent`: for systems that mount `/tmp` with `noexec`. Those that killed servers
    /// have left there are removed.
    pub fn new_in(parent: &Path) -> Result<Self, StageError> {
        let made = tempfile::Builder::new()
            .prefix(PREFIX)
            // Without it the mode is the umask's.
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .and_then(|dir| {
                let us = fs::metadata(dir.path())?.uid();
                let claim = leftovers::claim(dir.path())?;
                leftovers::sweep(parent, PREFIX, us);
                Ok(Self {
                    dir,
                    _claim: claim,
                    us,
                    generations: AtomicU64::new(1),
                })
            });
        made.map_err(|source| StageError::Directory {
            path: parent.to_owned(),
            source,
        })
    }

    /// Where the copies are.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Copies and hashes what was located. A copy that is refused is removed.
    pub fn stage(
        &self,
        located: Located,
        trust: Trust,
        pinned: Option<Sha256>,
    ) -> Result<Staged, StageError> {
        let (source, router, mut file) = located.into_parts();
        let unreadable = |error| StageError::Read {
            path: source.clone(),
            source: error,
        };

        let before = file.metadata().map_err(unreadable)?;
        if trust == Trust::OwnFiles {
            self.check_source(&source, &before)?;
        }
        if before.len() > MAX_MODULE_BYTES {
            return Err(StageError::TooLarge {
                path: source,
                size: before.len(),
            });
        }

        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let mut copy = PrivateFile(self.path().join(format!("incoming-{generation}")));
        let (sha256, size) = copy_hashing(&mut file, &source, &copy.0)?;
        let after = file.metadata().map_err(unreadable)?;
        if size != before.len() || version(&before) != version(&after) {
            return Err(StageError::Changed { path: source });
        }
        if let Some(expected) = pinned.filter(|pinned| *pinned != sha256) {
            return Err(StageError::OtherHash {
                path: source,
                expected,
                found: sha256,
            });
        }

        let name = format!("{}-{}-{generation}.so", plain_stem(&source), sha256.short());
        let path = self.path().join(name);
        fs::rename(&copy.0, &path).map_err(|source| StageError::Write {
            path: path.clone(),
            source,
        })?;
        copy.0 = path;
        Ok(Staged {
            source,
            router,
            sha256,
            size,
            generation,
            copy,
        })
    }

    /// Checks the open file, and every directory on the way to it.
    fn check_source(&self, path: &Path, file: &Metadata) -> Result<(), StageError> {
        let unreadable = |source| StageError::Read {
            path: path.to_owned(),
            source,
        };
        check_file(path, file, self.us)?;
        let real = check_way(path, self.us).map_err(unreadable)??;
        let there = fs::metadata(&real).map_err(unreadable)?;
        if (there.dev(), there.ino()) != (file.dev(), file.ino()) {
            return Err(StageError::Changed {
                path: path.to_owned(),
            });
        }
        Ok(())
    }
}

/// A private copy of a module's file, and what was learned while making it. The copy is removed on drop:
/// hold on to it while the library is loaded, since backtraces read it.
#[derive(Debug)]
pub struct Staged {
    source: PathBuf,
    router: Option<String>,
    sha256: Sha256,
    size: u64,
    generation: u64,
    copy: PrivateFile,
}

impl Staged {
    /// The file that the config names.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The private copy: the only path to open the library by.
    pub fn path(&self) -> &Path {
        &self.copy.0
    }

    /// The router that the dotted form asks for.
    pub fn router(&self) -> Option<&str> {
        self.router.as_deref()
    }

    /// The hash of the copy.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The number of this copy in its cache, counted from 1 and never reused.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// Why a file was not copied, or its copy not taken.
#[derive(Debug, Error)]
pub enum StageError {
    /// The private directory cannot be made.
    #[error("no private directory for modules can be made in `{}`", path.display())]
    Directory {
        /// Where it was to be.
        path: PathBuf,
        /// Why the system refuses.
        #[source]
        source: io::Error,
    },
    /// Others than the operator could have written the file.
    #[error(transparent)]
    Untrusted(#[from] UntrustedSource),
    /// The file is larger than [`MAX_MODULE_BYTES`].
    #[error("`{}` has {size} bytes, more than the {MAX_MODULE_BYTES} that a module may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// The file cannot be read to its end.
    #[error("`{}` cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the system refuses.
        #[source]
        source: io::Error,
    },
    /// The copy cannot be written.
    #[error("the private copy `{}` cannot be written", path.display())]
    Write {
        /// The copy.
        path: PathBuf,
        /// Why the system refuses.
        #[source]
        source: io::Error,
    },
    /// The file was replaced or written while it was read.
    #[error("`{}` changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file is not the one that the config pins.
    #[error("`{}` has sha256 {found}, the config pins {expected}", path.display())]
    OtherHash {
        /// The file.
        path: PathBuf,
        /// What the config says.
        expected: Sha256,
        /// What was read.
        found: Sha256,
    },
}

impl Advice for StageError {
    fn who(&self) -> Who {
        match self {
            Self::TooLarge { .. } => Who::Author,
            _ => Who::Operator,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Directory { .. } => "set TMPDIR to a directory that this user may write".into(),
            Self::Untrusted(untrusted) => untrusted.fix(),
            Self::TooLarge { .. } => {
                "cargo build --release, with `strip = true` under [profile.release]".into()
            }
            Self::Read { path, .. } => format!("chmod u+r {}, or look after its disk", path.display()),
            Self::Write { .. } => "free space, or set TMPDIR to a directory with more of it".into(),
            Self::Changed { .. } => "wait until the build or copy is done, then load it again".into(),
            Self::OtherHash { found, .. } => {
                format!("put the pinned file back, or, if this one is meant, write `sha256: {found}`")
            }
        }
    }
}

/// A file of the private directory, removed on drop.
#[derive(Debug)]
struct PrivateFile(PathBuf);

impl Drop for PrivateFile {
    fn drop(&mut self) {
        // What stays behind goes with the directory.
        let _ = fs::remove_file(&self.0);
    }
}

/// The hash of a file as it is now.
pub(super) fn hash(located: Located) -> Result<Sha256, StageError> {
    let (path, _, mut file) = located.into_parts();
    let unwritable = |source| StageError::Read {
        path: path.clone(),
        source,
    };
    hash_while_copying(&mut file, &path, &mut io::sink(), unwritable).map(|(sha256, _)| sha256)
}

/// Copies to the end of `from`, but no more than one byte past the bound.
fn copy_hashing(from: &mut File, path: &Path, to: &Path) -> Result<(Sha256, u64), StageError> {
    let unwritable = |source| StageError::Write {
        path: to.to_owned(),
        source,
    };
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(to)
        .map_err(unwritable)?;
    hash_while_copying(from, path, &mut copy, unwritable)
}

fn hash_while_copying(
    from: &mut File,
    path: &Path,
    to: &mut impl Write,
    unwritable: impl Fn(io::Error) -> StageError,
) -> Result<(Sha256, u64), StageError> {
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    let mut bounded = from.take(MAX_MODULE_BYTES + 1);
    loop {
        let chunk = match bounded.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(StageError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        hash.update(chunk);
        to.write_all(chunk).map_err(&unwritable)?;
        size += chunk.len() as u64;
    }
    Ok((Sha256::from(<[u8; 32]>::from(hash.finalize())), size))
}

fn version(file: &Metadata) -> (u64, i64, i64) {
    (file.size(), file.mtime(), file.mtime_nsec())
}

/// The file's name without its suffix, in characters that need no quoting, and not too long for a name.
fn plain_stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(OsStr::new("module")).to_string_lossy();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') {
            c
        } else {
            '_'
        }
    };
    stem.chars().take(100).map(plain).collect()
}

#[cfg(test)]
mod tests;

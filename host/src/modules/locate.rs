//! Step 1: from what the config says to one open, regular file.
//! Owns the search order and the dotted form `library.RouterName`; does not read the file.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::modules::elf::OPEN_WITHOUT_WAITING;
use crate::modules::refusal::{Advice, Who};

/// A module's file, found and open. It is a regular file; what is in it is not known yet.
#[derive(Debug)]
pub struct Located {
    path: PathBuf,
    router: Option<String>,
    file: File,
}

impl Located {
    /// Finds what `module` names.
    ///
    /// With a `/` it is a path, relative to `base_dir`; without one it is a name, searched in the directories
    /// of `module_path` in order, as `libNAME.so` and then `NAME.so`. When nothing is found and there is a
    /// dot, what follows the last dot is the name of a router in the library that the rest names.
    pub fn find(module: &str, base_dir: &Path, module_path: &[PathBuf]) -> Result<Self, LocateError> {
        if module.is_empty() {
            return Err(LocateError::NoName);
        }
        let mut tried = Vec::new();
        let mut directory = None;
        let whole = Some((module, None));
        let dotted = split_router(module).map(|(file, router)| (file, Some(router)));
        for (name, router) in whole.into_iter().chain(dotted) {
            for path in candidates(name, base_dir, module_path) {
                match open_regular(&path) {
                    Ok(file) => {
                        return Ok(Self {
                            path,
                            router: router.map(str::to_owned),
                            file,
                        });
                    }
                    Err(LocateError::NotFound { .. }) => tried.push(path),
                    // `broadcast.Router` may name `broadcast.so` beside a directory `broadcast`.
                    Err(LocateError::Directory { path }) => directory = directory.or(Some(path)),
                    Err(error) => return Err(error),
                }
            }
        }
        match directory {
            Some(path) => Err(LocateError::Directory { path }),
            None if tried.is_empty() => Err(LocateError::NoModulePath {
                module: module.to_owned(),
            }),
            None => Err(LocateError::NotFound {
                module: module.to_owned(),
                tried,
            }),
        }
    }

    /// Opens the file at `path`, as a command line names it: no search, no router.
    pub fn at(path: &Path) -> Result<Self, LocateError> {
        let file = open_regular(path).map_err(|error| match error {
            LocateError::NotFound { .. } => LocateError::NoSuchFile {
                path: path.to_owned(),
            },
            error => error,
        })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            router: None,
        })
    }

    /// Where the file was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The router that the dotted form asks for.
    pub fn router(&self) -> Option<&str> {
        self.router.as_deref()
    }

    pub(super) fn into_parts(self) -> (PathBuf, Option<String>, File) {
        (self.path, self.router, self.file)
    }
}

/// Why no file was found for what the config says.
#[derive(Debug, Error)]
pub enum LocateError {
    /// `module:` is empty.
    #[error("`module` is empty")]
    NoName,
    /// A name, and no directory to search it in.
    #[error("`{module}` is a name, and `module_path` lists no directory to search it in")]
    NoModulePath {
        /// What the config says.
        module: String,
    },
    /// Nothing is at any of the paths.
    #[error("module `{module}` not found; tried {}", list(tried))]
    NotFound {
        /// What the config says.
        module: String,
        /// Every path tried, in order.
        tried: Vec<PathBuf>,
    },
    /// Nothing is at the path that a command line names.
    #[error("`{}` not found", path.display())]
    NoSuchFile {
        /// The path.
        path: PathBuf,
    },
    /// The path leads to a directory.
    #[error("`{}` is a directory, not a module", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The path leads to a pipe, a socket or a device.
    #[error("`{}` is {kind}, not a regular file", path.display())]
    NotRegular {
        /// What was found.
        path: PathBuf,
        /// What it is: `a pipe`, `a socket`, `a device`.
        kind: &'static str,
    },
    /// The file is there and may not be read.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why the system refuses.
        #[source]
        source: io::Error,
    },
}

impl Advice for LocateError {
    fn who(&self) -> Who {
        Who::Operator
    }

    fn fix(&self) -> String {
        match self {
            Self::NoName => {
                "set `module:` to a path (./libNAME.so) or to a name found in `module_path`".into()
            }
            Self::NoModulePath { module } => {
                format!(
                    "add to the config: `module_path: [DIR]`, where DIR holds {}",
                    library_file(module)
                )
            }
            Self::NotFound { module, .. } if module.contains('/') => {
                "correct `module:`, or build the module there: cargo build --release".into()
            }
            Self::NotFound { module, .. } if module.contains('-') => format!(
                "cargo names a library with underscores: write `module: {}`, or add its directory to `module_path`",
                module.replace('-', "_")
            ),
            Self::NotFound { module, .. } => format!(
                "add the directory of {} to `module_path`, or build it: cargo build --release",
                library_file(module)
            ),
            Self::NoSuchFile { .. } => "correct the path, or build the module: cargo build --release".into(),
            Self::Directory { path } => {
                format!(
                    "name the file: `module: {}`, or add the directory to `module_path`",
                    path.join("libNAME.so").display()
                )
            }
            Self::NotRegular { .. } => "point `module:` at the .so file itself".into(),
            Self::Unreadable { path, source } if source.kind() == ErrorKind::PermissionDenied => {
                format!(
                    "chmod a+r {} and a+x on its directories, or run as a user who may read it",
                    path.display()
                )
            }
            Self::Unreadable { .. } => "correct `module:`, or look after the disk".into(),
        }
    }
}

/// `library.RouterName`, split at the last dot; `None` when no router's name can be meant.
fn split_router(module: &str) -> Option<(&str, &str)> {
    let (file, router) = module.rsplit_once('.')?;
    let names_a_file = !file.is_empty() && !file.ends_with(['/', '.']);
    let names_a_router = !router.is_empty()
        && router != "so"
        && router
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    (names_a_file && names_a_router).then_some((file, router))
}

fn candidates(name: &str, base_dir: &Path, module_path: &[PathBuf]) -> Vec<PathBuf> {
    let has_suffix = Path::new(name).extension().is_some_and(|suffix| suffix == "so");
    if name.contains('/') {
        // Through its components, so that `./lib.so` does not show as `DIR/./lib.so`.
        let plain: PathBuf = base_dir.join(name).components().collect();
        let mut with_suffix = plain.clone().into_os_string();
        with_suffix.push(".so");
        return if has_suffix {
            vec![plain]
        } else {
            vec![plain, with_suffix.into()]
        };
    }
    let files = if has_suffix {
        vec![name.to_owned()]
    } else {
        vec![format!("lib{name}.so"), format!("{name}.so")]
    };
    module_path
        .iter()
        .flat_map(|dir| files.iter().map(move |file| base_dir.join(dir).join(file)))
        .collect()
}

/// Opens `path` for reading when it is a regular file. Looks before it opens, since opening a device can have
/// effects, and again at what it opened, which is what counts.
pub(super) fn open_regular(path: &Path) -> Result<File, LocateError> {
    let classify = |source: io::Error| match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => LocateError::NotFound {
            module: path.display().to_string(),
            tried: vec![path.to_owned()],
        },
        _ => LocateError::Unreadable {
            path: path.to_owned(),
            source,
        },
    };
    require_regular(path, fs::metadata(path).map_err(classify)?.file_type())?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OPEN_WITHOUT_WAITING)
        .open(path)
        .map_err(classify)?;
    require_regular(path, file.metadata().map_err(classify)?.file_type())?;
    Ok(file)
}

fn require_regular(path: &Path, kind: FileType) -> Result<(), LocateError> {
    let kind = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        return Err(LocateError::Directory {
            path: path.to_owned(),
        });
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(LocateError::NotRegular {
        path: path.to_owned(),
        kind,
    })
}

fn library_file(module: &str) -> String {
    let module = split_router(module).map_or(module, |(file, _)| file);
    let name = module.strip_prefix("lib").unwrap_or(module);
    format!("lib{}.so", name.strip_suffix(".so").unwrap_or(name))
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;

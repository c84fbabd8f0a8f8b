//! Whether others than the operator could have put a module's file there.
//! Whoever can write a module's file runs code as this server. Looks at owners and modes alone.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::modules::refusal::{Advice, Who};

const ROOT: u32 = 0;
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// From whom a module's file is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trust {
    /// Only what nobody but this user and root can write.
    #[default]
    OwnFiles,
    /// Whatever is there: `allow_insecure_permissions: true`.
    Anyone,
}

/// Why others could have written the file.
#[derive(Debug, Error)]
pub enum UntrustedSource {
    /// The file belongs to another user.
    #[error("`{}` belongs to user {owner}, who could change it at any time", path.display())]
    FileOwner {
        /// The file.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
    },
    /// The file's mode lets its group or everybody write.
    #[error("`{}` can be written by others (mode {mode:03o})", path.display())]
    FileMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The directory belongs to another user.
    #[error("directory `{}` belongs to user {owner}, who could replace the module in it", path.display())]
    DirectoryOwner {
        /// The directory.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
    },
    /// The directory's mode lets its group or everybody replace files in it.
    #[error("others can replace files in directory `{}` (mode {mode:03o})", path.display())]
    DirectoryMode {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

impl Advice for UntrustedSource {
    fn who(&self) -> Who {
        Who::Operator
    }

    fn fix(&self) -> String {
        let command = match self {
            Self::FileOwner { path, .. } | Self::DirectoryOwner { path, .. } => {
                format!("chown root {}", path.display())
            }
            Self::FileMode { path, .. } | Self::DirectoryMode { path, .. } => {
                format!("chmod go-w {}", path.display())
            }
        };
        format!("{command} (or, knowing the risk: `allow_insecure_permissions: true`)")
    }
}

/// Checks the open file by what the system says of it, not by a second look at its path.
pub(super) fn check_file(path: &Path, file: &Metadata, us: u32) -> Result<(), UntrustedSource> {
    if !matches!(file.uid(), ROOT) && file.uid() != us {
        return Err(UntrustedSource::FileOwner {
            path: path.to_owned(),
            owner: file.uid(),
        });
    }
    if file.mode() & GROUP_OR_OTHERS_WRITE != 0 {
        return Err(UntrustedSource::FileMode {
            path: path.to_owned(),
            mode: file.mode() & 0o7777,
        });
    }
    Ok(())
}

/// Checks the directory that holds `path`. In a sticky one (`/tmp`) others can add files and cannot replace
/// ours, so there its mode does not count.
pub(super) fn check_directory(path: &Path, us: u32) -> io::Result<Result<(), UntrustedSource>> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let found = File::open(dir)?.metadata()?;
    Ok(directory_verdict(dir, found.uid(), found.mode(), us))
}

fn directory_verdict(dir: &Path, owner: u32, mode: u32, us: u32) -> Result<(), UntrustedSource> {
    if owner != ROOT && owner != us {
        return Err(UntrustedSource::DirectoryOwner {
            path: dir.to_owned(),
            owner,
        });
    }
    if mode & GROUP_OR_OTHERS_WRITE != 0 && mode & STICKY == 0 {
        return Err(UntrustedSource::DirectoryMode {
            path: dir.to_owned(),
            mode: mode & 0o7777,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::modules::refusal::Refusal;

    const US: u32 = 1000;

    fn check_dir(owner: u32, mode: u32) -> String {
        match directory_verdict(Path::new("/modules"), owner, mode, US) {
            Ok(()) => "trusted".into(),
            Err(error) => Refusal::from(error).to_string(),
        }
    }

    #[test]
    fn a_directory_is_trusted_when_only_we_and_root_can_replace_files() {
        assert_eq!(check_dir(US, 0o755), "trusted");
        assert_eq!(check_dir(ROOT, 0o40755), "trusted");
        assert_eq!(check_dir(ROOT, 0o41777), "trusted", "sticky");
        assert_snapshot!(check_dir(ROOT, 0o40777), @r"
        others can replace files in directory `/modules` (mode 777)
          change: the operator of this server
          fix:    chmod go-w /modules (or, knowing the risk: `allow_insecure_permissions: true`)
        ");
        assert_snapshot!(check_dir(US, 0o775), @r"
        others can replace files in directory `/modules` (mode 775)
          change: the operator of this server
          fix:    chmod go-w /modules (or, knowing the risk: `allow_insecure_permissions: true`)
        ");
        assert_snapshot!(check_dir(1001, 0o755), @r"
        directory `/modules` belongs to user 1001, who could replace the module in it
          change: the operator of this server
          fix:    chown root /modules (or, knowing the risk: `allow_insecure_permissions: true`)
        ");
        assert_ne!(
            check_dir(1001, 0o41777),
            "trusted",
            "the owner of a sticky directory can replace files"
        );
    }

    #[test]
    fn a_file_of_another_user_is_not_trusted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = file.as_file().metadata().unwrap();
        assert!(check_file(file.path(), &found, found.uid()).is_ok());
        let seen_by_another = check_file(file.path(), &found, found.uid() + 1);
        assert_eq!(
            seen_by_another.is_ok(),
            found.uid() == ROOT,
            "root may write everything anyway"
        );
    }
}

//! Whether others than the operator could have put a module's file there.
//! Whoever can write a module's file, or replace it or a directory on the way to it, runs code as this server. Looks at
//! owners and modes alone.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Component, Path, PathBuf};

use thiserror::Error;

use crate::modules::refusal::{Advice, Who};

const ROOT: u32 = 0;
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;
/// As many as Linux follows.
const MAX_LINKS: usize = 40;

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
    #[error("directory `{}` belongs to user {owner}, who could replace what is in it", path.display())]
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
    /// A symbolic link on the way belongs to another user, in a directory where others may add files.
    #[error("the link `{}` belongs to user {owner}, who could point it elsewhere", path.display())]
    LinkOwner {
        /// The link.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
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
            Self::LinkOwner { path, .. } => format!("chown -h root {}", path.display()),
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

/// Checks every directory on the way to `path`, from the root on, and those that symbolic links lead through: who can
/// replace one of them puts another file in the module's place. Answers the path without links.
pub(super) fn check_way(path: &Path, us: u32) -> io::Result<Result<PathBuf, UntrustedSource>> {
    let mut here = PathBuf::from("/");
    let mut ahead = Vec::new();
    add_ahead(&mut ahead, &path::absolute(path)?);
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        let name = match step {
            Step::Root => {
                here = PathBuf::from("/");
                continue;
            }
            Step::Up => {
                here.pop();
                continue;
            }
            Step::Into(name) => name,
        };
        let directory = fs::metadata(&here)?;
        if let Err(refused) = directory_verdict(&here, directory.uid(), directory.mode(), us) {
            return Ok(Err(refused));
        }
        let next = here.join(name);
        let found = fs::symlink_metadata(&next)?;
        if !found.is_symlink() {
            here = next;
            continue;
        }
        if let Err(refused) = link_verdict(&next, found.uid(), directory.mode(), us) {
            return Ok(Err(refused));
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::other("too many symbolic links"));
        }
        add_ahead(&mut ahead, &fs::read_link(&next)?);
    }
    Ok(Ok(here))
}

/// A part of a path that is still to be gone.
enum Step {
    Root,
    Up,
    Into(OsString),
}

/// Puts the parts of `path` before those that are ahead already; the next is the last.
fn add_ahead(ahead: &mut Vec<Step>, path: &Path) {
    let steps = path.components().rev().filter_map(|part| match part {
        Component::RootDir | Component::Prefix(_) => Some(Step::Root),
        Component::CurDir => None,
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
    });
    ahead.extend(steps);
}

/// In a sticky directory others may add links of their own; in any other, only who may replace all in it anyway.
fn link_verdict(link: &Path, owner: u32, directory: u32, us: u32) -> Result<(), UntrustedSource> {
    if directory & GROUP_OR_OTHERS_WRITE == 0 || owner == ROOT || owner == us {
        return Ok(());
    }
    Err(UntrustedSource::LinkOwner {
        path: link.to_owned(),
        owner,
    })
}

/// In a sticky directory (`/tmp`) others can add files and cannot replace ours, so there its mode does not count.
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
        directory `/modules` belongs to user 1001, who could replace what is in it
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
    fn a_link_is_trusted_unless_another_put_it_where_all_may() {
        let check = |owner, mode| link_verdict(Path::new("/tmp/link"), owner, mode, US).is_ok();
        assert!(check(US, 0o41777) && check(ROOT, 0o41777) && check(1001, 0o40755));
        assert_snapshot!(link_verdict(Path::new("/tmp/link"), 1001, 0o41777, US).map_err(Refusal::from).unwrap_err(), @"
        the link `/tmp/link` belongs to user 1001, who could point it elsewhere
          change: the operator of this server
          fix:    chown -h root /tmp/link (or, knowing the risk: `allow_insecure_permissions: true`)
        ");
    }

    #[test]
    fn the_way_is_walked_as_the_system_walks_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let us = fs::metadata(dir.path()).unwrap().uid();
        fs::create_dir_all(path("a/b")).unwrap();
        fs::write(path("a/b/m.so"), "").unwrap();
        std::os::unix::fs::symlink("a/b", path("link")).unwrap();
        std::os::unix::fs::symlink(path("link/../b/m.so"), path("a/m.so")).unwrap();
        for name in [
            "a/b/m.so",
            "link/m.so",
            "a/m.so",
            "a/./b/../m.so",
            "link/../../link/m.so",
        ] {
            let walked = check_way(&path(name), us).unwrap().unwrap();
            assert_eq!(walked, fs::canonicalize(path(name)).unwrap(), "{name}");
        }
        std::os::unix::fs::symlink("loop", path("loop")).unwrap();
        assert!(check_way(&path("loop"), us).is_err());
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

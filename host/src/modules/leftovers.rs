//! Private directories of servers that were killed: found by their lock, which ends with its process, and
//! removed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const LOCK: &str = "lock";

/// Says that a directory is in use, until the file is dropped or the process ends.
pub(super) fn claim(dir: &Path) -> io::Result<File> {
    // Locked before it has its name: nobody finds a lock that is not held yet.
    let unnamed = dir.join("lock.new");
    let file = File::create_new(&unnamed)?;
    file.lock()?;
    fs::rename(unnamed, dir.join(LOCK))?;
    Ok(file)
}

/// Removes the directories in `parent` that begin with `prefix`, belong to `us`, and are in nobody's use. What
/// cannot be removed stays: it is in nobody's way.
pub(super) fn sweep(parent: &Path, prefix: &str, us: u32) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let named = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(prefix));
        // Of the entry itself: a link is not followed.
        let ours = entry
            .metadata()
            .is_ok_and(|entry| entry.is_dir() && entry.uid() == us);
        if named && ours && is_abandoned(&entry.path()) && fs::remove_dir_all(entry.path()).is_ok() {
            tracing::info!(directory = %entry.path().display(), "removed what a killed server left behind");
        }
    }
}

fn is_abandoned(dir: &Path) -> bool {
    match File::open(dir.join(LOCK)).map(|lock| lock.try_lock()) {
        Ok(Ok(())) => true,
        // Held, or not there yet, or not ours to judge.
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn directory(parent: &Path, name: &str) -> PathBuf {
        let dir = parent.join(name);
        fs::create_dir(&dir).expect("can be made");
        dir
    }

    /// As when its process ends. Not by a drop: a process that another test starts holds it until it has begun
    /// with its program.
    fn release(claim: &File) {
        claim.unlock().expect("is held");
    }

    #[test]
    fn only_what_nobody_uses_is_removed() {
        let parent = tempfile::tempdir().expect("can be made");
        let us = fs::metadata(parent.path()).expect("is there").uid();
        let used = directory(parent.path(), "p-used");
        let abandoned = directory(parent.path(), "p-abandoned");
        let unclaimed = directory(parent.path(), "p-unclaimed");
        let other = directory(parent.path(), "other");
        let claim_of_used = claim(&used).expect("can be claimed");
        for dir in [&abandoned, &other] {
            release(&claim(dir).expect("can be claimed"));
        }
        std::os::unix::fs::symlink(&other, parent.path().join("p-link")).expect("can be made");

        sweep(parent.path(), "p-", us);
        let left = |dir: &PathBuf| dir.exists();
        assert_eq!(
            [&used, &abandoned, &unclaimed, &other].map(left),
            [true, false, true, true]
        );

        release(&claim_of_used);
        sweep(parent.path(), "p-", us + 1);
        assert!(used.exists(), "another user's is left alone");
        sweep(parent.path(), "p-", us);
        assert!(!used.exists());
    }
}

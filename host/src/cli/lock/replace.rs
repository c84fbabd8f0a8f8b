//! Replaces a file whole or not at all. Its owner, group and mode stay; who has it open goes on reading what it was.

use std::fs::{self, File, Metadata};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use anyhow::{Context, bail};

/// Puts `after` into `file`, which holds `before`. A symbolic link stays one: what it points to is replaced.
pub(super) fn replace(file: &Path, before: &str, after: &str) -> anyhow::Result<()> {
    let shown = file.display();
    // A rename would replace the link.
    let real = fs::canonicalize(file).with_context(|| format!("{shown} cannot be found"))?;
    let metadata = fs::metadata(&real).with_context(|| format!("{shown} cannot be read"))?;
    let directory = real.parent().unwrap_or(Path::new("/"));
    let unwritable = || {
        format!(
            "{shown} cannot be replaced: {} is not to be written",
            directory.display()
        )
    };

    // Of mode 0600: the config has secrets.
    let mut new = tempfile::Builder::new()
        .prefix(".presence-router-lock-")
        .tempfile_in(directory)
        .with_context(unwritable)?;
    new.write_all(after.as_bytes()).with_context(unwritable)?;
    keep_owner(new.as_file(), &metadata).with_context(|| {
        let (user, group) = (metadata.uid(), metadata.gid());
        format!("{shown} cannot be replaced: it belongs to user {user} and group {group}; run this as root or as that user")
    })?;
    new.as_file()
        .set_permissions(metadata.permissions())
        .with_context(unwritable)?;
    new.as_file().sync_all().with_context(unwritable)?;
    if fs::read(&real).with_context(|| format!("{shown} cannot be read"))? != before.as_bytes() {
        bail!("{shown} changed while it was read, and is left as it is; run the command again");
    }
    new.persist(&real).with_context(unwritable)?;
    // The file is in place; whether a power cut would undo it is no reason to fail.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

fn keep_owner(new: &File, old: &Metadata) -> std::io::Result<()> {
    let made = new.metadata()?;
    if (made.uid(), made.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    fchown(new, Some(old.uid()), Some(old.gid()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn mode_and_link_stay_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a.yaml"), dir.path().join("link.yaml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("a.yaml", &link).unwrap();
        replace(&link, "old", "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_has_changed_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        fs::write(&file, "newer").unwrap();
        let error = replace(&file, "old", "new").unwrap_err().to_string();
        assert!(error.contains("changed while it was read"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "newer");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

//! `trusted_keys`: whose signatures count. A module without one is refused then, unless it has `allow_unsigned`.
//!
//! Owns how keys are named and where they are read from; the loader checks the signatures.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::config::reader::{Field, Reader};
use crate::minisign::{InvalidKey, PublicKey};

/// What a path ends with; anything else is a key.
const SUFFIX: &str = ".pub";
/// The most that is read of a file; they have some 110 bytes.
const MAX_BYTES: u64 = 4096;

/// None only when the key is left out: an empty list would take back the last key, and let every module in.
pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Vec<PublicKey> {
    let Some(field) = field else {
        return Vec::new();
    };
    let Some(entries) = reader.list(&field) else {
        return Vec::new();
    };
    if entries.is_empty() {
        reader.error(
            &field.path,
            "names no key; add one, or leave it out to load modules whoever signed them",
        );
    }
    entries
        .iter()
        .filter_map(|entry| read_key(reader, entry))
        .collect()
}

fn read_key(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<PublicKey> {
    let text = reader.text(field)?;
    if !text.ends_with(SUFFIX) {
        return text
            .parse()
            .map_or_else(|error: InvalidKey| reader.refuse(field, refused(error)), Some);
    }
    let path = reader.file_path(field)?;
    match read_file(&path) {
        Ok(text) => PublicKey::of_file(&text).map_or_else(
            |error| reader.refuse(field, format!("{} is {error}", path.display())),
            Some,
        ),
        Err(error) => {
            let message = format!(
                "{} cannot be read: {error}; correct the path or its mode",
                path.display()
            );
            reader.refuse(field, message)
        }
    }
}

fn refused(error: InvalidKey) -> String {
    format!("{error}; or a path that ends with {SUFFIX}")
}

fn read_file(path: &Path) -> io::Result<String> {
    // Looked at before it is opened: a pipe would be waited for.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use insta::assert_snapshot;

    use crate::config::checks::{check, config};
    use crate::config::load;
    use crate::minisign::samples::{KEY, KEY_FILE, OTHER_KEY};

    #[test]
    fn keys_are_read_in_their_order() {
        let yaml = |keys: &str| format!("server_name: a\ntrusted_keys: {keys}");
        let ids = |keys: &str| {
            let config = config(&yaml(keys));
            let ids = config.trusted_keys.iter().map(|key| key.id().to_string());
            ids.collect::<Vec<_>>().join(" ")
        };
        assert_snapshot!(ids(&format!("[{KEY}, {OTHER_KEY}]")), @"8AA56E0FFFE90187 6A3E45FADCED3864");
        assert_snapshot!(ids(""), @"");
        assert_snapshot!(check(&yaml("[]")), @"trusted_keys: names no key; add one, or leave it out to load modules whoever signed them (homeserver.yaml:2)");
        assert_snapshot!(check(&yaml(KEY)), @"trusted_keys: expected a list, found a string (homeserver.yaml:2)");
        assert_snapshot!(check(&yaml("[RWx, 5, x.pub, '']")), @"
        trusted_keys[0]: not a public key of minisign: 56 characters that start with RW, the second line of its .pub file; or a path that ends with .pub (homeserver.yaml:2)
        trusted_keys[1]: expected a string, found an integer; put it in quotes (homeserver.yaml:2)
        trusted_keys[2]: x.pub cannot be read: No such file or directory (os error 2); correct the path or its mode (homeserver.yaml:2)
        trusted_keys[3]: not a public key of minisign: 56 characters that start with RW, the second line of its .pub file; or a path that ends with .pub (homeserver.yaml:2)
        ");
        assert_snapshot!(check(&yaml("[/dev/null.pub/x.pub, \"a\\0.pub\"]")), @"
        trusted_keys[0]: /dev/null.pub/x.pub cannot be read: No such file or directory (os error 2); correct the path or its mode (homeserver.yaml:2)
        trusted_keys[1]: a path cannot hold a NUL character (homeserver.yaml:2)
        ");
    }

    #[test]
    fn a_key_can_stand_in_a_file_beside_the_config() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("homeserver.yaml");
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("homeserver.yaml", "server_name: a\ntrusted_keys: [team.pub]");
        write("team.pub", KEY_FILE);
        let (config, _) = load(std::slice::from_ref(&file)).unwrap();
        assert_eq!(config.trusted_keys, [KEY.parse().unwrap()]);
        let refused = || {
            let errors = load(std::slice::from_ref(&file)).unwrap_err().to_string();
            errors.replace(&dir.path().display().to_string(), "DIR")
        };
        write("team.pub", KEY);
        assert_snapshot!(refused(), @"trusted_keys[0]: DIR/team.pub is not a public key of minisign: 56 characters that start with RW, the second line of its .pub file (DIR/homeserver.yaml:2)");
        fs::remove_file(dir.path().join("team.pub")).unwrap();
        fs::create_dir(dir.path().join("team.pub")).unwrap();
        assert_snapshot!(refused(), @"trusted_keys[0]: DIR/team.pub cannot be read: it is not a regular file; correct the path or its mode (DIR/homeserver.yaml:2)");
    }
}

//! A config file before its keys mean anything: its text, its value, and the merging of values.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_yaml::Value;

use crate::config::error::ConfigError;
use crate::config::events;
use crate::config::node::Node;

/// The most that is read of a file, so that a device or a wrong file cannot fill the memory.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A file that could be read and is UTF-8.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    /// Byte for byte as it stands in the file.
    pub(super) text: String,
}

/// Reads `file` whole.
pub(super) fn read(file: &Path) -> Result<Source, ConfigError> {
    let refused = |message: String| ConfigError::new(message).in_file(file);
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| refused(cannot_read(&error)))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refused(format!(
            "larger than {} MiB; name a config file",
            MAX_BYTES / 1024 / 1024
        )));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(file.to_owned(), text)),
        Err(error) => {
            let valid = error
                .as_bytes()
                .get(..error.utf8_error().valid_up_to())
                .unwrap_or_default();
            let line = valid.split(|byte| *byte == b'\n').count();
            Err(refused("not UTF-8; save it with that encoding".to_owned()).at_line(line))
        }
    }
}

fn cannot_read(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file; check the path given with -c".to_owned(),
        io::ErrorKind::IsADirectory => "this is a directory; name the file in it".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "this user may not read the file; change its owner or mode, or run as another user".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    }
}

impl Source {
    pub(super) fn new(file: PathBuf, text: String) -> Self {
        Self { file, text }
    }

    /// The text without the mark that some editors put at its beginning.
    fn content(&self) -> &str {
        self.text.strip_prefix('\u{feff}').unwrap_or(&self.text)
    }

    /// The value as `serde_yaml` reads it, and where its parts stand. This is file number `number`.
    pub(super) fn parse(&self, number: usize) -> Result<(Value, Arc<Node>), Vec<ConfigError>> {
        let here = |error: ConfigError| error.in_file(&self.file);
        let tree = events::build(self.content(), number)
            .map_err(|errors| errors.into_iter().map(here).collect::<Vec<_>>())?;
        let value = self.value().map_err(|error| vec![here(error)])?;
        Ok((value, tree))
    }

    fn value(&self) -> Result<Value, ConfigError> {
        let mut value: Value = serde_yaml::from_str(self.content()).map_err(|error| refused_value(&error))?;
        value.apply_merge().map_err(|_| {
            ConfigError::new("a merge key (\"<<\") has to be followed by a mapping or a list of mappings")
        })?;
        match value {
            Value::Mapping(_) => Ok(value),
            Value::Null => Err(ConfigError::new("the file is empty; fill it, or leave it out")),
            _ => Err(ConfigError::new(
                "not a mapping of keys; start with a line such as \"server_name: example.org\"",
            )),
        }
    }
}

/// In words of ours, because `serde_yaml` repeats keys and values, which may be secrets. What is plainly
/// not YAML has been refused before, with `saphyr-parser`'s reason.
fn refused_value(error: &serde_yaml::Error) -> ConfigError {
    const BIG_INTEGER: &str = "an integer of more than 64 bits; put it in quotes";
    let reason = error.to_string();
    let told = [
        (" as u128", BIG_INTEGER),
        (" as i128", BIG_INTEGER),
        (
            "invalid value",
            "a value does not fit its tag (the word behind the \"!\"); remove the tag",
        ),
        (
            "duplicate entry",
            "the same key stands here twice; remove one of the two",
        ),
        (
            "recursion limit",
            "nested too deeply, or an alias inside of what it repeats; make it flatter",
        ),
        ("repetition limit", "aliases repeat too much; write fewer of them"),
    ];
    let told = told
        .iter()
        .find(|(sign, _)| reason.contains(sign))
        .map(|(_, told)| *told);
    let refused = ConfigError::new(told.unwrap_or("not valid YAML; check what stands here"));
    match error.location() {
        Some(location) => refused.at_line(location.line()).at_column(location.column()),
        None => refused,
    }
}

/// Mappings are united; of everything else, `over` wins.
pub(super) fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Mapping(base), Value::Mapping(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(earlier) => merge(earlier, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use crate::config::checks::check;

    #[test]
    fn a_file_is_a_mapping() {
        assert_snapshot!(check(""), @"the file is empty; fill it, or leave it out (homeserver.yaml)");
        assert_snapshot!(check("~"), @"the file is empty; fill it, or leave it out (homeserver.yaml)");
        assert_snapshot!(check("- server_name: a"), @r#"not a mapping of keys; start with a line such as "server_name: example.org" (homeserver.yaml)"#);
        assert_snapshot!(check("server_name"), @r#"not a mapping of keys; start with a line such as "server_name: example.org" (homeserver.yaml)"#);
    }

    #[test]
    fn what_only_the_values_show_is_refused_without_quoting_it() {
        assert_snapshot!(check("server_name: !!int secret"), @r#"a value does not fit its tag (the word behind the "!"); remove the tag (homeserver.yaml:1:14)"#);
        assert_snapshot!(check("server_name: a\n0x10: b\n16: c"), @"the same key stands here twice; remove one of the two (homeserver.yaml:1:1)");
        assert_snapshot!(check("server_name: a\n<<: 5"), @r#"a merge key ("<<") has to be followed by a mapping or a list of mappings (homeserver.yaml)"#);
        assert_snapshot!(check("a: &a [*a]"), @"nested too deeply, or an alias inside of what it repeats; make it flatter (homeserver.yaml:1:4)");
        assert_snapshot!(check("server_name: a\nlog: 18446744073709551616"), @"an integer of more than 64 bits; put it in quotes (homeserver.yaml:2:6)");
    }

    #[test]
    fn anchors_aliases_and_merge_keys_work_as_in_synapse() {
        let yaml = "server_name: a\nlisteners:\n- &l {port: 1}\n- <<: *l\n  port: 2\n- <<: [*l]\n  bind_address: ::1";
        assert_snapshot!(check(yaml), @"fine");
        let nine = |item: &str| [item; 9].join(",");
        let mut bomb = format!("a: &a [{}]\n", nine("x"));
        for (name, last) in ('b'..='p').zip('a'..) {
            bomb = [bomb, format!("{name}: &{name} [{}]\n", nine(&format!("*{last}")))].concat();
        }
        assert_snapshot!(check(&bomb), @"aliases repeat too much; write fewer of them (homeserver.yaml)");
    }
}

//! What a module says of itself without running: the JSON in its section `.presence_router`.
//! Knows the form alone; whether what it says suits this host is for `inspect`.

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

/// The form that this host reads.
pub(super) const FORMAT: u64 = 1;

const REQUIRED: [&str; 8] = [
    "name",
    "version",
    "routers",
    "sdk_version",
    "abi_hash",
    "rustc",
    "target",
    "panic",
];

/// A module's own description, as `export_router!` wrote it. Keys that are not known here are passed over:
/// newer SDKs may add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The crate's name.
    pub name: String,
    /// The crate's version.
    pub version: String,
    /// The crate's description; empty when it has none.
    #[serde(default)]
    pub description: String,
    /// The names of its routers, at least one.
    pub routers: Vec<String>,
    /// The version of `presence-router-api` that it is built with.
    #[serde(deserialize_with = "read_version", serialize_with = "write_version")]
    pub sdk_version: Version,
    /// The hash of the layout of all that crosses the boundary.
    pub abi_hash: String,
    /// What `rustc --version` prints.
    pub rustc: String,
    /// The target triple.
    pub target: String,
    /// What a panic does.
    pub panic: PanicStrategy,
}

/// What a panic in the module does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PanicStrategy {
    /// It unwinds, and the guards at the boundary catch it.
    Unwind,
    /// It ends the process.
    Abort,
}

/// Why a section is not a manifest.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// There is nothing but padding.
    #[error("it is empty")]
    Empty,
    /// There is more than one: another module is linked into this one.
    #[error("it holds {count} descriptions: another module is linked into this one")]
    Several {
        /// How many.
        count: usize,
    },
    /// It is not a JSON object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// It is not JSON.
    #[error("it is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// It is in a form that this host does not know.
    #[error("it has format {found}, this host reads format {FORMAT}")]
    UnknownFormat {
        /// What the section says.
        found: Value,
    },
    /// A required key is absent.
    #[error("it lacks the key `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A key has a value that cannot be meant.
    #[error("it has a wrong value")]
    WrongValue(#[source] serde_path_to_error::Error<serde_json::Error>),
    /// A text holds control characters, which could fool a terminal.
    #[error("it has control characters in its texts")]
    ControlCharacters,
    /// There is no router in it.
    #[error("it names no router")]
    NoRouter,
}

impl Manifest {
    /// Reads the section's bytes, which may be padded with NULs or white space.
    pub(super) fn read(section: &[u8]) -> Result<Self, ManifestError> {
        let text: Vec<u8> = section
            .iter()
            .map(|byte| if *byte == 0 { b' ' } else { *byte })
            .collect();
        let mut values = serde_json::Deserializer::from_slice(&text)
            .into_iter::<Value>()
            .collect::<Result<Vec<_>, _>>()
            .map_err(ManifestError::NotJson)?;
        if values.len() > 1 {
            return Err(ManifestError::Several { count: values.len() });
        }
        match values.pop() {
            None => Err(ManifestError::Empty),
            Some(Value::Object(map)) => Self::from_map(map),
            Some(_) => Err(ManifestError::NotAnObject),
        }
    }

    fn from_map(map: Map<String, Value>) -> Result<Self, ManifestError> {
        match map.get("format") {
            None => return Err(ManifestError::MissingKey { key: "format" }),
            Some(format) if format.as_u64() != Some(FORMAT) => {
                return Err(ManifestError::UnknownFormat {
                    found: format.clone(),
                });
            }
            Some(_) => {}
        }
        if let Some(key) = REQUIRED.into_iter().find(|key| !map.contains_key(*key)) {
            return Err(ManifestError::MissingKey { key });
        }
        if map.values().any(holds_control_characters) {
            return Err(ManifestError::ControlCharacters);
        }
        let manifest: Self =
            serde_path_to_error::deserialize(Value::Object(map)).map_err(ManifestError::WrongValue)?;
        if manifest.routers.is_empty() {
            return Err(ManifestError::NoRouter);
        }
        Ok(manifest)
    }
}

fn holds_control_characters(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().any(char::is_control),
        Value::Array(values) => values.iter().any(holds_control_characters),
        _ => false,
    }
}

fn read_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    let text = String::deserialize(deserializer)?;
    Version::parse(&text).map_err(serde::de::Error::custom)
}

fn write_version<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(version)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use insta::assert_snapshot;
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::modules::fixture::MANIFEST;

    /// The fixture's manifest with `key` set to `value`, or removed.
    fn check(key: &str, value: Option<Value>) -> String {
        let mut map: Map<String, Value> = serde_json::from_str(MANIFEST).unwrap();
        map.remove(key);
        map.extend(value.map(|value| (key.to_owned(), value)));
        answer(&serde_json::to_vec(&map).unwrap())
    }

    fn answer(section: &[u8]) -> String {
        match Manifest::read(section) {
            Ok(manifest) => format!("{} {}", manifest.name, manifest.version),
            Err(error) => match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            },
        }
    }

    #[test]
    fn all_that_is_known_is_read() {
        let manifest = Manifest::read(MANIFEST.as_bytes()).unwrap();
        assert_snapshot!(serde_json::to_string_pretty(&manifest).unwrap(), @r#"
        {
          "name": "tiny",
          "version": "1.2.3",
          "description": "a fixture",
          "routers": [
            "Left",
            "Right"
          ],
          "sdk_version": "0.1.0",
          "abi_hash": "0123456789abcdef",
          "rustc": "rustc 1.95.0",
          "target": "the-host-target",
          "panic": "unwind"
        }
        "#);
    }

    #[test]
    fn padding_and_unknown_keys_are_passed_over() {
        let padded = format!("{MANIFEST}\0\0\0  \n");
        assert_snapshot!(answer(padded.as_bytes()), @"tiny 1.2.3");
        assert_snapshot!(check("license", Some("MIT".into())), @"tiny 1.2.3");
        assert_snapshot!(check("description", None), @"tiny 1.2.3");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let all: Vec<_> = ["format"]
            .into_iter()
            .chain(REQUIRED)
            .map(|key| check(key, None))
            .collect();
        assert_snapshot!(all.join("\n"), @r"
        it lacks the key `format`
        it lacks the key `name`
        it lacks the key `version`
        it lacks the key `routers`
        it lacks the key `sdk_version`
        it lacks the key `abi_hash`
        it lacks the key `rustc`
        it lacks the key `target`
        it lacks the key `panic`
        ");
        assert_snapshot!(check("format", Some(2.into())), @"it has format 2, this host reads format 1");
        assert_snapshot!(check("sdk_version", Some("one".into())), @"it has a wrong value: sdk_version: unexpected character 'o' while parsing major version number");
        assert_snapshot!(check("panic", Some("maybe".into())), @"it has a wrong value: panic: unknown variant `maybe`, expected `unwind` or `abort`");
        assert_snapshot!(check("routers", Some(vec![1].into())), @"it has a wrong value: routers[0]: invalid type: integer `1`, expected a string");
        assert_snapshot!(check("routers", Some(Value::Array(vec![]))), @"it names no router");
        assert_snapshot!(check("name", Some("\u{1b}[2J".into())), @"it has control characters in its texts");
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        assert_snapshot!(answer(b""), @"it is empty");
        assert_snapshot!(answer(b"\0\0 \0"), @"it is empty");
        assert_snapshot!(answer(b"[1]"), @"it is not a JSON object");
        assert_snapshot!(answer(b"{\"format\":"), @"it is not JSON: EOF while parsing a value at line 1 column 10");
        assert_snapshot!(answer(format!("{MANIFEST}\0{MANIFEST}").as_bytes()), @"it holds 2 descriptions: another module is linked into this one");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::read(&bytes);
        }
    }
}

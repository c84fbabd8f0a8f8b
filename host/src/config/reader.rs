//! Reads typed values out of the merged YAML, and keeps what is wrong instead of stopping at it.
//!
//! Each reading function answers `None` when it has put an error on the list; the caller goes on with
//! a default, which nobody sees, because a config with errors is thrown away. Values are never printed
//! here: what is found is named by its type, so that a token in the wrong place stays unseen.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use crate::config::error::ConfigError;
use crate::config::key_path::KeyPath;
use crate::config::known_keys::Keys;
use crate::config::origins::Origins;

/// A value and where it stands.
pub(super) struct Field<'v> {
    pub(super) value: &'v Value,
    pub(super) path: KeyPath,
}

/// A mapping with a fixed set of keys, of which the unknown ones have been reported.
pub(super) struct Section<'v> {
    mapping: &'v Mapping,
    pub(super) path: KeyPath,
}

pub(super) struct Reader<'o> {
    origins: &'o Origins,
    errors: Vec<ConfigError>,
}

impl<'v> Field<'v> {
    pub(super) fn new(value: &'v Value, path: KeyPath) -> Self {
        Self { value, path }
    }
}

impl<'v> Section<'v> {
    /// What stands behind `key`; `None` when it is left out, or left without a value.
    pub(super) fn get(&self, key: &str) -> Option<Field<'v>> {
        let value = self.mapping.get(key).filter(|value| !value.is_null())?;
        Some(Field::new(value, self.path.key(key)))
    }
}

impl<'o> Reader<'o> {
    pub(super) fn new(origins: &'o Origins) -> Self {
        Self {
            origins,
            errors: Vec::new(),
        }
    }

    /// What was wrong, in the order of files and lines.
    pub(super) fn finish(mut self) -> Vec<ConfigError> {
        self.errors.sort_by_key(|error| self.origins.order(error));
        self.errors
    }

    /// Keeps an error about the key at `path`.
    pub(super) fn error(&mut self, path: &KeyPath, message: impl Into<String>) {
        let error = ConfigError::new(message).for_key(path.without_secrets().to_string());
        self.errors.push(self.origins.place(error, &path.to_string()));
    }

    /// Keeps an error about `field`, and answers what the reading functions answer then.
    pub(super) fn refuse<T>(&mut self, field: &Field<'_>, message: impl Into<String>) -> Option<T> {
        self.error(&field.path, message);
        None
    }

    pub(super) fn wrong_type<T>(&mut self, field: &Field<'_>, expected: &str) -> Option<T> {
        self.refuse(
            field,
            format!("expected {expected}, found {}", type_of(field.value)),
        )
    }

    /// Puts what `read` makes of the field into `slot`, unless there is no field or it is wrong.
    pub(super) fn set<T>(
        &mut self,
        slot: &mut T,
        field: Option<Field<'_>>,
        read: impl FnOnce(&mut Self, &Field<'_>) -> Option<T>,
    ) {
        if let Some(value) = field.and_then(|field| read(self, &field)) {
            *slot = value;
        }
    }

    /// A mapping with fixed keys; the others are reported.
    pub(super) fn section<'v>(&mut self, field: &Field<'v>, keys: &Keys) -> Option<Section<'v>> {
        let Value::Mapping(mapping) = field.value else {
            return self.wrong_type(field, "a mapping");
        };
        for key in mapping.keys() {
            let Some(name) = self.key_text(&field.path, key) else {
                continue;
            };
            if !keys.contains(name) {
                let path = field.path.key(name);
                let what = if path.without_secrets() == path {
                    format!("unknown key \"{name}\"")
                } else {
                    "unknown key".to_owned()
                };
                self.error(&path, format!("{what}; {}", keys.advice(name)));
            }
        }
        Some(Section {
            mapping,
            path: field.path.clone(),
        })
    }

    /// A mapping whose keys are data.
    pub(super) fn entries<'v>(&mut self, field: &Field<'v>) -> Option<Vec<(&'v str, Field<'v>)>> {
        let Value::Mapping(mapping) = field.value else {
            return self.wrong_type(field, "a mapping");
        };
        let mut entries = Vec::with_capacity(mapping.len());
        for (key, value) in mapping {
            if let Some(name) = self.key_text(&field.path, key) {
                entries.push((name, Field::new(value, field.path.key(name))));
            }
        }
        Some(entries)
    }

    pub(super) fn list<'v>(&mut self, field: &Field<'v>) -> Option<Vec<Field<'v>>> {
        let Value::Sequence(items) = field.value else {
            return self.wrong_type(field, "a list");
        };
        let entry = |(index, value)| Field::new(value, field.path.index(index));
        Some(items.iter().enumerate().map(entry).collect())
    }

    pub(super) fn text<'v>(&mut self, field: &Field<'v>) -> Option<&'v str> {
        match field.value {
            Value::String(text) => Some(text),
            Value::Bool(_) | Value::Number(_) => {
                let found = type_of(field.value);
                self.refuse(
                    field,
                    format!("expected a string, found {found}; put it in quotes"),
                )
            }
            _ => self.wrong_type(field, "a string"),
        }
    }

    pub(super) fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        match field.value {
            Value::Bool(value) => Some(*value),
            _ => self.wrong_type(field, "true or false"),
        }
    }

    pub(super) fn integer(&mut self, field: &Field<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let Value::Number(number) = field.value else {
            return self.wrong_type(field, "an integer");
        };
        if number.is_f64() {
            return self.wrong_type(field, "an integer");
        }
        let message = format!(
            "{number} is out of range; write an integer from {} to {}",
            range.start(),
            range.end()
        );
        match number.as_u64().filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => self.refuse(field, message),
        }
    }

    /// With a fraction or without.
    pub(super) fn number(&mut self, field: &Field<'_>) -> Option<f64> {
        match field.value.as_f64() {
            Some(number) => Some(number),
            None => self.wrong_type(field, "a number"),
        }
    }

    /// A path, completed by the directory of the file in which it stands.
    pub(super) fn file_path(&mut self, field: &Field<'_>) -> Option<PathBuf> {
        match self.text(field)? {
            "" => self.refuse(field, "expected a path, found an empty string"),
            path if path.contains('\0') => self.refuse(field, "a path cannot hold a NUL character"),
            path => {
                let base = self.directory_of(field);
                let base = if base.as_os_str() == "." {
                    PathBuf::new()
                } else {
                    base
                };
                Some(base.join(path))
            }
        }
    }

    /// The directory of the file in which the field stands.
    pub(super) fn directory_of(&self, field: &Field<'_>) -> PathBuf {
        self.origins.directory_of(&field.path.to_string())
    }

    /// The key, with its file and line, for errors that name a second place.
    pub(super) fn place_of(&self, path: &KeyPath) -> String {
        let key = path.without_secrets();
        match self.origins.locate(&path.to_string()) {
            Some(origin) => format!("{key} ({origin})"),
            None => key.to_string(),
        }
    }

    /// The directory of the first file; empty for the working directory.
    pub(super) fn main_directory(&self) -> PathBuf {
        let first = self.origins.files().first();
        first
            .and_then(|file| file.parent())
            .map(Path::to_owned)
            .unwrap_or_default()
    }

    fn key_text<'v>(&mut self, path: &KeyPath, key: &'v Value) -> Option<&'v str> {
        let (path, advice) = match key {
            Value::String(text) => return Some(text),
            Value::Bool(value) => (path.key(&value.to_string()), "put it in quotes"),
            Value::Number(number) => (path.key(&number.to_string()), "put it in quotes"),
            _ => (path.clone(), "write a string"),
        };
        self.error(
            &path,
            format!("expected a string as the key, found {}; {advice}", type_of(key)),
        );
        None
    }
}

/// The type in the words of YAML.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing (null)",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
        Value::Tagged(_) => "a value with a tag",
    }
}

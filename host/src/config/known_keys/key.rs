//! A key as the reference describes it: its type, its default, an example, and what it does.
//!
//! Knows nothing of how a value is read; the tests of `docs` hold the readers to what is said here.

use std::fmt;

/// A key of a section.
pub(in crate::config) struct Key {
    pub(in crate::config) name: &'static str,
    pub(in crate::config) kind: Type,
    pub(in crate::config) default: Default,
    /// YAML in flow style.
    pub(in crate::config) example: &'static str,
    /// The key of the same section without which this one is refused.
    pub(in crate::config) only_with: Option<&'static str>,
    /// Markdown that fits into a cell of a table.
    pub(in crate::config) about: &'static str,
}

/// What is to stand behind a key.
pub(in crate::config) enum Type {
    Text,
    Boolean,
    Duration,
    Path,
    Integer {
        unit: &'static str,
        least: u64,
        most: u64,
    },
    /// With a fraction or without, finite and above 0.
    Number {
        unit: &'static str,
    },
    /// Of a whole: above 0, at most 1.
    Share,
    /// One of these words.
    Words(&'static str),
    /// A list of these.
    List(&'static str),
    /// A mapping of this form.
    Mapping(&'static str),
}

/// What holds when the key is left out.
pub(in crate::config) enum Default {
    /// The config is refused.
    Required,
    /// As if this YAML stood there.
    Value(&'static str),
    /// What no YAML can say, in words.
    Words(&'static str),
}

impl Key {
    /// A key that is required, until a default is given.
    pub(super) const fn new(
        name: &'static str,
        kind: Type,
        example: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default: Default::Required,
            example,
            only_with: None,
            about,
        }
    }

    pub(super) const fn default(mut self, yaml: &'static str) -> Self {
        self.default = Default::Value(yaml);
        self
    }

    pub(super) const fn or(mut self, words: &'static str) -> Self {
        self.default = Default::Words(words);
        self
    }

    pub(super) const fn only_with(mut self, key: &'static str) -> Self {
        self.only_with = Some(key);
        self
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("string"),
            Self::Boolean => f.write_str("`true` or `false`"),
            Self::Duration => f.write_str("duration"),
            Self::Path => f.write_str("path"),
            Self::Integer {
                unit: "",
                least,
                most,
            } => write!(f, "integer, {least} to {most}"),
            Self::Integer { unit, least, most } => write!(f, "integer of {unit}, {least} to {most}"),
            Self::Number { unit } => write!(f, "number of {unit}, above 0"),
            Self::Share => f.write_str("number above 0, at most 1"),
            Self::Words(words) => f.write_str(words),
            Self::List(of) => write!(f, "list of {of}"),
            Self::Mapping(form) => write!(f, "mapping: {form}"),
        }
    }
}

impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("required"),
            Self::Value(yaml) => write!(f, "`{yaml}`"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

//! Configs that differ from a good one in one thing: a key too few, too many, misspelled, of another type; an entry
//! twice; a user id that is none. Makes them, and knows nothing of what a module thinks of them.
//!
//! A mapping with the same key twice is not among them: the host refuses the file before a module sees it.

use std::collections::HashSet;

use presence_router_api::UserId;
use serde_json::{Map, Value, json};

use crate::verify::random::Random;

/// How many are made of one config.
const MAX_VARIANTS: usize = 300;

/// How many entries of a list or a mapping are changed: those behind them are no others.
const MAX_ENTRIES: usize = 20;

/// How a variant differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key, or an entry of a list, is missing.
    Removed,
    /// A key is misspelled.
    Renamed,
    /// A key that no module has, at the top.
    Unknown,
    /// A value is of another type, or out of all bounds.
    Retyped,
    /// An entry of a list is there twice.
    Repeated,
    /// A user id is none.
    NotAUser,
}

/// A config that differs in one thing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variant {
    pub(super) kind: Kind,
    /// What differs, as a person reads it. Holds keys of the config, none of its values.
    pub(super) what: String,
    /// The name that a refusal should hold.
    pub(super) key: String,
    pub(super) config: Value,
}

/// The variants of a config; of too many, some that are chosen at random. That with the unknown key is the first.
pub(super) fn variants(config: &Value, random: &mut Random) -> Vec<Variant> {
    const UNKNOWN: &str = "no_module_has_this_key";
    let mut unknown = config.clone();
    if let Value::Object(entries) = &mut unknown {
        entries.insert(UNKNOWN.to_owned(), json!(true));
    }
    let mut found = Vec::new();
    let mut walk = Walk {
        root: config,
        found: &mut found,
        known: HashSet::from([config.to_string(), unknown.to_string()]),
    };
    walk.descend(config, &mut Vec::new());
    random.shuffle(&mut found);
    found.truncate(MAX_VARIANTS - 1);
    let first = Variant {
        kind: Kind::Unknown,
        what: format!("with a key `{UNKNOWN}`"),
        key: UNKNOWN.to_owned(),
        config: unknown,
    };
    std::iter::once(first).chain(found).collect()
}

/// A step from a value to one in it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

struct Walk<'a> {
    root: &'a Value,
    found: &'a mut Vec<Variant>,
    /// What there is already, the good one included: two changes may come to the same.
    known: HashSet<String>,
}

impl Walk<'_> {
    fn descend(&mut self, value: &Value, path: &mut Vec<Step>) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries.iter().take(MAX_ENTRIES) {
                    path.push(Step::Key(key.clone()));
                    self.add(Kind::Removed, path, "left out", &mut |parent, step| {
                        remove(parent, step)
                    });
                    let (renamed, kind) = match UserId::parse(key) {
                        Ok(_) => (key.trim_start_matches('@').to_owned(), Kind::NotAUser),
                        Err(_) => (format!("{key}_x"), Kind::Renamed),
                    };
                    self.add(kind, path, "misspelled", &mut |parent, step| {
                        rename(parent, step, &renamed)
                    });
                    self.descend(value, path);
                    path.pop();
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate().take(MAX_ENTRIES) {
                    path.push(Step::Index(index));
                    self.add(Kind::Removed, path, "left out", &mut |parent, step| {
                        remove(parent, step)
                    });
                    self.add(Kind::Repeated, path, "twice", &mut |parent, step| {
                        repeat(parent, step)
                    });
                    self.descend(value, path);
                    path.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        // Last: of two changes that come to the same, the one that says more is kept.
        if !path.is_empty() {
            self.change_value(value, path);
        }
    }

    fn change_value(&mut self, value: &Value, path: &[Step]) {
        let others = [
            Value::Null,
            json!(true),
            json!(-1),
            json!(u64::MAX),
            json!(0.5),
            json!(""),
            json!("\u{0}x"),
            json!([]),
            json!([[]]),
            json!({}),
            json!({"": null}),
        ];
        for other in others.iter().filter(|other| *other != value) {
            let what = format!("as {other}");
            self.add(Kind::Retyped, path, &what, &mut |parent, step| {
                set(parent, step, other)
            });
        }
        if value.as_str().is_some_and(|text| UserId::parse(text).is_ok()) {
            for wrong in ["bob", "@bob", "@bob:", "bob:example.org", "@b ob:example.org:"] {
                let what = format!("as {wrong:?}");
                let wrong = json!(wrong);
                self.add(Kind::NotAUser, path, &what, &mut |parent, step| {
                    set(parent, step, &wrong)
                });
            }
        }
    }

    fn add(
        &mut self,
        kind: Kind,
        path: &[Step],
        what: &str,
        change: &mut dyn FnMut(&mut Value, &Step) -> Option<()>,
    ) {
        let mut config = self.root.clone();
        let changed = path.split_last().and_then(|(last, parents)| {
            let parent = parents.iter().try_fold(&mut config, |value, step| match step {
                Step::Key(key) => value.get_mut(key),
                Step::Index(index) => value.get_mut(index),
            });
            change(parent?, last)
        });
        if changed.is_some() && self.known.insert(config.to_string()) {
            let key = path.iter().rev().find_map(|step| match step {
                Step::Key(key) => Some(key.clone()),
                Step::Index(_) => None,
            });
            self.found.push(Variant {
                kind,
                what: format!("with `{}` {what}", shown(path)),
                key: key.unwrap_or_default(),
                config,
            });
        }
    }
}

fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Index(index) => text.extend(["[", &index.to_string(), "]"]),
        }
    }
    text
}

fn remove(parent: &mut Value, step: &Step) -> Option<()> {
    match step {
        Step::Key(key) => parent.as_object_mut()?.remove(key).map(drop),
        Step::Index(index) => {
            let items = parent.as_array_mut()?;
            (*index < items.len()).then(|| drop(items.remove(*index)))
        }
    }
}

fn rename(parent: &mut Value, step: &Step, name: &str) -> Option<()> {
    let (entries, Step::Key(key)) = (parent.as_object_mut()?, step) else {
        return None;
    };
    let renamed: Map<_, _> = std::mem::take(entries)
        .into_iter()
        .map(|(each, value)| {
            if each == *key {
                (name.to_owned(), value)
            } else {
                (each, value)
            }
        })
        .collect();
    *entries = renamed;
    Some(())
}

fn repeat(parent: &mut Value, step: &Step) -> Option<()> {
    let (items, Step::Index(index)) = (parent.as_array_mut()?, step) else {
        return None;
    };
    let item = items.get(*index)?.clone();
    items.push(item);
    Some(())
}

fn set(parent: &mut Value, step: &Step, to: &Value) -> Option<()> {
    let slot = match step {
        Step::Key(key) => parent.get_mut(key)?,
        Step::Index(index) => parent.get_mut(index)?,
    };
    *slot = to.clone();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(config: &Value) -> Vec<Variant> {
        variants(config, &mut Random::of(1))
    }

    #[test]
    fn each_differs_from_the_good_one_and_from_the_others() {
        let config = json!({"users": ["@a:b", "@c:d"], "limits": {"rooms": 5}, "of": {"@a:b": []}});
        let variants = all(&config);
        for (index, variant) in variants.iter().enumerate() {
            assert_ne!(variant.config, config, "{}", variant.what);
            let same = variants
                .iter()
                .skip(index + 1)
                .find(|other| other.config == variant.config);
            assert_eq!(same, None, "as {}", variant.what);
        }
    }

    #[test]
    fn every_way_to_go_wrong_is_there_and_says_so() {
        let variants = all(&json!({"users": ["@a:b"], "limits": {"rooms": 5}, "of": {"@a:b": 1}}));
        let what: Vec<_> = variants.iter().map(|variant| variant.what.as_str()).collect();
        for expected in [
            "with a key `no_module_has_this_key`",
            "with `users` left out",
            "with `users` misspelled",
            "with `users[0]` left out",
            "with `users[0]` twice",
            "with `users[0]` as \"bob\"",
            "with `users` as {}",
            "with `limits.rooms` as true",
            "with `of.@a:b` misspelled",
        ] {
            assert!(what.contains(&expected), "no {expected:?} in {what:#?}");
        }
        let renamed = variants
            .iter()
            .find(|variant| variant.what == "with `of.@a:b` misspelled");
        assert_eq!(
            renamed.map(|variant| (variant.kind, variant.config["of"].to_string())),
            Some((Kind::NotAUser, "{\"a:b\":1}".to_owned()))
        );
    }

    #[test]
    fn they_are_bounded_and_an_empty_config_has_one() {
        let users: Vec<_> = (0..500).map(|number| format!("@u{number}:b")).collect();
        assert_eq!(all(&json!({"users": users})).len(), MAX_VARIANTS);
        assert_eq!(all(&json!({})).len(), 1);
    }
}

//! Holds the readers to what the reference says, and `docs/config.md` to the reference.

use std::fs;
use std::path::Path;

use super::{EXAMPLE, reference};
use crate::config::checks::{check, config};
use crate::config::known_keys::{ALL, Default, Key, Keys, Type};

/// Configs with `key: value` in each place where it may stand, beside what it needs; or without the key.
fn configs(keys: &Keys, key: &Key, value: Option<&str>) -> Vec<String> {
    let mut entries: Vec<(&str, &str)> = value.map(|value| (key.name, value)).into_iter().collect();
    for other in keys.entries {
        let needed = matches!(other.default, Default::Required) || key.only_with == Some(other.name);
        if needed && other.name != key.name {
            entries.push((other.name, other.example));
        }
    }
    // A listener is somewhere, and no one key says where.
    if keys.contains("port") && !entries.iter().any(|(name, _)| ["port", "path"].contains(name)) {
        entries.push(("port", "1"));
    }
    let named = keys.contains("server_name");
    let server_name = if named { "" } else { "server_name: example.org, " };
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let whole = |within: &&str| format!("{{{server_name}{}}}", within.replace("KEYS", &entries.join(", ")));
    keys.within.iter().map(whole).collect()
}

fn keys() -> impl Iterator<Item = (&'static Keys, &'static Key)> {
    ALL.into_iter()
        .flat_map(|keys| keys.entries.iter().map(move |key| (keys, key)))
}

#[test]
fn the_file_in_docs_is_what_the_keys_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
    let made = reference().to_string();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap();
    let differs = found
        .lines()
        .zip(made.lines())
        .position(|(found, made)| found != made);
    assert!(
        found == made,
        "docs/config.md differs from line {} on; renew it by\n    \
         UPDATE_DOCS=1 cargo test -p presence-router --lib config::docs",
        differs.unwrap_or_else(|| found.lines().count().min(made.lines().count())) + 1
    );
}

#[test]
fn the_example_is_a_config() {
    assert_eq!(check(EXAMPLE), "fine");
}

#[test]
fn every_key_has_a_doc_that_fits_into_its_table() {
    for (keys, key) in keys() {
        let name = format!("{}: {}", keys.title, key.name);
        assert!(key.about.len() > 10, "{name}");
        for cell in [
            key.about,
            key.example,
            &key.kind.to_string(),
            &key.default.to_string(),
        ] {
            assert!(
                !cell.is_empty() && !cell.contains(['|', '\n']),
                "{name}: {cell:?}"
            );
        }
    }
}

/// Also proves that the reader takes every key that is known: an example that is read changes something.
#[test]
fn every_example_is_taken_and_says_something_else_than_the_default() {
    for (keys, key) in keys() {
        for (index, yaml) in configs(keys, key, Some(key.example)).iter().enumerate() {
            assert_eq!(check(yaml), "fine", "{yaml}");
            // Of the names of databases, one alone is taken.
            let is_only_choice = key.name == "name" && key.example == "sqlite3";
            if !matches!(key.default, Default::Required) && !is_only_choice {
                let without = &configs(keys, key, None)[index];
                assert_ne!(config(yaml), config(without), "{yaml}");
            }
        }
    }
}

#[test]
fn every_default_is_what_holds_without_the_key() {
    for (keys, key) in keys() {
        for (index, without) in configs(keys, key, None).iter().enumerate() {
            match key.default {
                Default::Required => {
                    let errors = check(without);
                    assert!(errors.contains(key.name), "{without}: {errors}");
                }
                Default::Value(value) => {
                    let with = &configs(keys, key, Some(value))[index];
                    assert_eq!(config(with), config(without), "{with}");
                }
                Default::Words(_) => assert_eq!(check(without), "fine", "{without}"),
            }
        }
    }
}

#[test]
fn every_other_type_is_refused() {
    for (keys, key) in keys() {
        let (wrong, expected) = match key.kind {
            Type::Text | Type::Path => ("[x]", "expected a string, found a list"),
            Type::Boolean => ("[x]", "expected true or false, found a list"),
            Type::Duration => ("[x]", "expected a duration such as 30s or 5m, found a list"),
            Type::Integer { .. } => ("[x]", "expected an integer, found a list"),
            Type::Number { .. } | Type::Share => ("[x]", "expected a number, found a list"),
            Type::Words(_) => ("[x]", "found a list"),
            Type::List(_) => ("{}", "expected a list, found a mapping"),
            Type::Mapping(_) => ("[x]", "expected a mapping, found a list"),
        };
        for yaml in configs(keys, key, Some(wrong)) {
            let errors = check(&yaml);
            assert!(errors.contains(expected), "{yaml}: {errors}");
        }
    }
}

#[test]
fn numbers_are_above_0() {
    for (keys, key) in keys().filter(|(_, key)| matches!(key.kind, Type::Number { .. })) {
        for yaml in configs(keys, key, Some("0")) {
            assert!(check(&yaml).contains("above 0"), "{yaml}");
        }
    }
}

#[test]
fn shares_are_of_a_whole() {
    for (keys, key) in keys().filter(|(_, key)| matches!(key.kind, Type::Share)) {
        for yaml in configs(keys, key, Some("1")) {
            assert_eq!(check(&yaml), "fine", "{yaml}");
        }
        for beyond in ["0", "1.5"] {
            for yaml in configs(keys, key, Some(beyond)) {
                assert!(check(&yaml).contains("above 0 and at most 1"), "{yaml}");
            }
        }
    }
}

#[test]
fn integers_have_the_bounds_that_are_said() {
    for (keys, key) in keys() {
        let Type::Integer { least, most, .. } = key.kind else {
            continue;
        };
        for bound in [least, most] {
            for yaml in configs(keys, key, Some(&bound.to_string())) {
                assert_eq!(check(&yaml), "fine", "{yaml}");
            }
        }
        for yaml in configs(keys, key, Some(&(most + 1).to_string())) {
            let errors = check(&yaml);
            assert!(
                errors.contains(&format!("an integer from {least} to {most}")),
                "{errors}"
            );
        }
    }
}

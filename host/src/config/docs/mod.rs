//! The reference of all keys, as Markdown: `docs/config.md` is what [`reference`] answers.
//!
//! The keys come from `known_keys`, the errors that are shown from the reader. What else is said stands
//! beside this file. The tests hold the readers to what the reference says.

use std::fmt;
use std::path::PathBuf;

use crate::config::known_keys::{self, Keys};
use crate::config::source::Source;
use crate::config::{Parsed, parse};

#[cfg(test)]
mod tests;

const HEAD: &str = include_str!("head.md");
const TAIL: &str = include_str!("tail.md");
/// A config with most of the keys.
const EXAMPLE: &str = include_str!("example.yaml");
/// A config with many faults.
const FAULTY: &str = include_str!("errors.yaml");
const JSON: &str = "With `--format json`, the same is on stdout as one document, beside the text on stderr. Of the errors, \
                    the first is:";

/// Every key of the config with its type, default and meaning, as Markdown.
pub fn reference() -> impl fmt::Display {
    fmt::from_fn(write)
}

fn write(text: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(text, "{HEAD}\n## An example\n\n```yaml\n{EXAMPLE}```")?;
    for keys in known_keys::ALL {
        section(text, keys)?;
    }
    let faulty = Source::new(PathBuf::from("homeserver.yaml"), FAULTY.to_owned());
    let refused = parse(&[faulty], Vec::new()).and_then(Parsed::check);
    let errors = refused.expect_err("the faulty config is refused");
    writeln!(text, "\n{TAIL}\n```yaml\n{FAULTY}```\n")?;
    writeln!(text, "is answered with exit code 1 and, on stderr:\n\n```text")?;
    for error in errors.entries() {
        writeln!(text, "error: {error}")?;
    }
    let json = serde_json::json!({ "ok": false, "errors": errors.entries().get(..1) });
    writeln!(text, "```\n\n{JSON}\n\n```json\n{json}\n```")
}

fn section(text: &mut fmt::Formatter<'_>, keys: &Keys) -> fmt::Result {
    writeln!(text, "\n## {}\n", keys.title)?;
    let places: Vec<_> = keys
        .within
        .iter()
        .map(|within| within.replace("KEYS", "…"))
        .filter(|place| place != "…")
        .map(|place| format!("`{place}`"))
        .collect();
    if !places.is_empty() {
        writeln!(text, "Stands in {}.\n", places.join(" and "))?;
    }
    if !keys.about.is_empty() {
        writeln!(text, "{}\n", keys.about)?;
    }
    writeln!(
        text,
        "| key | type | default | example | what |\n|---|---|---|---|---|"
    )?;
    for key in keys.entries {
        let only = match key.only_with {
            Some(other) => format!(". Only beside `{other}`"),
            None => String::new(),
        };
        writeln!(
            text,
            "| `{}` | {} | {} | `{}` | {}{only} |",
            key.name, key.kind, key.default, key.example, key.about
        )?;
    }
    Ok(())
}

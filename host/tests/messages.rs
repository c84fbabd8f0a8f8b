//! `docs/operators.md` explains every message of the server: what its tables have is what the code says, word for word.
//! And a line of the log that a page shows is one that the server writes.
//!
//! Reads the sources as text and runs nothing. `{..}` stands for what is filled in.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LEVELS: [&str; 3] = ["error", "warn", "info"];

#[test]
fn every_line_of_the_log_is_explained() {
    let mut said = BTreeSet::new();
    for file in sources() {
        for message in messages(&without_tests(&read(&file))) {
            said.insert(message.unwrap_or_else(|call| panic!("{}: no message in {call}", file.display())));
        }
    }
    let rows = table("## What the log says");
    let explained: BTreeSet<_> = rows
        .iter()
        .map(|cells| match cells.as_slice() {
            [level, message, ..] => (level.clone(), code(message).to_owned()),
            _ => panic!("a row has a level and a message: {cells:?}"),
        })
        .collect();
    compare(&said, &explained);
    assert_eq!(rows.len(), explained.len(), "a message is explained twice");
}

#[test]
fn every_reason_not_to_start_is_explained() {
    let said = errors("storage/error.rs", "OpenError")
        .into_iter()
        .chain(errors("http/listen.rs", "BindError"))
        .collect();
    compare(&said, &first_column("### The database and the addresses"));
}

#[test]
fn every_reason_of_a_failed_call_is_explained() {
    compare(
        &errors("modules/running.rs", "CallError").into_iter().collect(),
        &first_column("### Why a call failed"),
    );
}

#[test]
fn the_pages_show_lines_that_are_written() {
    let (mut found, mut unknown) = (0, Vec::new());
    for entry in fs::read_dir(root().join("../docs")).expect("the pages can be read") {
        let page = entry.expect("the pages can be read").path();
        if page.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        let text = read(&page);
        for (level, target, rest) in text.lines().filter_map(line_of_log) {
            found += 1;
            let file = root().join("src").join(target.replace("::", "/"));
            let sources = [file.with_extension("rs"), file.join("mod.rs")];
            let source = sources.iter().find(|source| source.is_file());
            let written = source.map_or_else(Vec::new, |source| messages(&without_tests(&read(source))));
            let is_written = written
                .iter()
                .flatten()
                .any(|(at, message)| at.eq_ignore_ascii_case(level) && fits(rest, message));
            if !is_written {
                unknown.push(format!("{}: {level} {target}: {rest}", page.display()));
            }
        }
    }
    assert!(found > 5, "the lines are not found: only {found}");
    assert!(
        unknown.is_empty(),
        "the code does not write\n{}",
        unknown.join("\n")
    );
}

#[test]
fn lines_of_the_log_are_compared_with_messages() {
    let line =
        "2026-11-22T21:04:59.263953Z ERROR presence_router::a::b: is back: 9 of 10 calls failed module=\"m\"";
    let (level, target, rest) = line_of_log(line).expect("is one");
    assert_eq!((level, target), ("ERROR", "a::b"));
    assert!(fits(rest, "is back: {..}"));
    assert!(fits(rest, "{..} of {..} calls failed"));
    assert!(fits("is back", "is back"));
    assert!(!fits(rest, "is back"));
    assert!(!fits(rest, "is back: {..} calls"));
    assert!(!fits(rest, "back: {..}"));
    assert!(!fits("is back, or so", "is back"));
    assert_eq!(
        line_of_log("2026-11-22T21:04:59.263953Z  INFO module: mine"),
        None
    );
}

#[test]
fn messages_are_found_in_any_shape() {
    let source = r#"
        tracing::info!("plain");
        // tracing::warn!("not this");
        tracing::warn!(module = &*name, method = "shutdown", "a {} and {b:?} \
            (so) \"on\"", x("no"), b);
        error!(target: "module", ?error, thread = thread.name().unwrap_or("none"), "{}", text);
        #[cfg(feature = "growth-probe")]
        tracing::info!("a probe");
        tracing::info_span!("request", id = 7);
        tracing::debug!("quiet");
        tracing::error!(error);
        #[cfg(test)]
        mod tests {
            tracing::info!("of a test");
        "#;
    let found: Vec<_> = messages(&without_tests(source))
        .into_iter()
        .map(|message| message.map_err(|_| ()))
        .collect();
    let message = |level: &str, text: &str| Ok((level.to_owned(), text.to_owned()));
    assert_eq!(
        found,
        [
            message("error", "{..}"),
            Err(()),
            message("warn", "a {..} and {..} (so) \"on\""),
            message("info", "plain"),
        ]
    );
}

fn compare<T: Ord + std::fmt::Debug>(said: &BTreeSet<T>, explained: &BTreeSet<T>) {
    assert!(!said.is_empty(), "no message was found in the code");
    let missing: Vec<_> = said.difference(explained).collect();
    let unknown: Vec<_> = explained.difference(said).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "docs/operators.md lacks {missing:#?}\nand has, but the code does not say {unknown:#?}"
    );
}

// --- The page ------------------------------------------------------------------------------------

/// The cells of the table below a heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = read(&root().join("../docs/operators.md"));
    let rows: Vec<Vec<String>> = page
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(
        !rows.is_empty(),
        "docs/operators.md has no table below {heading:?}"
    );
    rows
}

fn first_column(heading: &str) -> BTreeSet<String> {
    let rows = table(heading);
    let cells = rows.iter().filter_map(|cells| cells.first());
    cells.map(|cell| code(cell).to_owned()).collect()
}

/// The text between backticks. A text that has some itself is between two, and spaces where it begins or ends with one.
fn code(cell: &str) -> &str {
    let inner = |fence: &str| cell.strip_prefix(fence)?.strip_suffix(fence);
    inner("``").or_else(|| inner("`")).unwrap_or(cell).trim()
}

/// The level, the module of the code and the rest of a line that the server itself has logged.
fn line_of_log(line: &str) -> Option<(&str, &str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let (level, rest) = rest.trim_start().split_once(' ')?;
    let (target, rest) = rest.strip_prefix("presence_router::")?.split_once(": ")?;
    (time.ends_with('Z') && time.contains('T')).then_some((level, target, rest))
}

/// Whether a line can have come from a message: all of its words in order, and behind them only fields.
fn fits(line: &str, message: &str) -> bool {
    let mut parts = message.split("{..}");
    let Some(mut rest) = parts.next().and_then(|begin| line.strip_prefix(begin)) else {
        return false;
    };
    let mut ends_in_a_blank = false;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        ends_in_a_blank = part.is_empty();
    }
    let is_field = |word: &str| word.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    ends_in_a_blank
        || rest
            .split_whitespace()
            .next()
            .is_none_or(|word| rest.starts_with(' ') && is_field(word))
}

// --- The code ------------------------------------------------------------------------------------

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn sources() -> Vec<PathBuf> {
    let (mut files, mut directories) = (Vec::new(), vec![root().join("src")]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("sources can be read") {
            let path = entry.expect("sources can be read").path();
            let name = path.file_stem().and_then(|name| name.to_str());
            let name = name.expect("sources have names");
            if path.is_dir() {
                if name != "tests" {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") && !name.ends_with("tests") {
                files.push(path);
            }
        }
    }
    files
}

/// A file without its comments, and without the tests at its end.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let opens_tests = |next: &&str| next.trim_start().starts_with("mod ") && next.ends_with('{');
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(opens_tests) {
            break;
        }
        if !line.trim_start().starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The level and the message of each line that a source logs; the call, where no message can be found in it.
fn messages(source: &str) -> Vec<Result<(String, String), String>> {
    let mut found = Vec::new();
    for level in LEVELS {
        let call = format!("{level}!(");
        for (at, _) in source.match_indices(&call) {
            let before = &source[..at];
            let is_part_of_a_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let attribute = before
                .trim_end_matches("tracing::")
                .trim_end()
                .lines()
                .next_back();
            let is_of_a_probe =
                attribute.is_some_and(|line| line.trim() == r#"#[cfg(feature = "growth-probe")]"#);
            if is_part_of_a_name || is_of_a_probe {
                continue;
            }
            let message = message_of(&source[at + call.len()..]);
            found.push(message.map(|text| (level.to_owned(), text)).ok_or_else(|| {
                let call = source[at..].lines().take(4);
                call.collect::<Vec<_>>().join(" ")
            }));
        }
    }
    found
}

/// The first text that is an argument of its own: no value of a field, and nothing inside other calls.
fn message_of(arguments: &str) -> Option<String> {
    let (mut depth, mut last, mut rest) = (0_u32, ',', arguments);
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let (text, after) = literal(rest)?;
            if depth == 0 && last == ',' {
                return Some(text);
            }
            (last, rest) = ('"', after);
            continue;
        }
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if !c.is_whitespace() {
            last = c;
        }
        rest = &rest[c.len_utf8()..];
    }
    None
}

/// A literal at the beginning of a text, with `{..}` for what is filled in; and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((with_blanks(&value), &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                '\n' => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                escaped => value.push(escaped),
            },
            c => value.push(c),
        }
    }
    None
}

fn with_blanks(format: &str) -> String {
    let mut parts = format.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, after) = part.split_once('}').unwrap_or((part, ""));
        text.push_str("{..}");
        text.push_str(after);
    }
    text
}

/// The texts of an enum of errors.
fn errors(file: &str, name: &str) -> Vec<String> {
    let source = read(&root().join("src").join(file));
    let begin = source.find(&format!("pub enum {name} {{"));
    let body = &source[begin.unwrap_or_else(|| panic!("{file} has no {name}"))..];
    let body = &body[..body.find("\n}").expect("an enum ends")];
    let texts = body.split("#[error(").skip(1);
    texts
        .map(|text| literal(text.trim_start()).map_or_else(|| panic!("{name}: {text}"), |(text, _)| text))
        .collect()
}

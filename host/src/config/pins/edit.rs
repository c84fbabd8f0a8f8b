//! One pin in one text, at a known line. Knows how a line may look and nothing of YAML around it: whether the outcome is
//! right, the caller finds out by reading it. `None` where a line looks otherwise than expected.

use std::ops::Range;

use crate::sha256::Sha256;

/// Puts `new` in the place of `old`, which stands on the line.
pub(super) fn renew(text: &str, line: usize, old: Sha256, new: Sha256) -> Option<String> {
    let line = span(text, line)?;
    let content = text.get(line.clone())?.to_ascii_lowercase();
    let old = old.to_string();
    let mut found = content.match_indices(&old);
    let (at, _) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let start = line.start + at;
    Some(spliced(text, start..start + old.len(), &new.to_string()))
}

/// Puts the pin behind a `sha256:` that has no value.
pub(super) fn fill(text: &str, line: usize, pin: Sha256) -> Option<String> {
    let line = span(text, line)?;
    let content = text.get(line.clone())?;
    let colon = key_at_start(content, "sha256")?.end;
    let behind = content.get(colon..)?.trim_start();
    let is_comment = behind.starts_with('#') && content.get(colon..)?.starts_with([' ', '\t']);
    if !behind.is_empty() && !is_comment {
        return None;
    }
    let at = line.start + colon;
    Some(spliced(text, at..at, &format!(" \"{pin}\"")))
}

/// Adds a line behind that of `module:`, as a mapping without braces has it.
pub(super) fn add_behind(text: &str, line: usize, pin: Sha256) -> Option<String> {
    let line = span(text, line)?;
    let content = text.get(line.clone())?;
    let indent = " ".repeat(key_at_start(content, "module")?.start);
    let end = line_end(text);
    Some(spliced(
        text,
        line.end..line.end,
        &format!("{end}{indent}sha256: \"{pin}\""),
    ))
}

/// Adds a line before that of `module:`, as a mapping in braces with a key a line has it, JSON too.
pub(super) fn add_before(text: &str, line: usize, pin: Sha256) -> Option<String> {
    let line = span(text, line)?;
    let content = text.get(line.clone())?;
    let indent = content.get(..key_at_start(content, "module")?.start)?;
    let end = line_end(text);
    Some(spliced(
        text,
        line.start..line.start,
        &format!("{indent}\"sha256\": \"{pin}\",{end}"),
    ))
}

/// From where the key stands to behind its colon, when only blanks and the dashes of lists stand before it.
fn key_at_start(content: &str, key: &str) -> Option<Range<usize>> {
    let start = content.find(|c| !matches!(c, ' ' | '\t' | '-'))?;
    let rest = content.get(start..)?;
    let quoted = |quote| rest.strip_prefix(quote)?.strip_prefix(key)?.strip_prefix(quote);
    let behind = rest
        .strip_prefix(key)
        .or_else(|| quoted('"'))
        .or_else(|| quoted('\''))?;
    let behind = behind.trim_start_matches([' ', '\t']).strip_prefix(':')?;
    Some(start..content.len() - behind.len())
}

/// Where line number `line`, counted from 1, stands, without what ends it.
fn span(text: &str, line: usize) -> Option<Range<usize>> {
    let mut start = 0;
    for _ in 1..line {
        start += text.get(start..)?.find('\n')? + 1;
    }
    let rest = text.get(start..)?;
    let content = rest.split('\n').next().unwrap_or_default();
    let content = content.strip_suffix('\r').unwrap_or(content);
    Some(start..start + content.len())
}

/// What ends the lines of this text.
fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn spliced(text: &str, range: Range<usize>, with: &str) -> String {
    let mut spliced = text.to_owned();
    spliced.replace_range(range, with);
    spliced
}

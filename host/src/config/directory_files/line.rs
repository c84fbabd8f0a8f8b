//! A line: a user or a room. Of a wrong one, what is wrong with it, in words that repeat no value.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

/// All keys, with what is to stand behind them.
const KEYS: [(&str, Shape); 4] = [
    ("user_id", Shape::Text),
    ("access_tokens", Shape::List),
    ("room_id", Shape::Text),
    ("members", Shape::List),
];
const FORM: &str = "a line is {\"user_id\": \"@alice:example.org\", \"access_tokens\": [..]} or {\"room_id\": \
                    \"!room:example.org\", \"members\": [..]}";
/// How alike a key has to be to one that there is, to be taken for it; of 1.
const ALIKE: f64 = 0.8;

/// What a line says.
pub(super) enum Entry<'l> {
    User {
        id: Cow<'l, str>,
        tokens: Vec<Text<'l>>,
    },
    Room {
        id: Cow<'l, str>,
        members: Vec<Text<'l>>,
    },
}

/// What is wrong with a line.
pub(super) struct Fault {
    pub(super) key: Option<String>,
    pub(super) message: String,
    /// Counted from 1.
    pub(super) column: Option<usize>,
}

/// Borrowed from the line, unless something in it is escaped.
#[derive(Deserialize)]
pub(super) struct Text<'l>(#[serde(borrow)] pub(super) Cow<'l, str>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    #[serde(borrow)]
    user_id: Option<Text<'l>>,
    #[serde(borrow)]
    access_tokens: Option<Vec<Text<'l>>>,
    #[serde(borrow)]
    room_id: Option<Text<'l>>,
    #[serde(borrow)]
    members: Option<Vec<Text<'l>>>,
}

enum Shape {
    Text,
    List,
}

impl Fault {
    pub(super) fn of(message: impl Into<String>) -> Self {
        Self {
            key: None,
            message: message.into(),
            column: None,
        }
    }

    pub(super) fn at(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::of(message)
        }
    }
}

/// `None` for a line with nothing in it.
pub(super) fn read(line: &[u8]) -> Result<Option<Entry<'_>>, Vec<Fault>> {
    let Ok(text) = std::str::from_utf8(line) else {
        return Err(vec![Fault::of("not UTF-8; save it with that encoding")]);
    };
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    // Or its end would be a second line, with columns of its own.
    let text = text.trim_ascii_end();
    let line: Line<'_> = serde_json::from_str(text).map_err(|_| faults(text))?;
    let fault = match line {
        Line {
            user_id: Some(Text(id)),
            access_tokens,
            room_id: None,
            members: None,
        } => {
            let tokens = access_tokens.unwrap_or_default();
            return Ok(Some(Entry::User { id, tokens }));
        }
        Line {
            user_id: None,
            access_tokens: None,
            room_id: Some(Text(id)),
            members,
        } => {
            let members = members.unwrap_or_default();
            return Ok(Some(Entry::Room { id, members }));
        }
        Line {
            user_id: Some(_),
            room_id: Some(_),
            ..
        } => Fault::of("both a user and a room; give each its own line"),
        Line {
            user_id: Some(_),
            members: Some(_),
            ..
        } => Fault::at(
            "members",
            "a user has none; a room has, in a line with a \"room_id\"",
        ),
        Line { room_id: Some(_), .. } => Fault::at(
            "access_tokens",
            "a room has none; a user has, in a line with a \"user_id\"",
        ),
        Line { .. } => Fault::of(format!("neither a user_id nor a room_id; {FORM}")),
    };
    Err(vec![fault])
}

/// What is wrong with a line that could not be read. `serde_json`'s own words repeat values, which may be secrets.
fn faults(text: &str) -> Vec<Fault> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let message = if error.is_eof() {
                "the line ends within its object; write one object a line"
            } else {
                "not JSON; write one object a line"
            };
            return vec![Fault {
                column: Some(error.column()),
                ..Fault::of(message)
            }];
        }
    };
    let Value::Object(entries) = value else {
        return vec![Fault::of(format!(
            "expected an object, found {}; {FORM}",
            type_of(&value)
        ))];
    };
    let mut faults = Vec::new();
    for (key, value) in &entries {
        match KEYS.iter().find(|(name, _)| name == key) {
            None => faults.push(unknown(key)),
            Some((name, Shape::Text)) => faults.extend(not_text(name, value)),
            Some((name, Shape::List)) => match value {
                Value::Array(items) => {
                    let items = items.iter().enumerate();
                    faults.extend(items.filter_map(|(index, item)| match item {
                        Value::Null => Some(Fault::at(
                            format!("{name}[{index}]"),
                            "expected a string, found null",
                        )),
                        item => not_text(&format!("{name}[{index}]"), item),
                    }));
                }
                Value::Null => {}
                _ => faults.push(Fault::at(
                    *name,
                    format!("expected a list, found {}", type_of(value)),
                )),
            },
        }
    }
    if faults.is_empty() {
        faults.push(Fault::of("the same key stands here twice; remove one of the two"));
    }
    faults
}

/// The key itself is not shown: it may be a token.
fn unknown(key: &str) -> Fault {
    let alike = |name: &&str| strsim::jaro_winkler(name, key) >= ALIKE;
    let names = KEYS.iter().map(|(name, _)| *name);
    match names.into_iter().find(alike) {
        Some(name) => Fault::of(format!("unknown key; did you mean \"{name}\"?")),
        None => Fault::of(format!("unknown key; {FORM}")),
    }
}

fn not_text(key: &str, value: &Value) -> Option<Fault> {
    let advice = match value {
        Value::String(_) | Value::Null => return None,
        Value::Bool(_) | Value::Number(_) => "; put it in quotes",
        Value::Array(_) | Value::Object(_) => "",
    };
    Some(Fault::at(
        key,
        format!("expected a string, found {}{advice}", type_of(value)),
    ))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

//! The name of a crate that is to be made: what Cargo, the compiler and crates.io take without a word.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest name. crates.io takes four more, but then lines of the made crate would be longer than rustfmt wants them.
const MAX_LENGTH: usize = 60;

/// What a `use` of the library could not say, from the [reference]. `Self` is not among them, as capitals are none of a name.
///
/// [reference]: https://doc.rust-lang.org/reference/keywords.html
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

/// Crates of the compiler.
const COMPILERS: [&str; 5] = ["alloc", "core", "proc_macro", "std", "test"];

/// What the made crate depends on, and the server itself.
const OURS: [&str; 4] = ["log", "presence_router", "presence_router_api", "serde"];

/// The name of a crate: words of lower-case letters and digits, with a `-` or `_` between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CrateName(String);

impl CrateName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its library, in code and, behind `lib`, of its file.
    pub(super) fn library(&self) -> String {
        self.0.replace('-', "_")
    }

    /// The name as a type has it: `support-team` is `SupportTeam`.
    pub(super) fn as_type(&self) -> String {
        let capitalized = |word: &str| {
            let mut characters = word.chars();
            let first = characters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(characters).collect::<String>()
        };
        self.0.split(['-', '_']).map(capitalized).collect()
    }
}

/// Why a name is none for a crate.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum InvalidName {
    /// Not of the form.
    #[error(
        "{0}; a name has words of lower-case letters (a-z) and digits, with a single `-` or `_` between them, and begins with a letter"
    )]
    Form(Fault),
    /// Too long: so many characters.
    #[error("it has {0} characters, and may have {MAX_LENGTH}")]
    TooLong(usize),
    /// A keyword of Rust.
    #[error("it is a keyword of Rust, so no code could name the library; add a word, as in `{0}-router`")]
    Keyword(String),
    /// A crate of the compiler.
    #[error("it is a crate of Rust's own; add a word, as in `{0}-router`")]
    Compilers(String),
    /// A crate that every module is built with, or that it is loaded by.
    #[error("it is the name of a crate that the module is built with or loaded by; choose another")]
    Ours,
}

/// What is wrong with the form of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Empty,
    FirstCharacter(char),
    Character(char),
    /// Two in a row.
    Separators,
    /// One at the end.
    LastCharacter(char),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::FirstCharacter(found) => write!(f, "it begins with {found:?}"),
            Self::Character(found) => write!(f, "it has a {found:?}"),
            Self::Separators => f.write_str("it has two separators in a row"),
            Self::LastCharacter(found) => write!(f, "it ends with {found:?}"),
        }
    }
}

impl FromStr for CrateName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        if let Some(fault) = fault(name) {
            return Err(InvalidName::Form(fault));
        }
        if name.len() > MAX_LENGTH {
            return Err(InvalidName::TooLong(name.len()));
        }
        let name = Self(name.to_owned());
        let library = name.library();
        if KEYWORDS.contains(&&*library) {
            return Err(InvalidName::Keyword(library));
        }
        if COMPILERS.contains(&&*library) {
            return Err(InvalidName::Compilers(library));
        }
        if OURS.contains(&&*library) {
            return Err(InvalidName::Ours);
        }
        Ok(name)
    }
}

/// Capitals, and two separators in a row, are no snake case, which the compiler warns of.
fn fault(name: &str) -> Option<Fault> {
    let is_separator = |character: char| matches!(character, '-' | '_');
    let is_allowed = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || is_separator(character)
    };
    let Some(first) = name.chars().next() else {
        return Some(Fault::Empty);
    };
    if let Some(found) = name.chars().find(|character| !is_allowed(*character)) {
        return Some(Fault::Character(found));
    }
    if !first.is_ascii_lowercase() {
        return Some(Fault::FirstCharacter(first));
    }
    if name.split(['-', '_']).rev().skip(1).any(str::is_empty) {
        return Some(Fault::Separators);
    }
    name.chars()
        .last()
        .filter(|last| is_separator(*last))
        .map(Fault::LastCharacter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_words() {
        let cases = [
            ("a", "a", "A"),
            ("support-team", "support_team", "SupportTeam"),
            ("team_2-router", "team_2_router", "Team2Router"),
            ("a-2", "a_2", "A2"),
        ];
        for (text, library, type_name) in cases {
            let name: CrateName = text.parse().expect(text);
            assert_eq!(name.as_str(), text);
            assert_eq!(name.library(), library);
            assert_eq!(name.as_type(), type_name);
        }
        assert!("a".repeat(MAX_LENGTH).parse::<CrateName>().is_ok());
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let cases = [
            ("", "it is empty;"),
            ("Team", "it has a 'T';"),
            ("sup port", "it has a ' ';"),
            ("../team", "it has a '.';"),
            ("tëam", "it has a 'ë';"),
            ("a\u{1b}[2J", r"it has a '\u{1b}';"),
            ("7up", "it begins with '7';"),
            ("-team", "it begins with '-';"),
            ("_", "it begins with '_';"),
            ("a--b", "two separators in a row;"),
            ("a-_", "two separators in a row;"),
            ("team-", "it ends with '-';"),
            ("async", "it is a keyword of Rust"),
            ("gen", "as in `gen-router`"),
            ("test", "it is a crate of Rust's own"),
            ("proc-macro", "it is a crate of Rust's own"),
            ("serde", "that the module is built with or loaded by"),
            (
                "presence-router_api",
                "that the module is built with or loaded by",
            ),
        ];
        for (name, expected) in cases {
            let error = name.parse::<CrateName>().expect_err(name).to_string();
            assert!(error.contains(expected), "{name:?}: {error}");
        }
        assert_eq!("a".repeat(61).parse::<CrateName>(), Err(InvalidName::TooLong(61)));
    }
}

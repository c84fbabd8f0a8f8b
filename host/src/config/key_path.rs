//! The path of a key inside the merged config, and how it is written.
//!
//! A key of letters, digits, `_` and `-` stands as it is; any other key stands in double quotes with
//! JSON's escapes; keys are joined by `.`, and a list's entry is `[N]`, counted from 0:
//! `directory.static.users."@alice:example.org".access_tokens[0]`.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
}

impl KeyPath {
    pub(super) fn root() -> Self {
        Self(Vec::new())
    }

    pub(super) fn key(&self, key: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(Segment::Key(key.to_owned()));
        Self(segments)
    }

    pub(super) fn index(&self, index: usize) -> Self {
        let mut segments = self.0.clone();
        segments.push(Segment::Index(index));
        Self(segments)
    }

    /// This path up to where a key could be an access token that stands in the wrong place, as in
    /// `users: {TOKEN: "@alice:example.org"}` or `access_tokens: {TOKEN}`.
    pub(super) fn without_secrets(&self) -> Self {
        let mut known = 0;
        for (depth, segment) in self.0.iter().enumerate() {
            let public = match (depth, segment) {
                (0, Segment::Key(key)) if key != "directory" => return self.clone(),
                (1, Segment::Key(key)) if key != "static" => return self.clone(),
                (2, Segment::Key(key)) if key != "users" => return self.clone(),
                (3, Segment::Key(key)) => key.starts_with('@'),
                (4, Segment::Key(key)) => key == "access_tokens",
                (0..=2, _) | (_, Segment::Index(_)) => true,
                (_, Segment::Key(_)) => false,
            };
            if !public {
                break;
            }
            known = depth + 1;
        }
        Self(self.0.iter().take(known).cloned().collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    if depth > 0 {
                        f.write_str(".")?;
                    }
                    if is_bare(key) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{}", serde_json::Value::from(key.as_str()))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether `key` is written without quotes.
pub(super) fn is_bare(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_not_plain_words_are_quoted() {
        let path = KeyPath::root()
            .key("a-b")
            .key("@alice:example.org")
            .index(3)
            .key("")
            .key("q\"\n");
        assert_eq!(path.to_string(), r#"a-b."@alice:example.org"[3].""."q\"\n""#);
    }

    #[test]
    fn what_could_be_a_token_is_cut_off() {
        let users = KeyPath::root().key("directory").key("static").key("users");
        let alice = users.key("@alice:example.org");
        assert_eq!(users.key("TOKEN").key("x").without_secrets(), users);
        assert_eq!(alice.key("TOKEN").without_secrets(), alice);
        let tokens = alice.key("access_tokens");
        assert_eq!(tokens.key("TOKEN").without_secrets(), tokens);
        assert_eq!(tokens.index(1).key("TOKEN").without_secrets(), tokens.index(1));
        let rooms = KeyPath::root()
            .key("directory")
            .key("static")
            .key("rooms")
            .key("room");
        assert_eq!(rooms.without_secrets(), rooms);
    }
}

//! The targets file: which server, which users, who is to see whom.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The targets file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Targets {
    /// `http://host:port`.
    pub(crate) base_url: String,
    pub(crate) users: Vec<User>,
}

/// A user of it.
#[expect(clippy::struct_field_names, reason = "the file's name for it, and Matrix's")]
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) user_id: String,
    pub(crate) token: String,
    /// The numbers of the rooms that the user is in: two who share one are to see each other.
    #[serde(default)]
    pub(crate) rooms: Vec<u32>,
    #[serde(default)]
    pub(crate) role: Role,
}

#[derive(Debug, Serialize, Deserialize, Default, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    #[default]
    User,
    /// Is routed everybody's updates by a module, and never writes.
    Observer,
}

impl Targets {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no targets file", path.display()))
    }

    /// Where the presence of a user is set.
    pub(crate) fn status_path(&self, user: usize) -> String {
        let user_id = self.users.get(user).map_or("", |user| &user.user_id);
        format!("/_matrix/client/v3/presence/{}/status", encode_segment(user_id))
    }
}

impl User {
    /// Whether a module sends everything to this user.
    pub(crate) fn is_observer(&self) -> bool {
        self.role == Role::Observer
    }

    /// Whether this user is to be sent what `writer` says.
    pub(crate) fn sees(&self, writer: &User) -> bool {
        self.is_observer() || self.rooms.iter().any(|room| writer.rooms.contains(room))
    }
}

/// A text as one segment of a path, or one value of a query.
pub(crate) fn encode_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
impl User {
    /// One of whom nothing counts but who sees them.
    pub(crate) fn nameless(rooms: &[u32], role: Role) -> Self {
        Self {
            user_id: String::new(),
            token: String::new(),
            rooms: rooms.to_vec(),
            role,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_share_a_room_see_each_other_and_observers_see_everybody() {
        let (alice, bob) = (
            User::nameless(&[1, 2], Role::User),
            User::nameless(&[2], Role::User),
        );
        let (carol, observer) = (
            User::nameless(&[3], Role::User),
            User::nameless(&[], Role::Observer),
        );
        assert!(alice.sees(&bob) && bob.sees(&alice));
        assert!(!carol.sees(&alice));
        assert!(observer.sees(&carol) && !carol.sees(&observer));
    }

    #[test]
    fn a_segment_holds_only_what_needs_no_escape() {
        assert_eq!(encode_segment("@a/ä:x.org?"), "%40a%2F%C3%A4%3Ax.org%3F");
        assert_eq!(encode_segment("aZ09-._~"), "aZ09-._~");
    }

    #[test]
    fn rooms_and_role_may_be_left_out() {
        let text = r#"{"base_url":"http://x:1","layout":"?","users":[{"user_id":"@a:x","token":"t"}]}"#;
        let targets: Targets = serde_json::from_str(text).expect("valid");
        assert_eq!(targets.users[0].role, Role::User);
        assert_eq!(
            targets.status_path(0),
            "/_matrix/client/v3/presence/%40a%3Ax/status"
        );
    }
}

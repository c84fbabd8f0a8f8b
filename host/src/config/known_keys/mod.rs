//! Every key that a config may hold, and where; and what to tell someone who wrote another.
//!
//! Owns all that is said of a key: its type, its default, an example, its description. `docs/config.md` is
//! made from it.

mod directory;
mod federation;
mod key;
mod listeners;
mod presence;
mod top;

pub(super) use crate::config::known_keys::directory::{DIRECTORY, STATIC, STATIC_USER};
pub(super) use crate::config::known_keys::federation::OLD_SIGNING_KEY;
pub(super) use crate::config::known_keys::key::Key;
#[cfg(test)]
pub(super) use crate::config::known_keys::key::{Default, Type};
pub(super) use crate::config::known_keys::listeners::{LISTENER, RESOURCE};
pub(super) use crate::config::known_keys::presence::{AUTOMATIC_ROLLBACK, CRASH_BUDGET, MODULE, PRESENCE};
pub(super) use crate::config::known_keys::top::{
    DATABASE, DATABASE_ARGS, LOG, RATE_LIMIT, RC_PRESENCE, ROOT,
};

/// A mapping with a fixed set of keys.
pub(super) struct Keys {
    /// How the reference calls it.
    pub(super) title: &'static str,
    /// How to say where these keys belong.
    belong: &'static str,
    /// Configs in which these keys stand in the place of `KEYS`.
    pub(super) within: &'static [&'static str],
    /// What the reference says above the table; Markdown, may be empty.
    pub(super) about: &'static str,
    pub(super) entries: &'static [Key],
}

/// All of them, in the order of the reference.
pub(super) const ALL: [&Keys; 16] = [
    &ROOT,
    &LISTENER,
    &RESOURCE,
    &PRESENCE,
    &MODULE,
    &CRASH_BUDGET,
    &AUTOMATIC_ROLLBACK,
    &RC_PRESENCE,
    &RATE_LIMIT,
    &DATABASE,
    &DATABASE_ARGS,
    &OLD_SIGNING_KEY,
    &DIRECTORY,
    &STATIC,
    &STATIC_USER,
    &LOG,
];

impl Keys {
    pub(super) fn contains(&self, key: &str) -> bool {
        self.names().any(|name| name == key)
    }

    /// What to do about `key`, which is none of these.
    pub(super) fn advice(&self, key: &str) -> String {
        if let Some(near) = nearest(key, self.names()) {
            return format!("did you mean \"{near}\"?");
        }
        if let Some(home) = ALL.iter().find(|keys| keys.contains(key)) {
            return format!("it belongs {}", home.belong);
        }
        for home in ALL {
            if let Some(near) = nearest(key, home.names()) {
                return format!("did you mean \"{near}\", which belongs {}?", home.belong);
            }
        }
        format!("known here: {}", self.names().collect::<Vec<_>>().join(", "))
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|key| key.name)
    }
}

/// The one of `words` that is a slip of the pen away from `word`.
pub(super) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_lowercase().replace(['-', ' '], "_");
    words
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).clamp(1, 4))
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        assert_eq!(nearest("presnce", ROOT.names()), Some("presence"));
        assert_eq!(nearest("Idle-Timeout", PRESENCE.names()), Some("idle_timeout"));
        assert_eq!(nearest("sever_name", ROOT.names()), Some("server_name"));
        assert_eq!(nearest("media_store_path", ROOT.names()), None);
        assert_eq!(nearest("", ROOT.names()), None);
    }
}

//! Every key that a config may hold, and where; and what to tell someone who wrote another.

/// A mapping with a fixed set of keys.
pub(super) struct Keys {
    /// How to say where these keys belong.
    belong: &'static str,
    names: &'static [&'static str],
}

pub(super) const ROOT: Keys = Keys {
    belong: "at the top level",
    names: &[
        "server_name",
        "listeners",
        "presence",
        "module_path",
        "directory",
        "log",
    ],
};
pub(super) const LISTENER: Keys = Keys {
    belong: "in an entry of \"listeners\"",
    names: &[
        "port",
        "bind_addresses",
        "bind_address",
        "path",
        "mode",
        "resources",
    ],
};
pub(super) const RESOURCE: Keys = Keys {
    belong: "in an entry of a listener's \"resources\"",
    names: &["names"],
};
pub(super) const PRESENCE: Keys = Keys {
    belong: "under \"presence\"",
    names: &[
        "enabled",
        "last_active_granularity",
        "idle_timeout",
        "sync_online_timeout",
        "max_status_msg_bytes",
        "presence_router",
    ],
};
pub(super) const MODULE: Keys = Keys {
    belong: "under \"presence.presence_router\"",
    names: &[
        "module",
        "config",
        "sha256",
        "call_timeout",
        "allow_insecure_permissions",
    ],
};
pub(super) const DIRECTORY: Keys = Keys {
    belong: "under \"directory\"",
    names: &["static"],
};
pub(super) const STATIC: Keys = Keys {
    belong: "under \"directory.static\"",
    names: &["users", "rooms"],
};
pub(super) const STATIC_USER: Keys = Keys {
    belong: "under a user of \"directory.static.users\"",
    names: &["access_tokens"],
};
pub(super) const LOG: Keys = Keys {
    belong: "under \"log\"",
    names: &["level", "format"],
};

const ALL: [&Keys; 9] = [
    &ROOT,
    &LISTENER,
    &RESOURCE,
    &PRESENCE,
    &MODULE,
    &DIRECTORY,
    &STATIC,
    &STATIC_USER,
    &LOG,
];

impl Keys {
    pub(super) fn contains(&self, key: &str) -> bool {
        self.names.contains(&key)
    }

    /// What to do about `key`, which is none of these.
    pub(super) fn advice(&self, key: &str) -> String {
        if let Some(home) = ALL.iter().find(|keys| keys.contains(key)) {
            return format!("it belongs {}", home.belong);
        }
        if let Some(near) = nearest(key, self.names) {
            return format!("did you mean \"{near}\"?");
        }
        for home in ALL {
            if let Some(near) = nearest(key, home.names) {
                return format!("did you mean \"{near}\", which belongs {}?", home.belong);
            }
        }
        format!("known here: {}", self.names.join(", "))
    }
}

/// The one of `words` that is a slip of the pen away from `word`.
pub(super) fn nearest<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    let word = word.to_lowercase().replace(['-', ' '], "_");
    words
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), *known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).clamp(1, 4))
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        assert_eq!(nearest("presnce", ROOT.names), Some("presence"));
        assert_eq!(nearest("Idle-Timeout", PRESENCE.names), Some("idle_timeout"));
        assert_eq!(nearest("sever_name", ROOT.names), Some("server_name"));
        assert_eq!(nearest("database", ROOT.names), None);
        assert_eq!(nearest("", ROOT.names), None);
    }
}

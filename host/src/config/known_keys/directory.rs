//! The keys of `directory`.

use crate::config::known_keys::Keys;
use crate::config::known_keys::key::{Key, Type};

pub(in crate::config) const DIRECTORY: Keys = Keys {
    title: "`directory`",
    belong: "under \"directory\"",
    within: &["directory: {KEYS}"],
    about: "The users and rooms. They stand in the config, in files of their own, or in both; each user and each room in one \
            place. What `files` name is read anew on SIGHUP, and checked by `check`. A line of such a file is one JSON object: \
            `{\"user_id\": \"@alice:example.org\", \"access_tokens\": [\"a-long-random-text\"]}` for a local user, or \
            `{\"room_id\": \"!lobby:example.org\", \"members\": [\"@alice:example.org\"]}` for a room. The tokens are secrets: let \
            only the server's user read the files.",
    entries: &[
        Key::new(
            "static",
            Type::Mapping("[below](#directorystatic)"),
            "{rooms: {\"!lobby:example.org\": [\"@alice:example.org\"]}}",
            "users and rooms that stand here",
        )
        .default("{}"),
        Key::new(
            "files",
            Type::List("paths"),
            "[users.jsonl, rooms.jsonl]",
            "users and rooms that stand in files of JSON lines: for as many as there are, up to millions",
        )
        .default("[]"),
    ],
};

pub(in crate::config) const STATIC: Keys = Keys {
    title: "`directory.static`",
    belong: "under \"directory.static\"",
    within: &["directory: {static: {KEYS}}"],
    about: "",
    entries: &[
        Key::new(
            "users",
            Type::Mapping(
                "user ids of this server, each with a mapping, [below](#a-user-of-directorystaticusers)",
            ),
            "{\"@alice:example.org\": {access_tokens: [a-long-random-text]}}",
            "the local users",
        )
        .default("{}"),
        Key::new(
            "rooms",
            Type::Mapping("room ids, each with a list of members"),
            "{\"!lobby:example.org\": [\"@alice:example.org\", \"@bob:example.org\"]}",
            "who is in which room; members may be users of other servers",
        )
        .default("{}"),
    ],
};

pub(in crate::config) const STATIC_USER: Keys = Keys {
    title: "A user of `directory.static.users`",
    belong: "under a user of \"directory.static.users\"",
    within: &["directory: {static: {users: {\"@alice:example.org\": {KEYS}}}}"],
    about: "The tokens are secrets: let only the server's user read the file. No error and no log shows one.",
    entries: &[Key::new(
        "access_tokens",
        Type::List("strings"),
        "[a-long-random-text, another-one]",
        "what the user's devices authenticate with; each token belongs to one user and is a device of its own. The \
         first is called `STATIC1`, the second `STATIC2`",
    )
    .default("[]")],
};

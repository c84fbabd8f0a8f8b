//! The keys of the top level, and those of its smaller sections.

use crate::config::known_keys::Keys;
use crate::config::known_keys::key::{Key, Type};

pub(in crate::config) const ROOT: Keys = Keys {
    title: "Top level",
    belong: "at the top level",
    within: &["KEYS"],
    about: "",
    entries: &[
        Key::new(
            "server_name",
            Type::Text,
            "example.org",
            "the name behind the `:` of the local users' ids: a DNS name or an IP address, with a port if need be",
        ),
        Key::new(
            "listeners",
            Type::List("mappings, [below](#an-entry-of-listeners)"),
            "[{port: 8008, resources: [{names: [client]}]}]",
            "where requests are taken. There is no TLS: put a reverse proxy in front",
        )
        .default("[{port: 8008, bind_addresses: [127.0.0.1], resources: [{names: [client, health]}]}]"),
        Key::new(
            "presence",
            Type::Mapping("[below](#presence)"),
            "{idle_timeout: 10m}",
            "timeouts, limits, and the first module",
        )
        .default("{}"),
        Key::new(
            "module_path",
            Type::List("paths"),
            "[/usr/lib/presence-router, ../modules]",
            "the directories in which a module given by its name is searched, in this order",
        )
        .default("[]"),
        Key::new(
            "directory",
            Type::Mapping("[below](#directory)"),
            "{static: {users: {\"@alice:example.org\": {access_tokens: [a-long-random-text]}}}}",
            "the users and rooms",
        )
        .default("{}"),
        Key::new(
            "log",
            Type::Mapping("[below](#log)"),
            "{level: warn}",
            "what is logged, and how. Logs go to stderr",
        )
        .default("{}"),
    ],
};

pub(in crate::config) const LOG: Keys = Keys {
    title: "`log`",
    belong: "under \"log\"",
    within: &["log: {KEYS}"],
    about: "Logs go to stderr.",
    entries: &[
        Key::new(
            "level",
            Type::Text,
            "\"info,module=debug\"",
            "`error`, `warn`, `info`, `debug`, `trace` or `off`; or directives of tracing's `EnvFilter`. What modules \
             log has the target `module`",
        )
        .default("info"),
        Key::new(
            "format",
            Type::Text,
            "json",
            "`text`, or `json`: an object a line, with `timestamp`, `level`, `target`, `message` and the event's own \
             fields",
        )
        .default("text"),
    ],
};

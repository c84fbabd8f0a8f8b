//! The keys of `presence`, and those of a module.

use crate::config::known_keys::Keys;
use crate::config::known_keys::key::{Key, Type};

pub(in crate::config) const PRESENCE: Keys = Keys {
    title: "`presence`",
    belong: "under \"presence\"",
    within: &["presence: {KEYS}"],
    about: "",
    entries: &[
        Key::new(
            "enabled",
            Type::Words("true, false or untracked"),
            "untracked",
            "`true`; `false`: everybody is offline, and nothing is taken or told; `untracked`: nothing is taken from \
             users, but states that a module sets are told",
        )
        .default("true"),
        Key::new(
            "last_active_granularity",
            Type::Duration,
            "2m",
            "how long after their last action a user counts as currently active",
        )
        .default("1m"),
        Key::new(
            "idle_timeout",
            Type::Duration,
            "10m",
            "an online device that did nothing for longer is unavailable",
        )
        .default("5m"),
        Key::new(
            "sync_online_timeout",
            Type::Duration,
            "1m",
            "a device that neither synced nor did anything for longer is offline",
        )
        .default("30s"),
        Key::new(
            "max_status_msg_bytes",
            Type::Integer {
                unit: "bytes",
                least: 0,
                most: 4_294_967_295,
            },
            "512",
            "the longest status message that is taken. A longer one is refused with 413",
        )
        .default("2048"),
        Key::new(
            "include_offline_users_on_sync",
            Type::Boolean,
            "true",
            "a first `/sync` tells of offline users too. Later ones tell whoever goes offline, whatever is said here",
        )
        .default("false"),
        Key::new(
            "presence_router",
            Type::Mapping("[below](#a-module)"),
            "{module: broadcast}",
            "the first module. Without any, presence goes to people who share a room, and no further",
        )
        .or("none"),
    ],
};

pub(in crate::config) const MODULE: Keys = Keys {
    title: "A module",
    belong: "under \"presence.presence_router\" or in an entry of \"modules\"",
    within: &["presence: {presence_router: {KEYS}}", "modules: [{KEYS}]"],
    about: "",
    entries: &[
        Key::new(
            "module",
            Type::Text,
            "./libbroadcast.so",
            "a path, when it holds a `/`. Otherwise a name: `broadcast` is `libbroadcast.so` or `broadcast.so` in a \
             directory of `module_path`. `library.router` picks one of a library's routers",
        ),
        Key::new(
            "name",
            Type::Text,
            "for-the-team",
            "what this instance is called in logs, metrics and storage: 1 to 64 letters, digits, `_`, `.` and `-`. No two \
             modules have the same: with the same library twice, name one",
        )
        .or("`module` without directory, `lib` and `.so`: `./libbroadcast.so` is `broadcast`"),
        Key::new(
            "config",
            Type::Mapping("as the module has it"),
            "{always_send_to_users: [\"@presence_gobbler:example.org\"]}",
            "handed to the module as it is. The module checks it; its own documentation has the keys",
        )
        .default("{}"),
        Key::new(
            "sha256",
            Type::Text,
            "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
            "64 hexadecimal digits, in quotes: the library is refused unless its hash is this one. \
             `presence-router modules lock` writes it here, `sha256sum FILE` prints it",
        )
        .or("any"),
        Key::new(
            "call_timeout",
            Type::Duration,
            "500ms",
            "how long a call into the module may take before it counts as failed, from when the module begins with it; \
             above 0",
        )
        .default("1s"),
        Key::new(
            "crash_budget",
            Type::Mapping("[below](#crash_budget)"),
            "{crashes: 5, within: 10m}",
            "when it has crashed so often, the module is switched off until an operator acts; see \
             [loader.md](loader.md#a-module-that-is-off)",
        )
        .default("{crashes: 20, within: 1h}"),
        Key::new(
            "automatic_rollback",
            Type::Mapping("[below](#automatic_rollback)"),
            "{error_rate: 0.1, within: 15m}",
            "when so many calls of a new generation fail, the one before takes over again",
        )
        .default("{error_rate: 0.5, within: 5m}"),
        Key::new(
            "allow_insecure_permissions",
            Type::Boolean,
            "true",
            "take the library although others than its owner could have written it; see \
             [loader.md](loader.md#permissions)",
        )
        .default("false"),
        Key::new(
            "allow_unsigned",
            Type::Boolean,
            "true",
            "take the library although no key of `trusted_keys` has signed it",
        )
        .default("false"),
    ],
};

pub(in crate::config) const CRASH_BUDGET: Keys = Keys {
    title: "`crash_budget`",
    belong: "under \"crash_budget\" of a module",
    within: &[
        "presence: {presence_router: {module: m, crash_budget: {KEYS}}}",
        "modules: [{module: m, crash_budget: {KEYS}}]",
    ],
    about: "A call that panics is a crash, and so is one that overruns `call_timeout`; calls that overrun together are one.",
    entries: &[
        Key::new(
            "crashes",
            Type::Integer {
                unit: "crashes",
                least: 0,
                most: 10_000,
            },
            "5",
            "with so many, the module is switched off; `0`: never",
        )
        .default("20"),
        Key::new(
            "within",
            Type::Duration,
            "10m",
            "crashes that are older do not count; above 0",
        )
        .default("1h"),
    ],
};

pub(in crate::config) const AUTOMATIC_ROLLBACK: Keys = Keys {
    title: "`automatic_rollback`",
    belong: "under \"automatic_rollback\" of a module",
    within: &[
        "presence: {presence_router: {module: m, automatic_rollback: {KEYS}}}",
        "modules: [{module: m, automatic_rollback: {KEYS}}]",
    ],
    about: "Calls that end with an error, with a panic, with a wrong answer or not in time have failed.",
    entries: &[
        Key::new(
            "error_rate",
            Type::Share,
            "0.1",
            "the share of the calls that failed, beyond which the generation before takes over again",
        )
        .default("0.5"),
        Key::new(
            "within",
            Type::Duration,
            "15m",
            "how long a new generation is watched; `0`: not at all, so that none is taken back by itself",
        )
        .default("5m"),
    ],
};

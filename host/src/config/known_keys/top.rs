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
            "admin_socket",
            Type::Path,
            "/run/presence-router/admin.sock",
            "the Unix socket on which `presence-router modules` and `presence-router explain` reach the running server \
             ([operators.md](operators.md#looking-at-and-changing-a-running-server)). Only the server's own user and root \
             may use it",
        )
        .or("none, and these commands do not work"),
        Key::new(
            "presence",
            Type::Mapping("[below](#presence)"),
            "{idle_timeout: 10m}",
            "timeouts, limits, and the first module",
        )
        .default("{}"),
        Key::new(
            "exclude_rooms_from_presence",
            Type::List("room ids"),
            "[\"!everybody:example.org\"]",
            "rooms that do not count as shared: whose members hear nothing of each other because of them. For rooms \
             with very many members",
        )
        .default("[]"),
        Key::new(
            "rc_presence",
            Type::Mapping("[below](#rc_presence)"),
            "{per_user: {per_second: 0.1, burst_count: 5}}",
            "how often presence may be set",
        )
        .or("no limit"),
        Key::new(
            "database",
            Type::Mapping("[below](#database)"),
            "{args: {database: \":memory:\"}}",
            "where that is kept which outlives a restart",
        )
        .default("{}"),
        Key::new(
            "signing_key_path",
            Type::Path,
            "example.org.signing.key",
            "the file with the keys that requests to other servers are signed by, as Synapse writes it: \
             `ed25519 a_ABCD BASE64` a line. The first signs, all are published. `presence-router generate-keys` makes one",
        )
        .or("none: no federation"),
        Key::new(
            "old_signing_keys",
            Type::Mapping("ids of keys, as `ed25519:a_ABCD`, to [mappings](#an-entry-of-old_signing_keys)"),
            "{\"ed25519:a_old\": {key: XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI, expired_ts: 1700000000000}}",
            "keys that were used before, published so that others can still check what they have signed",
        )
        .default("{}"),
        Key::new(
            "key_refresh_interval",
            Type::Duration,
            "12h",
            "for how long other servers may keep our keys before they ask again",
        )
        .default("1d"),
        Key::new(
            "federation_domain_whitelist",
            Type::List("server names"),
            "[friends.example.org]",
            "the only servers that are spoken to. An empty list: none",
        )
        .or("all"),
        Key::new(
            "federation_custom_ca_list",
            Type::List("paths"),
            "[our-ca.pem]",
            "PEM files with the authorities by which other servers are believed, in place of Mozilla's",
        )
        .or("Mozilla's authorities"),
        Key::new(
            "ip_range_blacklist",
            Type::List("address ranges"),
            "[\"10.0.0.0/8\", \"fc00::/7\"]",
            "addresses that this server does not call when a module asks for it, or when another server's name leads \
             there. An entry is a range such as `10.0.0.0/8`, or an address. `0.0.0.0` and `::` always belong to it",
        )
        .default(
            "[\"127.0.0.0/8\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", \"100.64.0.0/10\", \
             \"192.0.0.0/24\", \"169.254.0.0/16\", \"192.88.99.0/24\", \"198.18.0.0/15\", \"192.0.2.0/24\", \
             \"198.51.100.0/24\", \"203.0.113.0/24\", \"224.0.0.0/4\", \"::1/128\", \"fe80::/10\", \"fc00::/7\", \
             \"2001:db8::/32\", \"ff00::/8\", \"fec0::/10\"]",
        ),
        Key::new(
            "ip_range_whitelist",
            Type::List("address ranges"),
            "[192.168.1.1]",
            "exceptions from `ip_range_blacklist`",
        )
        .default("[]"),
        Key::new(
            "modules",
            Type::List("mappings, [below](#a-module)"),
            "[{module: broadcast}]",
            "more modules. They route in this order, behind that of `presence.presence_router`; whoever one of them names \
             is told",
        )
        .default("[]"),
        Key::new(
            "module_path",
            Type::List("paths"),
            "[/usr/lib/presence-router, ../modules]",
            "the directories in which a module given by its name is searched, in this order",
        )
        .default("[]"),
        Key::new(
            "trusted_keys",
            Type::List("public keys of minisign, or paths of `.pub` files"),
            "[RWSHAen/D26lij19x+LtzefmonfdX1WuAcvhwrGBlSxC3b6y1BW6XkfJ]",
            "whose signature every module must have, in a file beside it with `.minisig` behind the name; see \
             [operators.md](operators.md#signing). Whoever can write the `.pub` file decides what is loaded, as who can \
             write the config",
        )
        .or("none: modules need no signature"),
        Key::new(
            "directory",
            Type::Mapping("[below](#directory)"),
            "{static: {users: {\"@alice:example.org\": {access_tokens: [a-long-random-text]}}}}",
            "the users and rooms",
        )
        .default("{}"),
        Key::new(
            "worker_threads",
            Type::Integer {
                unit: "",
                least: 1,
                most: 1024,
            },
            "4",
            "how many threads serve requests. One does the most for a second of CPU, as threads that share work wake each \
             other for it; more are for a server that keeps a core busy \
             ([performance.md](performance.md#threads)). Modules and the database have threads of their own",
        )
        .default("1"),
        Key::new(
            "log",
            Type::Mapping("[below](#log)"),
            "{level: warn}",
            "what is logged, and how. Logs go to stderr",
        )
        .default("{}"),
    ],
};

pub(in crate::config) const RC_PRESENCE: Keys = Keys {
    title: "`rc_presence`",
    belong: "under \"rc_presence\"",
    within: &["rc_presence: {KEYS}"],
    about: "How often presence may be set, by `PUT /presence` and by `/sync`. Whoever sets it more often gets 429 \
            with `retry_after_ms`. Synapse limits to 0.1 a second and 1 at once when the key is left out; here nothing \
            is limited then, as a change of presence costs this server little.",
    entries: &[Key::new(
        "per_user",
        Type::Mapping("[below](#rc_presenceper_user)"),
        "{per_second: 0.1, burst_count: 5}",
        "the limit of each user",
    )
    .or("no limit")],
};

pub(in crate::config) const RATE_LIMIT: Keys = Keys {
    title: "`rc_presence.per_user`",
    belong: "under \"rc_presence.per_user\"",
    within: &["rc_presence: {per_user: {KEYS}}"],
    about: "",
    entries: &[
        Key::new(
            "per_second",
            Type::Number {
                unit: "requests a second",
            },
            "0.1",
            "how many may come in the long run",
        ),
        Key::new(
            "burst_count",
            Type::Integer {
                unit: "requests",
                least: 1,
                most: 4_294_967_295,
            },
            "5",
            "how many may come at once",
        ),
    ],
};

pub(in crate::config) const DATABASE: Keys = Keys {
    title: "`database`",
    belong: "under \"database\"",
    within: &["database: {KEYS}"],
    about: "",
    entries: &[
        Key::new("name", Type::Text, "sqlite3", "`sqlite3`: there is no other").default("sqlite3"),
        Key::new(
            "args",
            Type::Mapping("[below](#databaseargs)"),
            "{database: /var/lib/presence-router/presence.db}",
            "what the database is opened with",
        )
        .default("{}"),
    ],
};

pub(in crate::config) const DATABASE_ARGS: Keys = Keys {
    title: "`database.args`",
    belong: "under \"database.args\"",
    within: &["database: {args: {KEYS}}"],
    about: "",
    entries: &[Key::new(
        "database",
        Type::Path,
        "/var/lib/presence-router/presence.db",
        "the file, which is made when it is not there; or `:memory:`, in quotes, to forget all when the server stops",
    )
    .or("`presence.db` beside the first config file")],
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

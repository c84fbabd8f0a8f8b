//! The keys of a listener.

use crate::config::known_keys::Keys;
use crate::config::known_keys::key::{Key, Type};

pub(in crate::config) const LISTENER: Keys = Keys {
    title: "An entry of `listeners`",
    belong: "in an entry of \"listeners\"",
    within: &["listeners: [{KEYS}]"],
    about: "Either `port` or `path` is required.",
    entries: &[
        Key::new(
            "port",
            Type::Integer {
                unit: "",
                least: 0,
                most: 65535,
            },
            "8009",
            "a TCP port. With 0 the system chooses one; `run` prints which",
        )
        .or("none"),
        Key::new(
            "bind_addresses",
            Type::List("IP addresses"),
            "[\"::\", \"0.0.0.0\"]",
            "where the port is open; the example is for all addresses",
        )
        .default("[127.0.0.1]")
        .only_with("port"),
        Key::new("bind_address", Type::Text, "\"::1\"", "one more address")
            .or("none")
            .only_with("port"),
        Key::new(
            "path",
            Type::Path,
            "presence-router.sock",
            "a Unix socket instead of a port; at most 107 bytes with its directory",
        )
        .or("none"),
        Key::new(
            "mode",
            Type::Text,
            "\"660\"",
            "the socket's permissions: octal digits, in quotes",
        )
        .default("\"666\"")
        .only_with("path"),
        Key::new(
            "type",
            Type::Text,
            "metrics",
            "`http`; or `metrics` for a listener whose only resource is `metrics`",
        )
        .default("http"),
        Key::new(
            "resources",
            Type::List("mappings, [below](#an-entry-of-a-listeners-resources)"),
            "[{names: [health]}]",
            "what is answered here",
        )
        .default("[{names: [client, health]}]"),
    ],
};

pub(in crate::config) const RESOURCE: Keys = Keys {
    title: "An entry of a listener's `resources`",
    belong: "in an entry of a listener's \"resources\"",
    within: &["listeners: [{port: 8008, resources: [{KEYS}]}]"],
    about: "The names of all entries are united.",
    entries: &[Key::new(
        "names",
        Type::List("words"),
        "[client]",
        "`client`: what Matrix clients ask for. `federation`: what other homeservers send and ask for. `health`: `/health`, for load balancers and supervisors. \
         `metrics`: what Prometheus reads, for whoever can reach the listener: bind it to the loopback",
    )],
};

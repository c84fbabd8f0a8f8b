//! Tests of `listeners`.

use insta::{assert_debug_snapshot, assert_snapshot};

use crate::config::checks;

fn check(listeners: &str) -> String {
    checks::check(&format!("server_name: a\nlisteners:\n{listeners}"))
}

#[test]
fn tcp_and_unix_listeners_are_read() {
    let config = checks::config(
        "server_name: a\nlisteners:\n\
         - {port: 0, bind_addresses: ['::1', '127.0.0.1'], bind_address: '::1', resources: [{names: [health]}]}\n\
         - {path: run/p.sock, mode: '0660', resources: [{names: [client]}, {names: [client, health]}]}\n\
         - {path: /run/p.sock}\n",
    );
    assert_debug_snapshot!(config.listeners, @r#"
    [
        Listener {
            bind: Tcp {
                addresses: [
                    ::1,
                    127.0.0.1,
                ],
                port: 0,
            },
            resources: {
                Health,
            },
        },
        Listener {
            bind: Unix {
                path: "conf/run/p.sock",
                mode: 432,
            },
            resources: {
                Client,
                Health,
            },
        },
        Listener {
            bind: Unix {
                path: "/run/p.sock",
                mode: 438,
            },
            resources: {
                Client,
                Health,
            },
        },
    ]
    "#);
}

#[test]
fn every_key_of_a_listener_is_checked() {
    assert_snapshot!(check("- port: 70000\n- port: -1\n- port: '8008'\n- port: 80.5\n- path: 5"), @"
    listeners[0].port: 70000 is out of range; write an integer from 0 to 65535 (homeserver.yaml:3)
    listeners[1].port: -1 is out of range; write an integer from 0 to 65535 (homeserver.yaml:4)
    listeners[2].port: expected an integer, found a string (homeserver.yaml:5)
    listeners[3].port: expected an integer, found a number with a fraction (homeserver.yaml:6)
    listeners[4].path: expected a string, found an integer; put it in quotes (homeserver.yaml:7)
    ");
    assert_snapshot!(check("- resources: []\n- {port: 1, path: x}\n- 8008\n-"), @r#"
    listeners[0]: neither "port" nor "path"; give one of them (homeserver.yaml:3)
    listeners[1]: both "port" and "path"; make it two listeners (homeserver.yaml:4)
    listeners[2]: expected a mapping, found an integer (homeserver.yaml:5)
    listeners[3]: expected a mapping, found nothing (null) (homeserver.yaml:6)
    "#);
    assert_snapshot!(
        check("- {port: 1, bind_addresses: [localhost, '0.0.0.0:80']}\n- {port: 2, bind_addresses: []}\n- {port: 3, bind_addresses: '::1'}"),
        @r#"
    listeners[0].bind_addresses[0]: "localhost" is not an IP address; write one such as "127.0.0.1" or "::1", without a port (homeserver.yaml:3)
    listeners[0].bind_addresses[1]: "0.0.0.0:80" is not an IP address; write one such as "127.0.0.1" or "::1", without a port (homeserver.yaml:3)
    listeners[1].bind_addresses: empty; leave the key out for 127.0.0.1, or write ["0.0.0.0", "::"] for all (homeserver.yaml:4)
    listeners[2].bind_addresses: expected a list, found a string (homeserver.yaml:5)
    "#
    );
    assert_snapshot!(
        check("- {port: 1, resources: [{names: [clinet, federations, 5]}, {}, {names: client}, client, {name: [client]}]}"),
        @r#"
    listeners[0].resources[0].names[0]: "clinet" is not a resource; known are client, federation, health, metrics (homeserver.yaml:3)
    listeners[0].resources[0].names[1]: "federations" is not a resource; known are client, federation, health, metrics (homeserver.yaml:3)
    listeners[0].resources[0].names[2]: expected a string, found an integer; put it in quotes (homeserver.yaml:3)
    listeners[0].resources[1]: has no "names"; add a list of them (known are client, federation, health, metrics) (homeserver.yaml:3)
    listeners[0].resources[2].names: expected a list, found a string (homeserver.yaml:3)
    listeners[0].resources[3]: expected a mapping, found a string (homeserver.yaml:3)
    listeners[0].resources[4].name: unknown key "name"; did you mean "names"? (homeserver.yaml:3)
    listeners[0].resources[4]: has no "names"; add a list of them (known are client, federation, health, metrics) (homeserver.yaml:3)
    "#
    );
    assert_snapshot!(check("- {port: 1, mode: '660'}\n- {path: x, bind_address: '::1'}"), @r#"
    listeners[0].mode: only for a Unix socket; remove it, or give "path" instead of "port" (homeserver.yaml:3)
    listeners[1].bind_address: not for a Unix socket; remove it, or give "port" instead of "path" (homeserver.yaml:4)
    "#);
    assert_snapshot!(check("- {path: a, mode: 660}\n- {path: b, mode: '888'}\n- {path: c, mode: '1777'}\n- {path: d, mode: '+7'}"), @r#"
    listeners[0].mode: expected a string, found an integer; put it in quotes (homeserver.yaml:3)
    listeners[1].mode: "888" is not a file mode; write octal digits such as "660" (homeserver.yaml:4)
    listeners[2].mode: "1777" is not a file mode; write octal digits such as "660" (homeserver.yaml:5)
    listeners[3].mode: "+7" is not a file mode; write octal digits such as "660" (homeserver.yaml:6)
    "#);
    assert_snapshot!(check("- {path: ''}"), @"listeners[0].path: expected a path, found an empty string (homeserver.yaml:3)");
    assert_snapshot!(check(&format!("- {{path: /{}}}", "x".repeat(107))), @"listeners[0].path: 108 bytes long with its directory; the path of a Unix socket may have 107 (homeserver.yaml:3)");
    assert_snapshot!(check("- {port: 1, tls: false}"), @r#"listeners[0].tls: unknown key "tls"; known here: port, bind_addresses, bind_address, path, mode, type, resources (homeserver.yaml:3)"#);
    assert_snapshot!(checks::check("server_name: a\nlisteners: []"), @"listeners: empty; give at least one listener, or leave the key out for 127.0.0.1:8008 (homeserver.yaml:2)");
    assert_snapshot!(checks::check("server_name: a\nlisteners: {port: 8008}"), @"listeners: expected a list, found a mapping (homeserver.yaml:2)");
}

#[test]
fn two_listeners_cannot_share_a_place() {
    assert_snapshot!(
        check("- {port: 0}\n- {port: 0}\n- {port: 1}\n- {port: 1, bind_addresses: ['::1', '127.0.0.1']}\n- {path: x}\n- {path: x}"),
        @"
    listeners[3]: listens where listeners[2] does; change or remove one (homeserver.yaml:6)
    listeners[5]: listens where listeners[4] does; change or remove one (homeserver.yaml:8)
    "
    );
}

#[test]
fn metrics_are_a_resource_and_a_type() {
    let resources = |entry: &str| {
        let config = checks::config(&format!("server_name: a\nlisteners: [{{port: 9000, {entry}}}]"));
        let names: Vec<_> = config.listeners[0]
            .resources
            .iter()
            .map(ToString::to_string)
            .collect();
        names.join(", ")
    };
    assert_eq!(resources("resources: [{names: [metrics]}]"), "metrics");
    assert_eq!(
        resources("resources: [{names: [metrics, client]}]"),
        "client, metrics"
    );
    assert_eq!(resources("type: metrics"), "metrics");
    assert_eq!(
        resources("type: metrics, resources: [{names: [metrics]}]"),
        "metrics"
    );
    assert_eq!(resources("type: http"), "client, health");
    assert_eq!(resources("type: http, resources: [{names: [health]}]"), "health");
    assert_snapshot!(check("- {port: 1, type: manhole}"), @r#"listeners[0].type: "manhole" is not known; write http or metrics (homeserver.yaml:3)"#);
    assert_snapshot!(check("- {port: 1, type: metrics, resources: [{names: [metrics, client]}]}"), @r#"listeners[0].resources: more than metrics, beside "type: metrics"; remove the type, or the other resources (homeserver.yaml:3)"#);
}

//! `listeners`: where requests are taken, and which.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::Serialize;

use crate::config::known_keys;
use crate::config::reader::{Field, Reader, Section};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEFAULT_MODE: u32 = 0o666;
/// Linux: `sun_path` has 108 bytes, the last one a NUL.
const MAX_SOCKET_PATH_BYTES: usize = 107;
const RESOURCES: &str = "known are client, health";

/// One entry of `listeners`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `port` and `bind_addresses`, or `path` and `mode`.
    pub bind: Bind,
    /// `resources`: what is answered here, all `names` united. Default: `client` and `health`.
    pub resources: BTreeSet<Resource>,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// TCP, when the entry has a `port`.
    Tcp {
        /// `bind_addresses`, with the one `bind_address` at the end; without repetitions, never empty.
        /// Default: `["127.0.0.1"]`.
        addresses: Vec<IpAddr>,
        /// `port`: 0 to 65535, and 0 has the system choose one.
        port: u16,
    },
    /// A Unix socket, when the entry has a `path`.
    Unix {
        /// `path`: where the socket is made.
        path: PathBuf,
        /// `mode`: the permissions of the socket, a string of octal digits. Default: `"666"`.
        mode: u32,
    },
}

/// A group of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// What Matrix clients ask for.
    Client,
    /// `/health`, for load balancers and supervisors.
    Health,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Health => "health",
        })
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            bind: Bind::Tcp {
                addresses: vec![LOCALHOST],
                port: 8008,
            },
            resources: default_resources(),
        }
    }
}

fn default_resources() -> BTreeSet<Resource> {
    BTreeSet::from([Resource::Client, Resource::Health])
}

pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Vec<Listener> {
    let Some(field) = field else {
        return vec![Listener::default()];
    };
    let Some(entries) = reader.list(&field) else {
        return Vec::new();
    };
    if entries.is_empty() {
        reader.error(
            &field.path,
            "empty; give at least one listener, or leave the key out for 127.0.0.1:8008",
        );
    }
    let mut taken: Vec<(usize, Listener)> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some(listener) = read_listener(reader, entry) else {
            continue;
        };
        match taken
            .iter()
            .find(|(_, earlier)| collide(&earlier.bind, &listener.bind))
        {
            Some((earlier, _)) => {
                reader.error(
                    &entry.path,
                    format!("listens where listeners[{earlier}] does; change or remove one"),
                );
            }
            None => taken.push((index, listener)),
        }
    }
    taken.into_iter().map(|(_, listener)| listener).collect()
}

fn read_listener(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Listener> {
    let section = reader.section(field, &known_keys::LISTENER)?;
    let mut resources = default_resources();
    reader.set(&mut resources, section.get("resources"), read_resources);
    let bind = match (section.get("port"), section.get("path")) {
        (Some(port), None) => read_tcp(reader, &section, &port),
        (None, Some(path)) => read_unix(reader, &section, &path),
        (None, None) => reader.refuse(field, "neither \"port\" nor \"path\"; give one of them"),
        (Some(_), Some(_)) => reader.refuse(field, "both \"port\" and \"path\"; make it two listeners"),
    }?;
    Some(Listener { bind, resources })
}

fn read_tcp(reader: &mut Reader<'_>, section: &Section<'_>, port: &Field<'_>) -> Option<Bind> {
    if let Some(mode) = section.get("mode") {
        reader.error(
            &mode.path,
            "only for a Unix socket; remove it, or give \"path\" instead of \"port\"",
        );
    }
    let port = reader
        .integer(port, 0..=u64::from(u16::MAX))
        .and_then(|port| u16::try_from(port).ok());
    let mut addresses = Vec::new();
    let list = section.get("bind_addresses").and_then(|field| {
        let list = reader.list(&field)?;
        if list.is_empty() {
            reader.error(
                &field.path,
                "empty; leave the key out for 127.0.0.1, or write [\"0.0.0.0\", \"::\"] for all",
            );
        }
        Some(list)
    });
    for field in list
        .unwrap_or_default()
        .into_iter()
        .chain(section.get("bind_address"))
    {
        if let Some(address) = read_address(reader, &field)
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        addresses.push(LOCALHOST);
    }
    Some(Bind::Tcp {
        addresses,
        port: port?,
    })
}

fn read_address(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<IpAddr> {
    let text = reader.text(field)?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let message =
        format!("{text:?} is not an IP address; write one such as \"127.0.0.1\" or \"::1\", without a port");
    reader.refuse(field, message)
}

fn read_unix(reader: &mut Reader<'_>, section: &Section<'_>, path: &Field<'_>) -> Option<Bind> {
    for key in ["bind_addresses", "bind_address"] {
        if let Some(field) = section.get(key) {
            reader.error(
                &field.path,
                "not for a Unix socket; remove it, or give \"port\" instead of \"path\"",
            );
        }
    }
    let mut mode = DEFAULT_MODE;
    reader.set(&mut mode, section.get("mode"), read_mode);
    let socket = reader.file_path(path)?;
    let bytes = socket.as_os_str().len();
    if bytes > MAX_SOCKET_PATH_BYTES {
        let message = format!(
            "{bytes} bytes long with its directory; the path of a Unix socket may have {MAX_SOCKET_PATH_BYTES}"
        );
        return reader.refuse(path, message);
    }
    Some(Bind::Unix { path: socket, mode })
}

/// A string only: by the time YAML has read `0o660` or `660` without quotes, nothing tells them apart
/// from other numbers.
fn read_mode(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<u32> {
    let text = reader.text(field)?;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if octal && mode <= 0o777 => Some(mode),
        _ => reader.refuse(
            field,
            format!("{text:?} is not a file mode; write octal digits such as \"660\""),
        ),
    }
}

fn read_resources(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<BTreeSet<Resource>> {
    let mut resources = BTreeSet::new();
    for entry in reader.list(field)? {
        let Some(section) = reader.section(&entry, &known_keys::RESOURCE) else {
            continue;
        };
        let Some(names) = section.get("names") else {
            reader.error(
                &entry.path,
                format!("has no \"names\"; add a list of them ({RESOURCES})"),
            );
            continue;
        };
        for name in reader.list(&names).unwrap_or_default() {
            resources.extend(read_resource(reader, &name));
        }
    }
    Some(resources)
}

fn read_resource(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Resource> {
    let name = reader.text(field)?;
    match name {
        "client" => Some(Resource::Client),
        "health" => Some(Resource::Health),
        _ => reader.refuse(field, format!("{name:?} is not a resource; {RESOURCES}")),
    }
}

fn collide(one: &Bind, other: &Bind) -> bool {
    match (one, other) {
        (
            Bind::Tcp {
                addresses: a,
                port: p,
            },
            Bind::Tcp {
                addresses: b,
                port: q,
            },
        ) => *p != 0 && p == q && a.iter().any(|address| b.contains(address)),
        (Bind::Unix { path: a, .. }, Bind::Unix { path: b, .. }) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
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
            check("- {port: 1, resources: [{names: [clinet, federation, 5]}, {}, {names: client}, client, {name: [client]}]}"),
            @r#"
        listeners[0].resources[0].names[0]: "clinet" is not a resource; known are client, health (homeserver.yaml:3)
        listeners[0].resources[0].names[1]: "federation" is not a resource; known are client, health (homeserver.yaml:3)
        listeners[0].resources[0].names[2]: expected a string, found an integer; put it in quotes (homeserver.yaml:3)
        listeners[0].resources[1]: has no "names"; add a list of them (known are client, health) (homeserver.yaml:3)
        listeners[0].resources[2].names: expected a list, found a string (homeserver.yaml:3)
        listeners[0].resources[3]: expected a mapping, found a string (homeserver.yaml:3)
        listeners[0].resources[4].name: unknown key "name"; did you mean "names"? (homeserver.yaml:3)
        listeners[0].resources[4]: has no "names"; add a list of them (known are client, health) (homeserver.yaml:3)
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
        assert_snapshot!(check("- {port: 1, tls: false}"), @r#"listeners[0].tls: unknown key "tls"; known here: port, bind_addresses, bind_address, path, mode, resources (homeserver.yaml:3)"#);
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
}

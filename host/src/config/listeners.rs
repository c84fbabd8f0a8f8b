//! `listeners`: where requests are taken, and which.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::Serialize;

use crate::config::known_keys;
use crate::config::reader::{Field, Reader, Section};

#[cfg(test)]
mod tests;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEFAULT_MODE: u32 = 0o666;
/// Linux: `sun_path` has 108 bytes, the last one a NUL.
const MAX_SOCKET_PATH_BYTES: usize = 107;
const RESOURCES: &str = "known are client, federation, health, metrics";

/// One entry of `listeners`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `port` and `bind_addresses`, or `path` and `mode`.
    pub bind: Bind,
    /// `resources`: what is answered here, all `names` united. Default: `client` and `health`; `metrics` alone where
    /// `type` is `metrics`.
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
    /// What other homeservers ask for, and send.
    Federation,
    /// `/health`, for load balancers and supervisors.
    Health,
    /// What Prometheus reads.
    Metrics,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Federation => "federation",
            Self::Health => "health",
            Self::Metrics => "metrics",
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
    let resources = read_all_resources(reader, &section);
    let bind = match (section.get("port"), section.get("path")) {
        (Some(port), None) => read_tcp(reader, &section, &port),
        (None, Some(path)) => read_unix(reader, &section, &path),
        (None, None) => reader.refuse(field, "neither \"port\" nor \"path\"; give one of them"),
        (Some(_), Some(_)) => reader.refuse(field, "both \"port\" and \"path\"; make it two listeners"),
    }?;
    Some(Listener { bind, resources })
}

/// What `type` and `resources` say together.
fn read_all_resources(reader: &mut Reader<'_>, section: &Section<'_>) -> BTreeSet<Resource> {
    let mut kind = Kind::Http;
    reader.set(&mut kind, section.get("type"), read_kind);
    let resources = section.get("resources");
    let mut all = match kind {
        Kind::Http => default_resources(),
        Kind::Metrics => BTreeSet::from([Resource::Metrics]),
    };
    reader.set(&mut all, resources, |reader, field| {
        let read = read_resources(reader, field)?;
        if kind == Kind::Metrics && read.iter().any(|resource| *resource != Resource::Metrics) {
            let message =
                "more than metrics, beside \"type: metrics\"; remove the type, or the other resources";
            return reader.refuse(field, message);
        }
        Some(read)
    });
    all
}

/// Synapse's `type`. Its `manhole` is not known here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Metrics,
}

fn read_kind(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Kind> {
    match reader.text(field)? {
        "http" => Some(Kind::Http),
        "metrics" => Some(Kind::Metrics),
        other => reader.refuse(field, format!("{other:?} is not known; write http or metrics")),
    }
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
    let path = read_socket_path(reader, path)?;
    Some(Bind::Unix { path, mode })
}

/// Where a Unix socket is to be made.
pub(super) fn read_socket_path(reader: &mut Reader<'_>, path: &Field<'_>) -> Option<PathBuf> {
    let socket = reader.file_path(path)?;
    let bytes = socket.as_os_str().len();
    if bytes > MAX_SOCKET_PATH_BYTES {
        let message = format!(
            "{bytes} bytes long with its directory; the path of a Unix socket may have {MAX_SOCKET_PATH_BYTES}"
        );
        return reader.refuse(path, message);
    }
    Some(socket)
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
        "federation" => Some(Resource::Federation),
        "health" => Some(Resource::Health),
        "metrics" => Some(Resource::Metrics),
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

//! `ip_range_blacklist` and `ip_range_whitelist`: which addresses this server may call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::reader::{Field, Reader};

/// Synapse's: what is not on the public internet.
const DEFAULT: [&str; 19] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "192.0.0.0/24",
    "169.254.0.0/16",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "::1/128",
    "fe80::/10",
    "fc00::/7",
    "2001:db8::/32",
    "ff00::/8",
    "fec0::/10",
];
/// "This host", which systems take for the loopback: blocked whatever the config says, as in Synapse.
const ALWAYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
];

/// Which addresses this server may call when a module or another server tells it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// `ip_range_blacklist`, with `0.0.0.0` and `::`. Default: what is not on the public internet.
    pub blocked: Vec<IpNet>,
    /// `ip_range_whitelist`: exceptions. Default: none.
    pub allowed: Vec<IpNet>,
}

impl Outgoing {
    /// Whether `address` may be called: `allowed` wins over `blocked`.
    ///
    /// An IPv6 address that leads to an IPv4 address (mapped, compatible, 6to4 or NAT64) counts as both, so that no
    /// other way of writing an address gets around its block.
    pub fn may_reach(&self, address: IpAddr) -> bool {
        let embedded = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => embedded(address).map(IpAddr::V4),
        };
        let is_in = |ranges: &[IpNet]| {
            let mut meant = [Some(address), embedded].into_iter().flatten();
            meant.any(|address| ranges.iter().any(|range| range.contains(&address)))
        };
        is_in(&self.allowed) || !is_in(&self.blocked)
    }

    /// Those of `addresses` that may be called, in their order.
    pub fn permitted(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
        let addresses = addresses.into_iter();
        addresses.filter(|address| self.may_reach(*address)).collect()
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        let ranges = DEFAULT
            .iter()
            .filter_map(|range| range.parse::<IpNet>().ok())
            .collect();
        Self {
            blocked: with_always(ranges),
            allowed: Vec::new(),
        }
    }
}

/// The IPv4 address that a packet to `address` may end up at.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Mapped (RFC 4291, 2.5.5.2); the well-known prefix of NAT64 (RFC 6052, 2.1); 6to4 (RFC 3056, 2).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        // Compatible (RFC 4291, 2.5.5.1): `::` and `::1` look as if they were.
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => v4(high, low),
        _ => None,
    }
}

fn with_always(mut ranges: Vec<IpNet>) -> Vec<IpNet> {
    for range in ALWAYS.map(IpNet::from) {
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    ranges
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    blocked: Option<Field<'_>>,
    allowed: Option<Field<'_>>,
) -> Outgoing {
    let mut outgoing = Outgoing::default();
    reader.set(&mut outgoing.blocked, blocked, |reader, field| {
        read_ranges(reader, field).map(with_always)
    });
    reader.set(&mut outgoing.allowed, allowed, read_ranges);
    outgoing
}

fn read_ranges(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Vec<IpNet>> {
    let mut ranges = Vec::new();
    for entry in reader.list(field)? {
        if let Some(range) = read_range(reader, &entry)
            && !ranges.contains(&range)
        {
            ranges.push(range);
        }
    }
    Some(ranges)
}

fn read_range(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<IpNet> {
    let text = reader.text(field)?;
    let range = text
        .parse::<IpNet>()
        .ok()
        .or_else(|| text.parse().ok().map(|address: IpAddr| IpNet::from(address)));
    match range {
        // As Synapse does, a range is taken whose address has bits behind the prefix.
        Some(range) => Some(range.trunc()),
        None => reader.refuse(
            field,
            format!("{text:?} is not an address range; write one such as \"10.0.0.0/8\" or \"192.168.1.1\""),
        ),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::config::checks;

    fn outgoing(yaml: &str) -> Outgoing {
        checks::config(&format!("server_name: a\n{yaml}")).outgoing
    }

    fn reached<'a>(outgoing: &Outgoing, addresses: &[&'a str]) -> Vec<&'a str> {
        let may_reach = |address: &&&str| outgoing.may_reach(address.parse().unwrap());
        addresses.iter().filter(may_reach).copied().collect()
    }

    /// One of each range that is not public, and other ways to write such an address.
    const PRIVATE: [&str; 30] = [
        "127.0.0.1",
        "127.255.255.255",
        "10.1.2.3",
        "172.31.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "192.0.0.8",
        "169.254.169.254",
        "192.88.99.1",
        "198.19.255.255",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "239.255.255.255",
        "0.0.0.0",
        "::",
        "::1",
        "fe80::1",
        "fd00::1",
        "2001:db8::1",
        "ff02::1",
        "fec0::1",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
        "::10.0.0.1",
        "2002:7f00:1::",
        "2002:a00:1:1::5",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "::ffff:192.168.1.1",
    ];
    const PUBLIC: [&str; 7] = [
        "1.1.1.1",
        "172.32.0.1",
        "198.20.0.1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "2002:101:101::",
        "64:ff9b::1.1.1.1",
    ];

    #[test]
    fn all_defaults_are_ranges() {
        assert_eq!(Outgoing::default().blocked.len(), DEFAULT.len() + ALWAYS.len());
    }

    #[test]
    fn by_default_only_public_addresses_are_reached() {
        let outgoing = outgoing("");
        assert_eq!(outgoing, Outgoing::default());
        assert_eq!(reached(&outgoing, &PRIVATE), [""; 0]);
        assert_eq!(reached(&outgoing, &PUBLIC), PUBLIC);
    }

    #[test]
    fn exceptions_win_and_this_host_is_always_blocked() {
        let excepted = outgoing("ip_range_whitelist: [192.168.1.1, '127.0.0.0/8', '::1']");
        assert_eq!(
            reached(&excepted, &PRIVATE),
            [
                "127.0.0.1",
                "127.255.255.255",
                "::1",
                "::ffff:127.0.0.1",
                "2002:7f00:1::",
                "64:ff9b::127.0.0.1",
                "::ffff:192.168.1.1"
            ]
        );
        let open = outgoing("ip_range_blacklist: []");
        assert_eq!(
            reached(&open, &["0.0.0.0", "::", "::ffff:0.0.0.0", "127.0.0.1"]),
            ["127.0.0.1"]
        );
        let one = outgoing("ip_range_blacklist: ['1.1.1.77/24', 1.1.1.0/24]");
        assert_eq!(one.blocked.len(), 3);
        assert_eq!(
            reached(&one, &["1.1.1.1", "1.1.2.1", "10.0.0.1"]),
            ["1.1.2.1", "10.0.0.1"]
        );
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let check = |yaml| checks::check(&format!("server_name: a\n{yaml}"));
        assert_snapshot!(check("ip_range_blacklist: [10.0.0/8, 10.0.0.0/33, localhost, 5, '']"), @r#"
        ip_range_blacklist[0]: "10.0.0/8" is not an address range; write one such as "10.0.0.0/8" or "192.168.1.1" (homeserver.yaml:2)
        ip_range_blacklist[1]: "10.0.0.0/33" is not an address range; write one such as "10.0.0.0/8" or "192.168.1.1" (homeserver.yaml:2)
        ip_range_blacklist[2]: "localhost" is not an address range; write one such as "10.0.0.0/8" or "192.168.1.1" (homeserver.yaml:2)
        ip_range_blacklist[3]: expected a string, found an integer; put it in quotes (homeserver.yaml:2)
        ip_range_blacklist[4]: "" is not an address range; write one such as "10.0.0.0/8" or "192.168.1.1" (homeserver.yaml:2)
        "#);
        assert_snapshot!(check("ip_range_whitelist: 10.0.0.0/8"), @"ip_range_whitelist: expected a list, found a string (homeserver.yaml:2)");
    }
}

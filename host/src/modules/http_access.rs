//! Which addresses modules may call by the host. Knows addresses and ranges, no names and no requests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Synapse's default of [`ip_range_blacklist`]: loopback, private and link-local networks, and what is set aside for
/// documentation, tests and multicast.
///
/// [`ip_range_blacklist`]: https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html#ip_range_blacklist
const BLOCKED: [&str; 19] = [
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

/// Which addresses modules may call by the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAccess {
    /// Addresses that may not be called.
    pub blocked: Vec<IpNet>,
    /// Exceptions of `blocked`.
    pub allowed: Vec<IpNet>,
}

impl HttpAccess {
    /// Whether an address may be called.
    ///
    /// One of IPv6 that leads to one of IPv4 counts as both: a block of `10.0.0.0/8` covers `::ffff:10.0.0.1`. The unspecified
    /// addresses `0.0.0.0` and `::` mean this machine to a system that connects, and may never be called.
    pub fn permits(&self, address: IpAddr) -> bool {
        let carried = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => carried(address).map(IpAddr::V4),
        };
        let is_in = |ranges: &[IpNet]| {
            [Some(address), carried]
                .into_iter()
                .flatten()
                .any(|address| ranges.iter().any(|range| range.contains(&address)))
        };
        let is_unspecified =
            address.is_unspecified() || carried.is_some_and(|carried| carried.is_unspecified());
        !is_unspecified && (is_in(&self.allowed) || !is_in(&self.blocked))
    }
}

impl Default for HttpAccess {
    fn default() -> Self {
        Self {
            blocked: BLOCKED
                .iter()
                .map(|range| range.parse().expect("the default ranges are ranges"))
                .collect(),
            allowed: Vec::new(),
        }
    }
}

/// The IPv4 address that packets to this one may end up at.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // Mapped (RFC 4291, 2.5.5.2), NAT64 (RFC 6052, 2.1), 6to4 (RFC 3056, 2).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        // Compatible (RFC 4291, 2.5.5.1), but for `::` and `::1`, which are themselves.
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => (high, low),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted<'a>(access: &HttpAccess, addresses: &[&'a str]) -> Vec<&'a str> {
        let permits = |address: &&&str| access.permits(address.parse().expect("an address"));
        addresses.iter().filter(permits).copied().collect()
    }

    fn ranges(ranges: &[&str]) -> Vec<IpNet> {
        ranges
            .iter()
            .map(|range| range.parse().expect("a range"))
            .collect()
    }

    #[test]
    fn what_an_outsider_could_not_reach_may_not_be_called() {
        let refused = [
            "127.0.0.1",
            "127.255.255.255",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "192.0.0.170",
            "169.254.169.254",
            "192.88.99.1",
            "198.19.0.1",
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "239.255.255.250",
            "0.0.0.0",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "fd12::1",
            "2001:db8::1",
            "ff02::fb",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
            "::10.0.0.1",
            "2002:0a00:0001::",
            "64:ff9b::192.168.0.1",
        ];
        assert_eq!(permitted(&HttpAccess::default(), &refused), [""; 0]);
        let public = [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "2002:101:101::",
            "64:ff9b::1.1.1.1",
        ];
        assert_eq!(permitted(&HttpAccess::default(), &public), public);
    }

    #[test]
    fn what_is_allowed_wins_but_never_the_unspecified_addresses() {
        let access = HttpAccess {
            allowed: ranges(&["127.0.0.1/32", "fd00::/8", "0.0.0.0/0"]),
            ..HttpAccess::default()
        };
        let addresses = [
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "fd00::1",
            "::1",
            "0.0.0.0",
            "::ffff:0.0.0.0",
        ];
        assert_eq!(
            permitted(&access, &addresses),
            ["127.0.0.1", "::ffff:127.0.0.1", "fd00::1"]
        );
        let open = HttpAccess {
            blocked: Vec::new(),
            allowed: Vec::new(),
        };
        assert_eq!(
            permitted(&open, &["10.0.0.1", "::1", "0.0.0.0", "::"]),
            ["10.0.0.1", "::1"]
        );
    }
}

//! From the name of a server to addresses, in the order of the specification:
//! <https://spec.matrix.org/v1.16/server-server-api/#resolving-server-names>.
//!
//! Opens no connection; what `.well-known` says comes from `well_known`.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ruma_common::ServerName;
use rustls::pki_types;
use tokio::time::timeout;

use crate::config::Outgoing;
use crate::federation::names::{Lookup, Names, Service};

/// How long a name may take to be resolved.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many SRV records are followed, and how many addresses are tried.
const MAX_SERVICES: usize = 8;
const MAX_ADDRESSES: usize = 16;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What the header `Host` of requests says.
    pub host_header: String,
    /// Whom the server's certificate has to be of.
    pub tls_name: pki_types::ServerName<'static>,
    /// Where to connect to, the best first. Each may be called. At least one.
    pub addresses: Vec<SocketAddr>,
}

/// A server cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Its name cannot be that of a certificate.
    #[error("{0} cannot be the name in a certificate")]
    Name(String),
    /// The name servers did not answer.
    #[error("{name} cannot be looked up")]
    Lookup {
        /// What was looked up.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The name servers did not answer in time.
    #[error("{0} was not looked up within 10 s")]
    TimedOut(String),
    /// There is no such host.
    #[error("{0} has no address")]
    NoAddress(String),
    /// Its SRV record says that there is no such service.
    #[error("{0} says that it has no such service")]
    NoService(String),
    /// It is where this server may not call.
    #[error(
        "{host} is at {address}, which may not be called; the operator may allow it by ip_range_whitelist"
    )]
    Refused {
        /// The host.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
}

/// Finds addresses.
pub(super) struct Discovery {
    names: Arc<dyn Names>,
    access: Arc<Outgoing>,
    /// What stands in for a port that nobody names: 8448.
    default_port: u16,
}

impl Discovery {
    pub(super) fn new(names: Arc<dyn Names>, access: Arc<Outgoing>, default_port: u16) -> Self {
        Self {
            names,
            access,
            default_port,
        }
    }

    /// Where the server is that a name leads to, once `.well-known` has been asked.
    pub(super) async fn resolve(&self, delegated: &ServerName) -> Result<Resolved, ResolveError> {
        let host = delegated.host();
        let addresses = match delegated.port() {
            Some(port) => self.host(host, port).await?,
            None if address_in(host).is_some() => self.host(host, self.default_port).await?,
            None => self.services(host).await?,
        };
        Ok(Resolved {
            host_header: delegated.as_str().to_owned(),
            tls_name: tls_name(host)?,
            addresses,
        })
    }

    /// The addresses of a host that may be called.
    pub(super) async fn host(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = match address_in(host) {
            Some(address) => vec![address],
            None => in_time(host, self.names.addresses(host)).await?,
        };
        let found = self.checked(host, found)?;
        let addresses = found.into_iter().map(|address| SocketAddr::new(address, port));
        Ok(addresses.take(MAX_ADDRESSES).collect())
    }

    fn checked(&self, host: &str, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, ResolveError> {
        let first = *found
            .first()
            .ok_or_else(|| ResolveError::NoAddress(host.to_owned()))?;
        let permitted = self.access.permitted(found);
        if permitted.is_empty() {
            return Err(ResolveError::Refused {
                host: host.to_owned(),
                address: first,
            });
        }
        Ok(permitted)
    }

    /// By SRV, or at the default port.
    async fn services(&self, host: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        for service in ["_matrix-fed", "_matrix"] {
            let name = format!("{service}._tcp.{host}");
            let found = in_time(&name, self.names.services(&name)).await?;
            if !found.is_empty() {
                return self.targets(host, found).await;
            }
        }
        self.host(host, self.default_port).await
    }

    /// The addresses of all targets; what keeps one from being found matters only when there is no other.
    async fn targets(&self, host: &str, found: Vec<Service>) -> Result<Vec<SocketAddr>, ResolveError> {
        let mut addresses = Vec::new();
        let mut failed = ResolveError::NoService(host.to_owned());
        let ordered = in_order(found, |below| RandomState::new().hash_one(()) % below);
        for service in ordered.into_iter().take(MAX_SERVICES) {
            if service.target.is_empty() {
                continue;
            }
            match self.host(&service.target, service.port).await {
                Ok(more) => addresses.extend(more),
                Err(error) => failed = error,
            }
        }
        if addresses.is_empty() {
            return Err(failed);
        }
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses)
    }
}

/// The name that a certificate has to be of; `host` may be an address.
pub(super) fn tls_name(host: &str) -> Result<pki_types::ServerName<'static>, ResolveError> {
    match address_in(host) {
        Some(address) => Ok(address.into()),
        // A dot at the end says that a name is absolute, which those in certificates are anyway.
        None => pki_types::ServerName::try_from(host.trim_end_matches('.').to_owned())
            .map_err(|_| ResolveError::Name(host.to_owned())),
    }
}

fn address_in(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

async fn in_time<T>(name: &str, lookup: Lookup<'_, T>) -> Result<Vec<T>, ResolveError> {
    match timeout(TIMEOUT, lookup).await {
        Ok(found) => found.map_err(|source| ResolveError::Lookup {
            name: name.to_owned(),
            source,
        }),
        Err(_) => Err(ResolveError::TimedOut(name.to_owned())),
    }
}

/// By priority, and among those of the same priority at random by weight, as RFC 2782 has it. `draw(n)` is below `n`.
fn in_order(mut services: Vec<Service>, mut draw: impl FnMut(u64) -> u64) -> Vec<Service> {
    services.sort_by_key(|service| service.priority);
    let mut ordered = Vec::with_capacity(services.len());
    while let Some(priority) = services.first().map(|service| service.priority) {
        let same = services.iter().take_while(|service| service.priority == priority);
        // One more each, so that who has no weight has a chance.
        let weights: Vec<u64> = same.map(|service| u64::from(service.weight) + 1).collect();
        let mut left = draw(weights.iter().sum());
        let chosen = weights.iter().position(|weight| {
            let is_here = left < *weight;
            left = left.saturating_sub(*weight);
            is_here
        });
        ordered.push(services.remove(chosen.unwrap_or_default()));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(priority: u16, weight: u16, port: u16) -> Service {
        Service {
            priority,
            weight,
            port,
            target: "a.test".to_owned(),
        }
    }

    fn ports(services: Vec<Service>, draw: impl FnMut(u64) -> u64) -> Vec<u16> {
        let ordered = in_order(services, draw);
        ordered.into_iter().map(|service| service.port).collect()
    }

    #[test]
    fn of_the_same_priority_the_weight_decides() {
        let services = vec![service(10, 0, 1), service(10, 8, 2), service(5, 0, 3)];
        // Alone in its priority; then 0 of 1 + 9, or 1 to 9.
        assert_eq!(ports(services.clone(), |_| 0), [3, 1, 2]);
        assert_eq!(ports(services.clone(), |below| 1.min(below - 1)), [3, 2, 1]);
        assert_eq!(ports(services, |below| below - 1), [3, 2, 1]);
    }

    proptest! {
        #[test]
        fn every_service_is_there_once_in_the_order_of_priorities(
            services in proptest::collection::vec((0_u16..4, any::<u16>()), 0..12),
            seed in any::<u64>(),
        ) {
            let services: Vec<_> = services
                .iter()
                .zip(0..)
                .map(|((priority, weight), port)| service(*priority, *weight, port))
                .collect();
            let ordered = in_order(services.clone(), |below| seed % below);
            prop_assert!(ordered.is_sorted_by_key(|service| service.priority));
            let mut sorted: Vec<_> = ordered.iter().map(|service| service.port).collect();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, services.iter().map(|service| service.port).collect::<Vec<_>>());
        }
    }
}

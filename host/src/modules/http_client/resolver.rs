//! Resolves names to addresses that may be called. The connection goes to the very addresses that were checked, so that a name
//! which resolves to something else a moment later gains nothing by it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::config::Outgoing;
use crate::modules::http_client::fault::Fault;

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Who knows what a name resolves to.
pub(super) type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// The system: `/etc/hosts`, DNS, and what else it is set up for.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

pub(super) struct CheckedResolver {
    access: Arc<Outgoing>,
    lookup: Lookup,
}

impl CheckedResolver {
    pub(super) fn new(access: Arc<Outgoing>, lookup: Lookup) -> Self {
        Self { access, lookup }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (access, host) = (Arc::clone(&self.access), name.as_str().to_owned());
        let found = (self.lookup)(host.clone());
        Box::pin(async move {
            let found = found.await?;
            let permitted = access.permitted(found.iter().copied());
            if let (true, Some(refused)) = (permitted.is_empty(), found.first()) {
                return Err(Fault::Address {
                    host,
                    address: Some(*refused),
                }
                .into());
            }
            // The port is the URL's.
            let addresses = permitted.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

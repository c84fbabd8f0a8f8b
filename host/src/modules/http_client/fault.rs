//! Why a request failed, found in the errors of the layers below.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use presence_router_api::abi::{Failure, FailureKind};

/// What the host itself refuses, on its way through the layers of the HTTP client.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// An address that modules may not call.
    #[error("modules may not call {}; the operator may allow it by ip_range_whitelist", named(.host, *.address))]
    Address {
        /// What the URL names.
        host: String,
        /// What that resolves to, when it is a name.
        address: Option<IpAddr>,
    },
    /// A URL of another kind.
    #[error("{0:?} is not http or https")]
    Scheme(String),
    /// A URL that names no server.
    #[error("the URL names no server")]
    NoHost,
    /// The server redirects again and again.
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
}

fn named(host: &str, address: Option<IpAddr>) -> String {
    match address {
        Some(address) => format!("{address}, to which {host} resolves"),
        None => host.to_owned(),
    }
}

impl Fault {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Address { .. } => FailureKind::ADDRESS_REFUSED,
            Self::Scheme(_) | Self::NoHost => FailureKind::BAD_REQUEST,
            Self::TooManyRedirects(_) => FailureKind::ERROR,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(fault.kind(), fault.to_string())
    }
}

/// What a module is told of a request that failed on its way.
pub(super) fn failure_of(place: &str, error: reqwest::Error) -> Failure {
    // Its URL may hold secrets.
    let error = error.without_url();
    let mut causes = Vec::new();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Failure::new(fault.kind(), format!("{place}: {fault}"));
        }
        if let Some(tls) = tls_error(error) {
            return Failure::new(FailureKind::TLS, format!("{place}: {tls}"));
        }
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.dedup();
    Failure::new(FailureKind::CONNECTION, format!("{place}: {}", causes.join(": ")))
}

/// An `io::Error` hides the error that it holds: its `source` is that one's source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref().or_else(|| {
        let held = error.downcast_ref::<io::Error>()?.get_ref()?;
        held.downcast_ref().or_else(|| tls_error(held))
    })
}

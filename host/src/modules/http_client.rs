//! HTTP requests that the host makes for a module. Each address that is called has been checked: the one that a URL names, what
//! a name resolves to, and again at every redirect (`docs/decisions/http-for-modules.md`).

mod fault;
mod parse;
mod resolver;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use abi_stable::std_types::{RString, RVec};
use presence_router_api::abi::requests::{HttpAnswer, HttpCall, HttpHeader};
use presence_router_api::abi::{Failure, FailureKind};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::Outgoing;
use crate::modules::http_client::fault::{Fault, failure_of};
use crate::modules::http_client::parse::{Parsed, check_url};
use crate::modules::http_client::resolver::{CheckedResolver, Lookup, system_lookup};

/// How many requests of an instance run at once; others wait.
const MAX_RUNNING: usize = 16;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// How many idle connections to a server are kept.
const MAX_IDLE: usize = 4;

/// Makes the requests of one instance.
pub(super) struct HttpClient {
    access: Arc<Outgoing>,
    roots: Arc<RootCertStore>,
    lookup: Lookup,
    /// Made with the first request: most modules make none.
    client: OnceLock<Result<Client, String>>,
    free: Semaphore,
}

impl HttpClient {
    /// A client that trusts Mozilla's authorities and asks the system for names.
    pub(super) fn new(access: Arc<Outgoing>) -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self::with(access, roots, system_lookup())
    }

    fn with(access: Arc<Outgoing>, roots: RootCertStore, lookup: Lookup) -> Self {
        Self {
            access,
            roots: Arc::new(roots),
            lookup,
            client: OnceLock::new(),
            free: Semaphore::new(MAX_RUNNING),
        }
    }

    /// Makes a request. The deadline counts from here, with the wait for a place.
    pub(super) async fn call(&self, call: HttpCall) -> Result<HttpAnswer, Failure> {
        let parsed = Parsed::new(call, &self.access)?;
        let (deadline, place) = (parsed.timeout, parsed.place());
        match timeout(deadline, self.run(parsed)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::new(
                FailureKind::TIMED_OUT,
                format!(
                    "{place}: not all of the answer was there within {} ms",
                    deadline.as_millis()
                ),
            )),
        }
    }

    async fn run(&self, parsed: Parsed) -> Result<HttpAnswer, Failure> {
        let place = parsed.place();
        let _place = self.free.acquire().await.map_err(|_| Failure::shut_down())?;
        let client = self.client.get_or_init(|| self.build());
        let client = client.as_ref().map_err(|error| Failure::error(error.clone()))?;
        let max = parsed.max_response;
        let response = client.execute(parsed.request).await;
        let response = response.map_err(|error| failure_of(&place, error))?;
        let headers = response.headers().iter();
        let headers: RVec<HttpHeader> = headers
            .map(|(name, value)| HttpHeader {
                name: RString::from(name.as_str()),
                value: RVec::from(value.as_bytes()),
            })
            .collect();
        Ok(HttpAnswer {
            status: response.status().as_u16(),
            headers,
            body: read_body(response, max, &place).await?,
        })
    }

    fn build(&self) -> Result<Client, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        let access = Arc::clone(&self.access);
        Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(CheckedResolver::new(
                Arc::clone(&self.access),
                Arc::clone(&self.lookup),
            ))
            .redirect(Policy::custom(move |attempt| follow(attempt, &access)))
            .referer(false)
            .no_proxy()
            .pool_max_idle_per_host(MAX_IDLE)
            .user_agent(concat!("presence-router/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("the HTTP client cannot be set up: {error}"))
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

fn follow(attempt: Attempt<'_>, access: &Outgoing) -> reqwest::redirect::Action {
    // The first URL is among them.
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error(Fault::TooManyRedirects(MAX_REDIRECTS));
    }
    match check_url(attempt.url(), access) {
        Ok(()) => attempt.follow(),
        Err(fault) => attempt.error(fault),
    }
}

async fn read_body(mut response: Response, max: u64, place: &str) -> Result<RVec<u8>, Failure> {
    let too_large = || {
        Failure::new(
            FailureKind::TOO_LARGE,
            format!("{place}: the body of the answer has more than {max} bytes"),
        )
    };
    if response.content_length().is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure_of(place, error))? {
        if (body.len() + chunk.len()) as u64 > max {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(RVec::from(body))
}

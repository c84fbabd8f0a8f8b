//! Requests to other servers: finds them, proves who we are, bounds what comes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use ruma_common::{CanonicalJsonError, CanonicalJsonValue, ServerName};
use serde_json::Value;
use tokio::time::timeout;

use crate::config::Config;
use crate::federation::discovery::{Discovery, ResolveError, Resolved};
use crate::federation::identity::Identity;
use crate::federation::names::Names;
use crate::federation::pool::Pool;
use crate::federation::setup::{Limits, Setup, SetupError};
use crate::federation::transport::{BodyFault, ConnectError, Sender, Transport, read_body};
use crate::federation::well_known::WellKnown;

/// How we call ourselves.
pub(super) const USER_AGENT_TEXT: &str = concat!("presence-router/", env!("CARGO_PKG_VERSION"));

/// How long a connection has to be ready again once its answer has been read, to be kept.
const MAX_SETTLING: Duration = Duration::from_millis(100);

/// Makes requests to other servers. No redirect is followed. It bounds each request, not how many are made at once:
/// that is for the callers.
pub struct FederationClient {
    identity: Arc<Identity>,
    allowed: Option<BTreeSet<String>>,
    discovery: Arc<Discovery>,
    well_known: WellKnown,
    transport: Arc<Transport>,
    pool: Pool,
    limits: Limits,
}

/// What a server answers, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

/// A request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The operator does not allow the server.
    #[error("{0} is not in federation_domain_whitelist")]
    NotAllowed(String),
    /// What is to be called is no path; a fault of ours.
    #[error("{0:?} is not the path of a request")]
    Path(String),
    /// What is to be sent cannot be signed; a fault of ours.
    #[error("the body is not canonical JSON")]
    Body(#[source] CanonicalJsonError),
    /// The server cannot be found.
    #[error("{0} cannot be found")]
    Find(String, #[source] ResolveError),
    /// The server cannot be reached.
    #[error("{0} cannot be reached")]
    Connect(String, #[source] ConnectError),
    /// The connection broke before the answer was there.
    #[error("{0}: the connection broke")]
    Broken(String, #[source] hyper::Error),
    /// The answer is too large.
    #[error("{server}: the answer has more than {max} bytes")]
    TooLarge {
        /// Who answers so.
        server: String,
        /// The bytes that are read.
        max: usize,
    },
    /// The answer takes too long.
    #[error("{server}: not all of the answer was there within {} ms", .after.as_millis())]
    TimedOut {
        /// Who answers so.
        server: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// It has another status than 200.
    #[error("{0} answers with the status {1}")]
    Status(String, StatusCode),
    /// It is no JSON.
    #[error("{0} answers with something else than JSON")]
    NotJson(String, #[source] serde_json::Error),
}

/// The head of an answer, and the connection that its body comes over.
type Sent = (Sender, Response<Incoming>);

/// A request, as it may be written to more than one connection.
struct Outgo {
    method: Method,
    path: PathAndQuery,
    authorization: Option<HeaderValue>,
    body: Option<Bytes>,
    max_answer: usize,
}

impl FederationClient {
    /// A client as the config wants it. Reads the files of authorities.
    pub fn new(config: &Config, identity: Arc<Identity>, names: Arc<dyn Names>) -> Result<Self, SetupError> {
        Self::with(Setup::new(config, identity, names)?)
    }

    /// A client of these parts.
    pub fn with(setup: Setup) -> Result<Self, SetupError> {
        let limits = setup.limits;
        let discovery = Arc::new(Discovery::new(setup.names, setup.access, setup.ports.federation));
        let transport = Arc::new(Transport::new(setup.roots, limits.connect).map_err(SetupError::Tls)?);
        let well_known = WellKnown::new(
            Arc::clone(&discovery),
            Arc::clone(&transport),
            setup.ports.well_known,
            limits.well_known,
        );
        Ok(Self {
            identity: setup.identity,
            allowed: setup.allowed,
            discovery,
            well_known,
            transport,
            pool: Pool::default(),
            limits,
        })
    }

    /// Sends a signed request, and answers what the server answers, of whatever status. `path` has its query, and is
    /// percent-encoded.
    ///
    /// A request may reach the server twice, when a kept connection breaks on it: all that the specification has for
    /// servers can be repeated.
    pub async fn send(
        &self,
        method: Method,
        destination: &ServerName,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, RequestError> {
        let body = body.map(|body| CanonicalJsonValue::try_from(body.clone()));
        let body = body.transpose().map_err(RequestError::Body)?;
        let authorization = self
            .identity
            .authorization(&method, path, destination, body.as_ref());
        let request = Outgo {
            method,
            path: parse_path(path)?,
            authorization: Some(authorization),
            // As it was signed, and as others will sign it to compare.
            body: body.map(|body| Bytes::from(body.to_string())),
            max_answer: self.limits.answer,
        };
        self.run(destination, request).await
    }

    /// The answer of `GET /_matrix/key/v2/server`, unchecked: who asks does not sign, and checks what it says.
    pub async fn get_server_keys(&self, server: &ServerName) -> Result<Value, RequestError> {
        let request = Outgo {
            method: Method::GET,
            path: PathAndQuery::from_static("/_matrix/key/v2/server"),
            authorization: None,
            body: None,
            max_answer: self.limits.keys,
        };
        let answer = self.run(server, request).await?;
        if answer.status != StatusCode::OK {
            return Err(RequestError::Status(server.to_string(), answer.status));
        }
        serde_json::from_slice(&answer.body).map_err(|error| RequestError::NotJson(server.to_string(), error))
    }

    /// Where a server is, as a request to it would find.
    pub async fn resolve(&self, server: &ServerName) -> Result<Resolved, ResolveError> {
        let delegated = self.well_known.delegated(server).await;
        self.discovery.resolve(&delegated).await
    }

    /// How many connections are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.pool.len()
    }

    async fn run(&self, server: &ServerName, request: Outgo) -> Result<Answer, RequestError> {
        if let Some(allowed) = &self.allowed
            && !allowed.contains(server.as_str())
        {
            return Err(RequestError::NotAllowed(server.to_string()));
        }
        match timeout(self.limits.request, self.run_without_end(server, &request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RequestError::TimedOut {
                server: server.to_string(),
                after: self.limits.request,
            }),
        }
    }

    async fn run_without_end(&self, server: &ServerName, request: &Outgo) -> Result<Answer, RequestError> {
        let delegated = self.well_known.delegated(server).await;
        let name = delegated.as_str();
        let (sender, response) = match self.send_over_kept(name, request).await {
            Some(sent) => sent,
            None => self.send_over_new(server, &delegated, request).await?,
        };
        let (head, body) = response.into_parts();
        let body = read_body(body, request.max_answer).await;
        let body = body.map_err(|fault| match fault {
            BodyFault::Broken(error) => RequestError::Broken(server.to_string(), error),
            BodyFault::TooLarge => RequestError::TooLarge {
                server: server.to_string(),
                max: request.max_answer,
            },
        })?;
        self.keep(name, sender).await;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// `None` when no connection is kept, or the server has closed it meanwhile. One is to a name that has proven itself, so
    /// that it serves all servers that say they are there.
    async fn send_over_kept(&self, name: &str, request: &Outgo) -> Option<Sent> {
        let mut sender = self.pool.take(name)?;
        let response = sender.send_request(request.to(name)).await.ok()?;
        Some((sender, response))
    }

    async fn send_over_new(
        &self,
        server: &ServerName,
        delegated: &ServerName,
        request: &Outgo,
    ) -> Result<Sent, RequestError> {
        let resolved = self.discovery.resolve(delegated).await;
        let resolved = resolved.map_err(|error| RequestError::Find(server.to_string(), error))?;
        let sender = self.transport.connect(&resolved).await;
        let mut sender = sender.map_err(|error| RequestError::Connect(server.to_string(), error))?;
        let response = sender.send_request(request.to(delegated.as_str())).await;
        let response = response.map_err(|error| RequestError::Broken(server.to_string(), error))?;
        Ok((sender, response))
    }

    /// For the next request, unless the server closes it with this one, or answered before it had read all of it.
    async fn keep(&self, name: &str, mut sender: Sender) {
        if let Ok(Ok(())) = timeout(MAX_SETTLING, sender.ready()).await {
            self.pool.put(name, sender);
        }
    }
}

impl std::fmt::Debug for FederationClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FederationClient").finish_non_exhaustive()
    }
}

impl Outgo {
    fn to(&self, host: &str) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone().unwrap_or_default()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.path.clone());
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(host).expect("the name of a server is plain ASCII");
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if self.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request
    }
}

/// A path that is sent as it was signed.
fn parse_path(path: &str) -> Result<PathAndQuery, RequestError> {
    let parsed = PathAndQuery::try_from(path).ok();
    let parsed = parsed.filter(|parsed| path.starts_with('/') && parsed.as_str() == path);
    parsed.ok_or_else(|| RequestError::Path(path.to_owned()))
}

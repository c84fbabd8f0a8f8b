//! Connections to other servers: TCP to the first address that answers, TLS with the right name, HTTP/1.1.
//!
//! Calls the addresses that it is given; that each may be called is known by then.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::federation::discovery::Resolved;

/// How long an address has to itself before the next is tried beside it
/// ([RFC 8305, section 8](https://www.rfc-editor.org/rfc/rfc8305#section-8)).
const HEAD_START: Duration = Duration::from_millis(250);
/// The most bytes that the head of an answer may have.
const MAX_HEAD: usize = 64 * 1024;

/// Sends requests over a connection. The connection ends when this is dropped.
pub(super) type Sender = http1::SendRequest<Full<Bytes>>;

/// A server was found, and no connection to it came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// None of its addresses takes a connection.
    #[error("{0} takes no connection")]
    Tcp(String, #[source] io::Error),
    /// It does not prove that it is who it has to be, or speaks no TLS.
    #[error("{0} does not prove by TLS who it is")]
    Tls(String, #[source] io::Error),
    /// It does not speak HTTP.
    #[error("{0} does not speak HTTP/1.1")]
    Http(String, #[source] hyper::Error),
    /// It takes too long.
    #[error("{name}: no connection within {} ms", .after.as_millis())]
    TimedOut {
        /// Whom the request was to.
        name: String,
        /// How long it was waited for.
        after: Duration,
    },
}

/// Makes connections.
pub(super) struct Transport {
    tls: TlsConnector,
    timeout: Duration,
}

impl Transport {
    /// Believes servers that `roots` vouch for. Each connection may take `timeout` to come about.
    pub(super) fn new(roots: RootCertStore, timeout: Duration) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            timeout,
        })
    }

    pub(super) async fn connect(&self, to: &Resolved) -> Result<Sender, ConnectError> {
        let name = &to.host_header;
        match timeout(self.timeout, self.connect_without_end(to)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ConnectError::TimedOut {
                name: name.clone(),
                after: self.timeout,
            }),
        }
    }

    async fn connect_without_end(&self, to: &Resolved) -> Result<Sender, ConnectError> {
        let name = || to.host_header.clone();
        let stream = first_to_answer(&to.addresses)
            .await
            .map_err(|error| ConnectError::Tcp(name(), error))?;
        // A request is written at once: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        let stream = self.tls.connect(to.tls_name.clone(), stream).await;
        let stream = stream.map_err(|error| ConnectError::Tls(name(), error))?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ConnectError::Http(name(), error))?;
        // What breaks it is told to whoever waits for an answer. It ends when the sender is dropped.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Connects to each address in turn, with a head start for those before, and takes the first connection.
async fn first_to_answer(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut left = addresses.iter();
    let mut running = FuturesUnordered::new();
    let mut failed = io::Error::new(io::ErrorKind::AddrNotAvailable, "it has no address");
    loop {
        let next = left.next();
        if let Some(address) = next {
            running.push(TcpStream::connect(*address));
        }
        tokio::select! {
            outcome = running.next() => match outcome {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failed = error,
                None => return Err(failed),
            },
            () = sleep(HEAD_START), if next.is_some() => {}
        }
    }
}

/// Why there is no body.
#[derive(Debug)]
pub(super) enum BodyFault {
    TooLarge,
    Broken(hyper::Error),
}

/// All of a body, which may have `max` bytes.
pub(super) async fn read_body(body: Incoming, max: usize) -> Result<Bytes, BodyFault> {
    match Limited::new(body, max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(BodyFault::Broken(*error)),
            Err(error) => {
                debug_assert!(error.is::<LengthLimitError>(), "of the two errors, the other");
                Err(BodyFault::TooLarge)
            }
        },
    }
}

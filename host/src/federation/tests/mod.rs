//! A made-up internet on the loopback: names, authorities, servers that speak TLS; and a client in it.

mod finding;
mod refused;
mod requests;
mod well_known;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ruma_common::ServerName;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::config::Outgoing;

/// The only address that clients here may call, besides the public ones.
const ALLOWED: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SEED: &str = "ed25519 a_test YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

fn name(name: &str) -> &ServerName {
    name.try_into().expect("is the name of a server")
}

fn identity() -> Arc<Identity> {
    let keys = SigningKeys::parse(SEED, Path::new("a.key")).expect("is a key");
    Arc::new(Identity::new("origin.test", keys, BTreeMap::new()).expect("is an identity"))
}

/// What names resolve to; what is not there does not exist.
#[derive(Default, Clone)]
struct KnownNames {
    hosts: HashMap<&'static str, Vec<IpAddr>>,
    services: HashMap<&'static str, Vec<Service>>,
    /// What cannot be looked up at all.
    broken: Vec<&'static str>,
    /// All that was looked up.
    asked: Arc<Mutex<Vec<String>>>,
}

impl KnownNames {
    fn host(mut self, host: &'static str, addresses: &[&str]) -> Self {
        let addresses = addresses
            .iter()
            .map(|address| address.parse().expect("an address"));
        self.hosts.insert(host, addresses.collect());
        self
    }

    fn service(mut self, name: &'static str, priority: u16, port: u16, target: &str) -> Self {
        self.services.entry(name).or_default().push(Service {
            priority,
            weight: 0,
            port,
            target: target.to_owned(),
        });
        self
    }

    fn broken(mut self, name: &'static str) -> Self {
        self.broken.push(name);
        self
    }

    fn answer<T: Clone>(&self, known: &HashMap<&str, Vec<T>>, name: &str) -> io::Result<Vec<T>> {
        self.asked.lock().push(name.to_owned());
        if self.broken.contains(&name) {
            return Err(io::Error::other("SERVFAIL"));
        }
        Ok(known.get(name).cloned().unwrap_or_default())
    }
}

impl Names for KnownNames {
    fn addresses<'a>(&'a self, host: &'a str) -> Lookup<'a, IpAddr> {
        Box::pin(std::future::ready(self.answer(&self.hosts, host)))
    }

    fn services<'a>(&'a self, service: &'a str) -> Lookup<'a, Service> {
        Box::pin(std::future::ready(self.answer(&self.services, service)))
    }
}

/// Vouches for servers.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A server of the test, for as long as the test runs.
struct Server {
    address: SocketAddr,
    /// How many connections came about.
    connections: Arc<AtomicUsize>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("is made");
        Self(CertifiedIssuer::self_signed(params, key).expect("is signed"))
    }

    fn certificate(&self) -> CertificateDer<'static> {
        self.0.as_ref().der().clone()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).expect("is a certificate");
        roots
    }

    /// Serves over TLS, with a certificate of these names.
    async fn serve(&self, names: &[&str], router: Router) -> Server {
        self.accept(names, move |stream| {
            let service = TowerToHyperService::new(router.clone());
            async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await
    }

    /// Answers one request a connection, promises to keep it, and ends it on the next request.
    async fn answer_once(&self, names: &[&str]) -> Server {
        self.accept(names, |mut stream| async move {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nonce")
                .await;
            let _ = stream.read(&mut request).await;
        })
        .await
    }

    async fn accept<F>(
        &self,
        names: &[&str],
        serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static,
    ) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(self.server_config(names));
        let listener = TcpListener::bind((ALLOWED, 0)).await.expect("binds");
        let address = listener.local_addr().expect("is bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                if let Ok(stream) = acceptor.accept(stream).await {
                    running.spawn(serve(stream));
                }
            }
        });
        Server { address, connections }
    }

    fn server_config(&self, names: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("is made");
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("are names");
        let certificate = params.signed_by(&key, &self.0).expect("is signed");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("there are versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .expect("the key is the certificate's");
        Arc::new(config)
    }
}

impl Server {
    fn port(&self) -> u16 {
        self.address.port()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A setup that knows these names and believes this authority.
fn setup(names: &KnownNames, authority: &Authority) -> Setup {
    Setup {
        identity: identity(),
        names: Arc::new(names.clone()),
        access: Arc::new(Outgoing {
            allowed: vec![ALLOWED.into()],
            ..Outgoing::default()
        }),
        roots: authority.roots(),
        allowed: None,
        limits: Limits::default(),
        ports: Ports::default(),
    }
}

/// Ports of servers that name none. A port of 1 is where nobody listens.
fn ports(well_known: u16, federation: u16) -> Ports {
    Ports {
        well_known,
        federation,
    }
}

fn client(setup: Setup) -> FederationClient {
    FederationClient::with(setup).expect("is set up")
}

/// An error with its causes.
fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

#[track_caller]
fn fails<T>(outcome: Result<T, RequestError>, text: &str) {
    let Err(error) = outcome else {
        panic!("was answered, where {text:?} was expected");
    };
    let error = chain(error);
    assert!(error.contains(text), "{error}, where {text:?} was expected");
}

//! What stands in front of a homeserver: a port that is open, and so known, before there is a server behind it. The name of
//! a homeserver may then be `localhost:PORT`, and no port is fixed.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::federation::Certificate;

/// An open port; it closes when dropped. As long as nothing is behind it, connections are closed at once.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    behind: watch::Sender<Option<SocketAddr>>,
    runtime: Option<Runtime>,
}

impl Front {
    /// For a server that speaks TLS itself.
    pub fn open() -> Self {
        Self::with(None)
    }

    /// Speaks TLS with this certificate, and plain HTTP with what is behind it, as a reverse proxy does.
    pub fn terminate_tls(certificate: &Certificate) -> Self {
        Self::with(Some(TlsAcceptor::from(certificate.server_config())))
    }

    fn with(tls: Option<TlsAcceptor>) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (behind, to) = watch::channel(None);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let behind = *to.borrow();
                if let Some(behind) = behind {
                    tokio::spawn(pass_on(stream, tls.clone(), behind));
                }
            }
        });
        Self {
            address,
            behind,
            runtime: Some(runtime),
        }
    }

    /// What the homeserver behind it is called.
    pub fn server_name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// The server behind it listens here.
    pub fn lead_to(&self, address: SocketAddr) {
        self.behind.send_replace(Some(address));
    }

    /// There is no server behind it any more. Connections of before stay as they are.
    pub fn lead_nowhere(&self) {
        self.behind.send_replace(None);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Until either side ends. That one does is nothing to the test: it sees what becomes of the request.
async fn pass_on(stream: TcpStream, tls: Option<TlsAcceptor>, behind: SocketAddr) {
    match tls {
        None => join(stream, behind).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                join(stream, behind).await;
            }
        }
    }
}

async fn join(mut stream: impl AsyncRead + AsyncWrite + Unpin, behind: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(behind).await {
        let _ = copy_bidirectional(&mut stream, &mut server).await;
    }
}

//! Accepting connections, serving them, and stopping without cutting anybody short.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::connection::connection;
use crate::http::listen::{Acceptor, Bound};
use crate::http::{Front, Services, router};

/// How long to wait when the system has no connection to give, as when files run out.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

impl Bound {
    /// Serves until `shutdown` is cancelled, then stops to accept, answers the long-polls, lets the other
    /// requests end, and returns: after [`DRAIN_DEADLINE`](crate::http::DRAIN_DEADLINE) at the latest, when what still runs is cut off.
    pub async fn serve(self, services: Services, shutdown: CancellationToken) {
        let front = router(&services, &self.resources, &shutdown);
        let connections = TaskTracker::new();
        let accepting = accept(&self.acceptor, front, &connections, &shutdown);
        shutdown.run_until_cancelled(accepting).await;
        drop(self.acceptor);
        connections.close();
        connections.wait().await;
    }
}

/// Accepts for ever. The number of connections is bounded by the files that the process may open.
async fn accept(acceptor: &Acceptor, front: Front, connections: &TaskTracker, shutdown: &CancellationToken) {
    loop {
        let accepted = match acceptor {
            Acceptor::Tcp { listener, .. } => listener.accept().await.map(|(stream, _)| {
                // Without it, a small answer may wait for the client's acknowledgement of an earlier one.
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(stream, front.clone(), shutdown.clone()));
            }),
            Acceptor::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| {
                connections.spawn(connection(stream, front.clone(), shutdown.clone()));
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "cannot accept a connection; trying again");
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use tokio::task::JoinHandle;

    use super::*;
    use crate::config::{Bind, Listener, Resource};
    use crate::http::bind;
    use crate::http::client::test_engine::{ALICE, services};
    use crate::http::connection::{DRAIN_DEADLINE, MAX_HEADER_BYTES};

    struct Server {
        address: String,
        shutdown: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Server {
        async fn start(bind_to: Bind) -> Self {
            let listener = Listener {
                bind: bind_to,
                resources: BTreeSet::from([Resource::Client, Resource::Health]),
            };
            let bound = bind(&[listener]).await.expect("a free address").remove(0);
            let shutdown = CancellationToken::new();
            Self {
                address: bound.to_string().replace("http://", ""),
                task: tokio::spawn(bound.serve(services(), shutdown.clone())),
                shutdown,
            }
        }

        async fn start_tcp() -> Self {
            let addresses = vec!["127.0.0.1".parse().expect("an address")];
            Self::start(Bind::Tcp { addresses, port: 0 }).await
        }

        fn connect(&self) -> TcpStream {
            TcpStream::connect(&self.address).expect("connected")
        }

        async fn stops_soon(self) {
            let started = Instant::now();
            self.shutdown.cancel();
            self.task.await.expect("no panic");
            assert!(started.elapsed() < DRAIN_DEADLINE / 2, "{:?}", started.elapsed());
        }
    }

    fn request(start: &str) -> Vec<u8> {
        format!("{start} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\nConnection: close\r\n")
            .into()
    }

    /// Sends `request` and reads until the server closes. It blocks, which the test's own thread may.
    fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> String {
        stream.write_all(request).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn idle_connections_do_not_hold_the_server_up() {
        let server = Server::start_tcp().await;
        let fresh = server.connect();
        let mut used = server.connect();
        used.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nOK") {
            let mut byte = [0];
            used.read_exact(&mut byte).expect("an answer");
            answer.extend(byte);
        }
        server.stops_soon().await;
        drop((fresh, used));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_unix_socket_serves_the_same_and_is_gone_afterwards() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("http.sock");
        let bind_to = Bind::Unix {
            path: path.clone(),
            mode: 0o600,
        };
        let server = Server::start(bind_to).await;
        let mut stream = UnixStream::connect(&path).expect("connected");
        let mut whoami = request("GET /_matrix/client/v3/account/whoami");
        whoami.extend(b"\r\n");
        let answer = exchange(&mut stream, &whoami);
        assert!(answer.contains("\"@alice:example.org\""), "{answer}");
        server.stops_soon().await;
        assert!(!path.exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_body_that_is_far_too_large_still_gets_its_answer() {
        let server = Server::start_tcp().await;
        let size = 20_000_000;
        let mut put = request("PUT /_matrix/client/v3/presence/@alice:example.org/status");
        put.extend(format!("Content-Length: {size}\r\n\r\n").bytes());
        put.resize(put.len() + size, b' ');
        let answer = exchange(&mut server.connect(), &put);
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("M_TOO_LARGE"), "{answer}");
        server.stops_soon().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn headers_that_do_not_end_are_refused() {
        let server = Server::start_tcp().await;
        let mut endless = request("GET /health");
        endless.extend(b"Cookie: ");
        endless.resize(MAX_HEADER_BYTES, b'x');
        let answer = exchange(&mut server.connect(), &endless);
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        server.stops_soon().await;
    }
}

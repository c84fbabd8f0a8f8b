//! Accepting connections, serving them, and stopping without cutting anybody short.
//!
//! HTTP/1.1 only: it is what reverse proxies speak to what is behind them, and its header deadline starts with
//! the connection, where telling HTTP/2 from it would wait for a first byte without one.

use std::error::Error;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::listen::{Acceptor, Bound};
use crate::http::{Front, Services, router};

/// How long requests that run when the server stops may take to end.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take over the headers of a request, and stay idle between two: a bit more than the
/// 60 s for which proxies keep a connection, so that it is they who close it.
const HEADER_DEADLINE: Duration = Duration::from_secs(75);

/// How much memory the headers of a request may take, give or take what one read brings. Room for a sync
/// filter, which stands in the first line.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// How many headers a request may have.
const MAX_HEADERS: usize = 100;

/// How long to wait when the system has no connection to give, as when files run out.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

impl Bound {
    /// Serves until `shutdown` is cancelled, then stops to accept, answers the long-polls, lets the other
    /// requests end, and returns: after [`DRAIN_DEADLINE`] at the latest, when what still runs is cut off.
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

/// Serves one connection to its end. When its client goes, the request that runs is dropped.
///
/// Not an `async fn`: what it is given would be in the future beside what is made of it, for as long as the connection lasts.
pub(super) fn connection<S>(
    stream: S,
    front: Front,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    // On the heap at once, or moving it about would take its size again.
    let mut connection = Box::pin(server.serve_connection(TokioIo::new(stream), front));
    async move {
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let Ok(result) = timeout(DRAIN_DEADLINE, connection).await else {
                    tracing::warn!("a request still runs at the drain deadline; its connection is closed");
                    return;
                };
                result
            }
        };
        if let Err(error) = result {
            // Clients come and go as they like; this is no news to an operator.
            tracing::debug!(error = &error as &dyn Error, "a connection ended early");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Instant;

    use axum::routing::get;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::config::{Bind, Listener, Resource};
    use crate::http::client::test_engine::{ALICE, services};
    use crate::http::routes::Routes;
    use crate::http::{bind, dress};

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

    /// A connection to a handler that says when it was called, and when it was dropped, and waits in between.
    struct Waiting {
        client: UnixStream,
        go: Arc<Notify>,
        dropped: CancellationToken,
        shutdown: CancellationToken,
        served: JoinHandle<()>,
    }

    impl Waiting {
        async fn start() -> Self {
            let (called, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (dropped, shutdown) = (CancellationToken::new(), CancellationToken::new());
            let handler = {
                let (called, go, dropped) = (called.clone(), go.clone(), dropped.clone());
                async move || {
                    let _guard = dropped.drop_guard();
                    called.notify_one();
                    go.notified().await;
                    "done"
                }
            };
            let (mut client, accepted) = UnixStream::pair().expect("a pair");
            accepted.set_nonblocking(true).expect("a socket");
            let accepted = tokio::net::UnixStream::from_std(accepted).expect("a socket");
            let front = dress(Routes::new().route("/", get(handler)));
            let served = tokio::spawn(connection(accepted, front, shutdown.clone()));
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .expect("sent");
            called.notified().await;
            Self {
                client,
                go,
                dropped,
                shutdown,
                served,
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_that_runs_is_answered_before_the_server_stops() {
        let mut waiting = Waiting::start().await;
        waiting.shutdown.cancel();
        sleep(Duration::from_millis(50)).await;
        assert!(!waiting.served.is_finished());
        waiting.go.notify_one();
        let answer = exchange(&mut waiting.client, b"");
        assert!(answer.ends_with("done"), "{answer}");
        waiting.served.await.expect("no panic");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_handler_is_dropped_when_its_client_goes() {
        let waiting = Waiting::start().await;
        drop(waiting.client);
        timeout(Duration::from_secs(5), waiting.dropped.cancelled())
            .await
            .expect("the handler runs on");
        waiting.served.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_cut_off_at_the_deadline() {
        let waiting = Waiting::start().await;
        waiting.shutdown.cancel();
        waiting.served.await.expect("no panic");
        assert!(waiting.dropped.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_left_at_the_deadline() {
        let (client, server) = tokio::net::UnixStream::pair().expect("a pair");
        let started = tokio::time::Instant::now();
        connection(server, dress(Routes::new()), CancellationToken::new()).await;
        assert!(started.elapsed() >= HEADER_DEADLINE);
        drop(client);
    }
}

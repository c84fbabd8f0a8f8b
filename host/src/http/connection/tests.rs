//! A connection with hyper and without: what is asked, answered, cut off and closed is the same.

mod parked;
mod pieces;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::routing::{MethodRouter, any};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::http::connection::connection;
use crate::http::connection::wire::LISTEN_BYTES;
use crate::http::routes::Routes;
use crate::http::{Front, dress};

/// After that long without a byte, hyper has the connection no more.
const LONG: Duration = Duration::from_millis(2_500);

/// Longer than any test, by the clock that it stops.
const TOO_LONG: Duration = Duration::from_mins(10);

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A stream that tells how much room it was last given to read into: who reads it can be seen by that.
struct Watched {
    stream: DuplexStream,
    room: Arc<AtomicUsize>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.room.store(buf.remaining(), Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A client, and its connection.
struct Client {
    stream: DuplexStream,
    room: Arc<AtomicUsize>,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl Client {
    /// Connects to a server whose `/` is this.
    fn of(methods: MethodRouter) -> Self {
        // Less than an answer has, so that one who does not read is felt.
        Self::at(&dress(Routes::new().route("/", methods)), 256)
    }

    /// Connects to this server by a stream that holds that many bytes each way.
    fn at(front: &Front, room: usize) -> Self {
        let (stream, server) = duplex(room);
        let room = Arc::new(AtomicUsize::new(0));
        let watched = Watched {
            stream: server,
            room: Arc::clone(&room),
        };
        let shutdown = CancellationToken::new();
        Self {
            stream,
            room,
            served: tokio::spawn(connection(watched, front.clone(), shutdown.clone())),
            shutdown,
        }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("sent");
    }

    /// Reads up to the end of a body that ends like this, and no further.
    async fn read_to(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            let byte = timeout(TOO_LONG, self.stream.read_u8()).await;
            match byte.expect("an answer in time") {
                Ok(byte) => read.push(byte),
                Err(error) => panic!("{error}: {end:?} is not in {:?}", String::from_utf8_lossy(&read)),
            }
        }
        String::from_utf8(read).expect("text")
    }

    /// Reads until the server closes.
    async fn read_all(&mut self) -> String {
        let mut read = String::new();
        let closed = timeout(TOO_LONG, self.stream.read_to_string(&mut read)).await;
        closed.expect("closed in time").expect("text");
        read
    }

    /// Whether nothing of hyper's is left of the connection.
    fn is_folded(&self) -> bool {
        self.room.load(Ordering::Relaxed) == LISTEN_BYTES
    }

    async fn folded(&self) {
        sleep(LONG).await;
        assert!(self.is_folded());
    }

    async fn ended(self) {
        let ended = timeout(TOO_LONG, self.served).await;
        ended.expect("ended in time").expect("no panic");
    }
}

/// A handler that answers when it is told, and tells when it has been dropped.
#[derive(Clone, Default)]
struct Waiting {
    go: Arc<Notify>,
    dropped: CancellationToken,
}

impl Waiting {
    fn handler(&self) -> MethodRouter {
        let waiting = self.clone();
        any(async move || {
            let _guard = waiting.dropped.drop_guard();
            waiting.go.notified().await;
            "done"
        })
    }

    /// A client that has just asked it.
    async fn asked(&self) -> Client {
        let mut client = Client::of(self.handler());
        client.send(GET).await;
        client
    }
}

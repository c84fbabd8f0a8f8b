//! A socket, and what is to be read before its next byte. Tells the exchange whether bytes come and go. Knows no HTTP.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::connection::exchange::Exchange;

/// How much is read at once without hyper: most requests, so that the rest of one seldom takes another call of the system.
pub(super) const LISTEN_BYTES: usize = 1024;

/// The socket of a connection.
pub(super) struct Wire<S> {
    stream: S,
    ahead: Bytes,
    exchange: Arc<Exchange>,
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listened {
    /// Something, which will be read next.
    Heard,
    /// That nothing more will come.
    Gone,
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// A new one.
    pub(super) fn new(stream: S, exchange: Arc<Exchange>) -> Self {
        Self {
            stream,
            ahead: Bytes::new(),
            exchange,
        }
    }

    /// Whether something is there to be read before the socket is.
    pub(super) fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Has `bytes` be read before all else. They are copied: what they lie in may be much larger.
    pub(super) fn put_ahead(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.ahead = [bytes, &self.ahead].concat().into();
        }
    }

    /// Waits for what the socket has to say, and keeps it, [`LISTEN_BYTES`] at most.
    pub(super) fn poll_listen(&mut self, cx: &mut Context<'_>) -> Poll<Listened> {
        let mut room = [const { MaybeUninit::uninit() }; LISTEN_BYTES];
        let mut heard = ReadBuf::uninit(&mut room);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut heard));
        if read.is_err() || heard.filled().is_empty() {
            return Poll::Ready(Listened::Gone);
        }
        self.exchange.has_read();
        self.ahead = [&self.ahead, heard.filled()].concat().into();
        Poll::Ready(Listened::Heard)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let now = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(now));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.exchange.has_read();
        }
        Poll::Ready(Ok(()))
    }
}

/// hyper flushes when it has nothing more to write, and only then.
impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.exchange.is_writing();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.exchange.is_writing();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.exchange.has_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

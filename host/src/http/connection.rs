//! One connection: hyper reads its requests and writes its answers, and is there only while there is something to do for it.
//!
//! hyper takes 8 kB to read into and 8 kB to write into for each connection, for as long as it lasts. A connection on which
//! nothing has moved for a while is taken apart, and what hyper has of it freed: between two requests, where the next byte makes
//! it anew; and while a request waits for its answer, as a long-poll does. That request goes on here, and when its answer is
//! there, hyper is made anew on a [`Wire`] that begins with a request made up for the answer.
//!
//! HTTP/1.1 only: it is what reverse proxies speak to what is behind them, and its header deadline starts with
//! the connection, where telling HTTP/2 from it would wait for a first byte without one.
//!
//! Knows no route, and neither reads nor writes HTTP.

mod exchange;
mod wire;

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::http::Front;
use crate::http::connection::exchange::{Answers, Exchange, Standing};
use crate::http::connection::wire::{Listened, Wire};

/// How long requests that run when the server stops may take to end.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take over the headers of a request, and stay idle between two: a bit more than the
/// 60 s for which proxies keep a connection, so that it is they who close it.
const HEADER_DEADLINE: Duration = Duration::from_secs(75);

/// How much memory the headers of a request may take, give or take what one read brings. Room for a sync
/// filter, which stands in the first line.
pub(super) const MAX_HEADER_BYTES: usize = 64 * 1024;

/// How many headers a request may have.
const MAX_HEADERS: usize = 100;

/// How often a connection that hyper has is looked at; one on which nothing has moved between two looks is taken from it. A
/// timer for each look, and none for each request, is what it costs a busy connection.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Serves one connection to its end. When its client goes, the request that runs is dropped. When `shutdown` is cancelled, the
/// request that runs is answered within [`DRAIN_DEADLINE`], and the connection closed.
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
    let exchange = Arc::new(Exchange::new(front, Instant::now()));
    let mut phase = Phase::Silent(Wire::new(stream, Arc::clone(&exchange)));
    async move {
        let mut stop = pin!(shutdown.cancelled());
        // Until when it may be silent; until the next look; or, when the server stops, until it is cut.
        let mut timer = pin!(sleep(HEADER_DEADLINE));
        let mut server = Server::Runs;
        loop {
            let has_deadline = server == Server::Stops || !matches!(phase, Phase::Parked(_));
            // The connection first: when the server stops, what its client has asked by then is answered.
            let turn = tokio::select! {
                biased;
                turn = poll_fn(|cx| phase.poll(cx, &exchange)) => turn,
                () = stop.as_mut(), if server == Server::Runs => {
                    server = Server::Stops;
                    timer.as_mut().reset(Instant::now() + DRAIN_DEADLINE);
                    phase.stop()
                }
                () = timer.as_mut(), if has_deadline => {
                    if server == Server::Stops {
                        tracing::warn!("a request still runs at the drain deadline; its connection is closed");
                        return;
                    }
                    poll_fn(|cx| Poll::Ready(phase.look(cx, &exchange))).await
                }
            };
            let due = match turn {
                Turn::Over => return,
                Turn::Wait(until) => until,
                Turn::Serve(first) => {
                    phase = phase.served(first, &exchange, server);
                    Instant::now() + LOOK_INTERVAL
                }
                Turn::Fold => {
                    phase = phase.folded(&exchange);
                    exchange.silent_since(Instant::now()) + HEADER_DEADLINE
                }
            };
            if server == Server::Runs {
                timer.as_mut().reset(due);
            }
        }
    }
}

/// What the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Runs,
    Stops,
}

/// What hyper has of a connection.
type Served<S> = http1::Connection<TokioIo<Wire<S>>, Answers>;

/// Where a connection is.
enum Phase<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Nobody has asked anything, or not all of it.
    Silent(Wire<S>),
    /// hyper has it: requests come, and answers go. With a permit it stays so until a look has found it quiet; without, until
    /// there is nothing to do.
    Served(Box<Served<S>>, Option<OwnedSemaphorePermit>),
    /// A request waits for its answer, without hyper.
    Parked(Wire<S>),
}

/// What is next.
enum Turn {
    /// The connection has ended.
    Over,
    /// hyper is to have it, and to read this before what the client has sent.
    Serve(&'static [u8]),
    /// hyper is to have it no more.
    Fold,
    /// It goes on, and is to be looked at then.
    Wait(Instant),
}

impl<S> Phase<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Goes on.
    fn poll(&mut self, cx: &mut Context<'_>, exchange: &Arc<Exchange>) -> Poll<Turn> {
        match self {
            Self::Silent(wire) => wire.poll_listen(cx).map(|heard| match heard {
                Listened::Heard => Turn::Serve(&[]),
                Listened::Gone => Turn::Over,
            }),
            Self::Parked(wire) => {
                if let Poll::Ready(stand_in) = exchange.poll_answered(cx) {
                    return Poll::Ready(Turn::Serve(stand_in));
                }
                // What comes now is the next request. Once there is some, nobody listens on: what is kept has a bound.
                if !wire.has_ahead() && wire.poll_listen(cx) == Poll::Ready(Listened::Gone) {
                    return Poll::Ready(Turn::Over);
                }
                Poll::Pending
            }
            Self::Served(http, stay) => {
                let ended = poll_served(http, cx);
                if ended.is_ready() || stay.is_some() || exchange.standing() == Standing::Busy {
                    return ended;
                }
                poll_rest(http, cx, exchange)
            }
        }
    }

    /// The time that was set for it has come.
    fn look(&mut self, cx: &mut Context<'_>, exchange: &Arc<Exchange>) -> Turn {
        let now = Instant::now();
        let Self::Served(http, _) = self else {
            return Turn::Over;
        };
        let quiet = !exchange.take_stirred();
        if exchange.standing() == Standing::Busy {
            return Turn::Wait(now + LOOK_INTERVAL);
        }
        if exchange.silent_since(now) + HEADER_DEADLINE <= now {
            return Turn::Over;
        }
        if quiet && let Poll::Ready(turn) = poll_rest(http, cx, exchange) {
            return turn;
        }
        Turn::Wait(now + LOOK_INTERVAL)
    }

    /// The server stops.
    fn stop(&mut self) -> Turn {
        match self {
            Self::Silent(_) => return Turn::Over,
            Self::Served(http, _) => Pin::new(http.as_mut()).graceful_shutdown(),
            // It is answered, and closed then.
            Self::Parked(_) => {}
        }
        Turn::Wait(Instant::now() + DRAIN_DEADLINE)
    }

    /// Handed to hyper, which reads `first` before what the client has sent.
    fn served(self, first: &[u8], exchange: &Arc<Exchange>, server: Server) -> Self {
        let (Self::Silent(mut wire) | Self::Parked(mut wire)) = self else {
            return self;
        };
        wire.put_ahead(first);
        let mut builder = http1::Builder::new();
        builder
            // It would take a timer for each request; the deadline is kept here.
            .header_read_timeout(None)
            .max_buf_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .keep_alive(server == Server::Runs);
        // On the heap at once, or moving it about would take its size again.
        let http = Box::new(builder.serve_connection(TokioIo::new(wire), Answers(Arc::clone(exchange))));
        Self::Served(http, exchange.front().permit_to_stay())
    }

    /// Taken from hyper, which has read and written all that it can.
    fn folded(self, exchange: &Arc<Exchange>) -> Self {
        let Self::Served(http, _) = self else {
            return self;
        };
        let waits = exchange.standing() == Standing::Parkable;
        let parts = http.into_parts();
        let mut wire = parts.io.into_inner();
        // The beginning of the next request.
        wire.put_ahead(&parts.read_buf);
        if waits {
            Self::Parked(wire)
        } else {
            Self::Silent(wire)
        }
    }
}

/// Has hyper go on.
fn poll_served<S>(http: &mut Served<S>, cx: &mut Context<'_>) -> Poll<Turn>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Pin::new(http).poll(cx).map(|ended| {
        if let Err(error) = ended {
            // Clients come and go as they like; this is no news to an operator.
            tracing::debug!(error = &error as &dyn Error, "a connection ended early");
        }
        Turn::Over
    })
}

/// Has hyper go on once more, and is ready to fold when it could do nothing: it may have stopped before with a request at hand,
/// and another thread may have dropped a body that it was reading to.
fn poll_rest<S>(http: &mut Served<S>, cx: &mut Context<'_>, exchange: &Arc<Exchange>) -> Poll<Turn>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    exchange.take_stirred();
    let ended = poll_served(http, cx);
    if ended.is_ready() {
        return ended;
    }
    if !exchange.take_stirred() && exchange.standing() != Standing::Busy {
        Poll::Ready(Turn::Fold)
    } else {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;

//! The request of a connection and the way to its answer, shared by the connection and by what hyper has of it, so that the
//! request can go on without hyper.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Version};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::http::Front;
use crate::http::front::Answering;

/// How many hold an exchange while nothing is asked: the connection, its wire, and what hyper calls.
const HOLDERS: usize = 3;

/// What a connection is answering.
pub(super) struct Exchange {
    front: Front,
    /// Never contended: all that locks it belongs to one task.
    state: Mutex<State>,
    /// Whether bytes have come or gone since somebody asked.
    stirred: AtomicBool,
    /// Whether bytes are to go that the socket has not taken yet.
    unflushed: AtomicBool,
}

struct State {
    stage: Stage,
    /// Since when nobody has asked anything, once that was looked at.
    silent_since: Option<Instant>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a request on the heap would be an allocation for each"
)]
enum Stage {
    /// Nothing is asked, or the answer is hyper's already.
    Empty,
    /// A request is being answered.
    Running {
        answering: Answering,
        /// What hyper may be given in its place when its answer is there; none if it must stay with hyper.
        stand_in: Option<StandIn>,
    },
    /// Its answer, until hyper fetches it.
    Answered(Response),
}

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Between two requests, or in the midst of the headers of one.
    Idle,
    /// A request is being answered of which hyper has nothing more to read, and nothing yet to write.
    Parkable,
    /// Anything else: hyper has a part of a request or of an answer.
    Busy,
}

impl Exchange {
    /// Of a connection that was accepted `now`.
    pub(super) fn new(front: Front, now: Instant) -> Self {
        Self {
            front,
            state: Mutex::new(State {
                stage: Stage::Empty,
                silent_since: Some(now),
            }),
            stirred: AtomicBool::new(false),
            unflushed: AtomicBool::new(false),
        }
    }

    /// How it stands, while hyper has the connection.
    pub(super) fn standing(self: &Arc<Self>) -> Standing {
        if self.unflushed.load(Ordering::Relaxed) {
            return Standing::Busy;
        }
        match self.state.lock().stage {
            Stage::Running {
                stand_in: Some(_), ..
            } => Standing::Parkable,
            // Whoever else holds it is a body that has not come to its end, in or out.
            Stage::Empty if Arc::strong_count(self) == HOLDERS => Standing::Idle,
            _ => Standing::Busy,
        }
    }

    /// Since when an idle connection has been so, as far as this was asked before; `now` otherwise, or while somebody waits
    /// for an answer.
    pub(super) fn silent_since(&self, now: Instant) -> Instant {
        let mut state = self.state.lock();
        match state.stage {
            Stage::Empty => *state.silent_since.get_or_insert(now),
            Stage::Running { .. } | Stage::Answered(_) => now,
        }
    }

    /// Who answers.
    pub(super) fn front(&self) -> &Front {
        &self.front
    }

    /// Drives the request that runs. When its answer is there, hyper is to be given what is returned, and will fetch the answer.
    /// Never ready when none runs that has a stand-in.
    pub(super) fn poll_answered(&self, cx: &mut Context<'_>) -> Poll<StandIn> {
        let mut state = self.state.lock();
        let Stage::Running {
            answering,
            stand_in: Some(stand_in),
        } = &mut state.stage
        else {
            return Poll::Pending;
        };
        let stand_in = *stand_in;
        let answer = ready!(poll(answering, cx));
        state.stage = Stage::Answered(answer);
        Poll::Ready(stand_in)
    }

    /// Whether bytes have come or gone since this was last asked.
    pub(super) fn take_stirred(&self) -> bool {
        self.stirred.swap(false, Ordering::Relaxed)
    }

    /// Bytes have come.
    pub(super) fn has_read(&self) {
        self.stirred.store(true, Ordering::Relaxed);
    }

    /// Bytes are to go.
    pub(super) fn is_writing(&self) {
        self.stirred.store(true, Ordering::Relaxed);
        self.unflushed.store(true, Ordering::Relaxed);
    }

    /// All that was to go has gone.
    pub(super) fn has_flushed(&self) {
        self.unflushed.store(false, Ordering::Relaxed);
    }
}

fn poll(answering: &mut Answering, cx: &mut Context<'_>) -> Poll<Response> {
    let Ok(answer) = ready!(Pin::new(answering).poll(cx));
    Poll::Ready(answer)
}

/// The head of a request that hyper answers as it would have answered another: with that one's version, and closing the
/// connection or not as that one wants it.
pub(super) type StandIn = &'static [u8];

/// The one for `request`; none for a request that is no `GET`, whose answer is written in another way, or has a body, of which
/// hyper may still have a part to read.
fn stand_in(request: &Request<Incoming>) -> Option<StandIn> {
    if request.method() != Method::GET || !request.body().is_end_stream() {
        return None;
    }
    let headers = request.headers();
    match request.version() {
        Version::HTTP_11 if says(headers, "close") => Some(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
        Version::HTTP_11 => Some(b"GET / HTTP/1.1\r\n\r\n"),
        Version::HTTP_10 if says(headers, "keep-alive") => {
            Some(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        }
        Version::HTTP_10 => Some(b"GET / HTTP/1.0\r\n\r\n"),
        _ => None,
    }
}

/// Whether the header `Connection` has this word.
fn says(headers: &HeaderMap<HeaderValue>, word: &str) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    values.any(|value| {
        let mut words = value.as_bytes().split(|&byte| byte == b',');
        words.any(|said| said.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// What hyper calls with each request.
pub(super) struct Answers(pub(super) Arc<Exchange>);

impl hyper::service::Service<Request<Incoming>> for Answers {
    type Response = axum::http::Response<Held<Body>>;
    type Error = Infallible;
    type Future = Awaited;

    fn call(&self, request: Request<Incoming>) -> Awaited {
        let exchange = &self.0;
        let awaited = Awaited(Arc::clone(exchange));
        let mut state = exchange.state.lock();
        state.silent_since = None;
        // The first request after a parked one is the stand-in.
        if matches!(state.stage, Stage::Answered(_)) {
            return awaited;
        }
        let stand_in = stand_in(&request);
        let answering = if request.body().is_end_stream() {
            exchange.front.answer(request.map(|_| Body::empty()))
        } else {
            exchange.front.answer(request.map(|body| Held {
                body,
                _exchange: Arc::clone(exchange),
            }))
        };
        state.stage = Stage::Running { answering, stand_in };
        awaited
    }
}

/// A request as hyper sees it. When hyper drops it, the request stays, until the connection has ended.
pub(super) struct Awaited(Arc<Exchange>);

impl Future for Awaited {
    type Output = Result<axum::http::Response<Held<Body>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state.lock();
        if let Stage::Running { answering, .. } = &mut state.stage {
            let answer = ready!(poll(answering, cx));
            state.stage = Stage::Answered(answer);
        }
        let Stage::Answered(answer) = std::mem::replace(&mut state.stage, Stage::Empty) else {
            // hyper polls it no more once it has the answer.
            return Poll::Pending;
        };
        Poll::Ready(Ok(answer.map(|body| Held {
            body,
            _exchange: Arc::clone(&self.0),
        })))
    }
}

/// A body, which keeps its connection from being idle until all of it has been read, or it is dropped.
pub(super) struct Held<B> {
    // Dropped before the other: then, hyper knows it too.
    body: B,
    _exchange: Arc<Exchange>,
}

impl<B: HttpBody + Unpin> HttpBody for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! What is the same for every request of a listener: it is counted and logged, a panic is answered, browsers find the
//! headers that they ask for.
//!
//! Stands around the whole router. As a layer of axum's it would stand around each route, and cost a request a copy of the
//! route's handler and a future on the heap, which waits as long as the request does.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use crate::http::metrics::SameOriginOnly;
use crate::http::observe::Observed;
use crate::http::routes::Routes;
use crate::metrics::RouteMetrics;

/// The route of a path that is none.
const NO_ROUTE: &str = "none";

/// What every answer but the metrics carries: CORS as the [specification] asks, on errors too, and no caching.
///
/// [specification]: https://spec.matrix.org/v1.16/client-server-api/#web-browser-clients
pub(super) static EVERY_ANSWER: [(HeaderName, HeaderValue); 5] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    ),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("X-Requested-With, Content-Type, Authorization, Date"),
    ),
    // A client in a browser sees this header of a 429 only when it is exposed.
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Retry-After"),
    ),
    (
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate"),
    ),
];

/// Who is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Browsers {
    /// Pages of any origin too: preflights are answered, and every answer says so.
    Welcome,
    /// None.
    Unknown,
}

/// What is made of a panic's payload.
pub(super) type Panicked = fn(Box<dyn Any + Send>) -> Response;

/// All that a listener serves. Clones are the same.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

struct Inner {
    dispatch: Router,
    by_path: matchit::Router<RouteMetrics>,
    no_route: RouteMetrics,
    browsers: Browsers,
    panicked: Panicked,
    staying: Arc<Semaphore>,
}

/// How many connections of a listener may keep hyper's buffers, of 16 kB each, while nothing moves on them for a moment. Those
/// that ask again at once are then spared the making of them; when there are more, memory is what counts.
const MAY_STAY: usize = 256;

impl Front {
    /// In front of these routes.
    pub(super) fn of(routes: Routes, browsers: Browsers, panicked: Panicked) -> Self {
        let (dispatch, patterns) = routes.into_parts();
        let mut by_path = matchit::Router::new();
        for pattern in patterns {
            by_path
                .insert(pattern.as_ref(), RouteMetrics::of(&pattern))
                .expect("axum's router is made of the same, and has taken the pattern");
        }
        Self(Arc::new(Inner {
            dispatch,
            by_path,
            no_route: RouteMetrics::of(NO_ROUTE),
            browsers,
            panicked,
            staying: Arc::new(Semaphore::new(MAY_STAY)),
        }))
    }

    /// For a connection, to keep hyper's buffers for a moment in which nothing moves; none when enough others do.
    pub(super) fn permit_to_stay(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.staying).try_acquire_owned().ok()
    }

    /// Begins to answer.
    pub(super) fn answer<B>(&self, mut request: Request<B>) -> Answering
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let front = &*self.0;
        let route = front.by_path.at(request.uri().path());
        let route = route.map_or(&front.no_route, |found| found.value);
        let observed = Observed::begin(route.clone(), request.method());
        if let Some(caller) = observed.caller() {
            request.extensions_mut().insert(caller.clone());
        }
        let asked = match (front.browsers, request.method()) {
            (Browsers::Welcome, &Method::OPTIONS) => Asked::Preflight,
            _ => Asked::Something,
        };
        Answering {
            front: Arc::clone(&self.0),
            asked,
            routed: front.dispatch.clone().call(request),
            observed: Some(observed),
        }
    }
}

/// As tests call it.
impl<B> Service<Request<B>> for Front
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        self.answer(request)
    }
}

/// What the browser, if it is one, wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whether it may ask.
    Preflight,
    /// What it asks for.
    Something,
}

/// A request that is being served; when its client goes, it is dropped.
pub struct Answering {
    front: Arc<Inner>,
    asked: Asked,
    routed: RouteFuture<Infallible>,
    /// Until there is an answer.
    observed: Option<Observed>,
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let routed = Pin::new(&mut self.routed);
        // What a handler leaves half done when it panics is its own: it is dropped, and the locks of the engine have no poison.
        let mut response = match catch_unwind(AssertUnwindSafe(|| routed.poll(cx))) {
            Ok(answered) => ready!(answered).unwrap_or_else(|never| match never {}),
            Err(payload) => (self.front.panicked)(payload),
        };
        if self.asked == Asked::Preflight {
            response = allowed(&response);
        }
        if self.front.browsers == Browsers::Welcome {
            add_headers(&mut response);
        }
        if let Some(observed) = self.observed.take() {
            observed.ended(response.status());
        }
        Poll::Ready(Ok(response))
    }
}

/// The answer to a preflight, on every path, known or not. `unhandled` is the router's: no route has the method, and what it
/// says of those that a known path has stays.
fn allowed(unhandled: &Response) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(methods) = unhandled.headers().get(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, methods.clone());
    }
    response
}

/// Adds the headers of every answer.
fn add_headers(response: &mut Response) {
    let same_origin_only = response.extensions().get::<SameOriginOnly>().is_some();
    let cross_origin = |name: &HeaderName| name.as_str().starts_with("access-control-");
    let headers = response.headers_mut();
    headers.reserve(EVERY_ANSWER.len());
    for (name, value) in &EVERY_ANSWER {
        if !(same_origin_only && cross_origin(name)) {
            headers.insert(name, value.clone());
        }
    }
}

/// How many headers most answers have: those above, and what there is to say of the body.
const HEADERS: usize = EVERY_ANSWER.len() + 2;

/// An answer whose body is JSON, with room for all of its headers: the map of headers would otherwise grow three times.
pub(super) fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

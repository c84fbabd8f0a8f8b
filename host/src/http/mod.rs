//! The HTTP face of the server: parse, authenticate, answer.
//!
//! Owns the listeners, the routes of each resource, the errors as Matrix spells them, and the headers that
//! every answer carries. Must not know how presence is kept, routed or delivered: it asks the engine.

use std::any::Any;
use std::collections::BTreeSet;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::Resource;
use crate::engine::Engine;
use crate::http::error::MatrixError;
use crate::http::metrics::SameOriginOnly;
use crate::metrics::{Exposition, HttpMetrics};

pub mod admin;
mod body;
mod client;
mod error;
mod federation;
mod health;
mod listen;
mod metrics;
mod observe;
mod serve;

pub use crate::http::federation::{Federation, OurKeys};
pub use crate::http::listen::{BindError, Bound, bind};
pub use crate::http::serve::DRAIN_DEADLINE;

/// What every answer but the metrics carries: CORS as the [specification] asks, on errors too, and no caching.
///
/// [specification]: https://spec.matrix.org/v1.16/client-server-api/#web-browser-clients
const EVERY_ANSWER: [(HeaderName, HeaderValue); 5] = [
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

/// How many headers hyper and axum add.
const ADDED_LATER: usize = 3;

/// What the listeners give access to. Clones are the same.
#[derive(Clone)]
pub struct Services {
    /// The presence server.
    pub engine: Engine,
    /// What it measures of itself.
    pub metrics: Exposition,
    /// What is needed to speak to other homeservers. Without it, the resource `federation` has no routes.
    pub federation: Option<Federation>,
}

/// The routes of `resources`; all else is 404 `M_UNRECOGNIZED`. When `shutdown` is cancelled, the long-polls
/// that wait in it answer at once.
pub fn router(services: &Services, resources: &BTreeSet<Resource>, shutdown: &CancellationToken) -> Router {
    let mut routes = Router::new();
    for resource in resources {
        routes = routes.merge(match resource {
            Resource::Federation => match &services.federation {
                Some(federation) => federation::routes(services.engine.clone(), federation),
                None => Router::new(),
            },
            Resource::Client => client::routes(services.engine.clone(), shutdown.clone()),
            Resource::Health => health::routes(),
            Resource::Metrics => metrics::routes(services.metrics.clone()),
        });
    }
    dress(routes)
}

/// Adds what is the same for every route: the answers to unknown paths and methods, a panic as a 500, and
/// the headers of every answer.
fn dress(routes: Router) -> Router {
    routes
        .fallback(async || MatrixError::UnknownEndpoint)
        .method_not_allowed_fallback(async || MatrixError::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(panicked))
        // One for both: each costs a request some allocations.
        .layer(middleware::from_fn_with_state(HttpMetrics::new(), observed))
}

async fn observed(metrics: State<HttpMetrics>, request: Request, next: Next) -> Response {
    observe::observe(metrics, request, |request| cross_origin(request, next)).await
}

/// Answers every preflight, known path or not, and adds the headers of every answer.
async fn cross_origin(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    response.headers_mut().reserve(EVERY_ANSWER.len() + ADDED_LATER);
    let same_origin_only = response.extensions().get::<SameOriginOnly>().is_some();
    let cross_origin = |name: &HeaderName| name.as_str().starts_with("access-control-");
    for (name, value) in EVERY_ANSWER {
        if !(same_origin_only && cross_origin(&name)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the payload over")]
fn panicked(payload: Box<dyn Any + Send>) -> Response {
    log_panic(&*payload);
    MatrixError::Internal.into_response()
}

fn log_panic(payload: &(dyn Any + Send)) {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(
        message,
        "a request handler panicked; this is a bug, please report it"
    );
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;

    async fn ask(routes: Router, method: Method, path: &str) -> (StatusCode, Response) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .expect("the parts are valid");
        let response = dress(routes)
            .oneshot(request)
            .await
            .expect("a router cannot fail");
        (response.status(), response)
    }

    #[tokio::test]
    async fn a_panic_is_a_matrix_error_that_a_browser_may_read() {
        let routes = Router::new().route("/boom", get(async || -> StatusCode { panic!("boom") }));
        let (status, response) = ask(routes, Method::GET, "/boom").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let body = axum::body::to_bytes(response.into_body(), 1024)
            .await
            .expect("the body is short");
        let body: Value = serde_json::from_slice(&body).expect("the body is JSON");
        assert_eq!(
            body,
            json!({"errcode": "M_UNKNOWN", "error": "internal server error"})
        );
    }

    #[tokio::test]
    async fn a_preflight_is_answered_on_every_path() {
        for path in ["/health", "/nothing"] {
            let (status, response) = ask(health::routes(), Method::OPTIONS, path).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{path}");
            for (name, value) in EVERY_ANSWER {
                assert_eq!(response.headers()[&name], value, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn only_the_listeners_resources_are_served() {
        for (path, expected) in [
            ("/health", StatusCode::OK),
            ("/health/", StatusCode::NOT_FOUND),
            ("/_matrix/client/versions", StatusCode::NOT_FOUND),
        ] {
            assert_eq!(
                ask(health::routes(), Method::GET, path).await.0,
                expected,
                "{path}"
            );
        }
        assert_eq!(
            ask(health::routes(), Method::POST, "/health").await.0,
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}

//! The HTTP face of the server: parse, authenticate, answer.
//!
//! Owns the listeners, the routes of each resource, the errors as Matrix spells them, and the headers that
//! every answer carries. Must not know how presence is kept, routed or delivered: it asks the engine.

use std::any::Any;
use std::collections::BTreeSet;

use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use crate::config::Resource;
use crate::engine::Engine;
use crate::http::error::MatrixError;
use crate::http::front::Browsers;
use crate::http::routes::Routes;
use crate::metrics::Exposition;

pub mod admin;
mod body;
mod client;
mod connection;
mod error;
mod federation;
mod front;
mod health;
mod listen;
mod metrics;
mod observe;
mod routes;
mod serve;

pub use crate::http::connection::DRAIN_DEADLINE;
pub use crate::http::federation::{Federation, OurKeys};
pub use crate::http::front::{Answering, Front};
pub use crate::http::listen::{BindError, Bound, bind};

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
pub fn router(services: &Services, resources: &BTreeSet<Resource>, shutdown: &CancellationToken) -> Front {
    let mut routes = Routes::new();
    for resource in resources {
        routes = routes.merge(match resource {
            Resource::Federation => match &services.federation {
                Some(federation) => federation::routes(services.engine.clone(), federation),
                None => Routes::new(),
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
fn dress(routes: Routes) -> Front {
    let routes = routes.or_else(
        async || MatrixError::UnknownEndpoint,
        async || MatrixError::MethodNotAllowed,
    );
    Front::of(routes, Browsers::Welcome, panicked)
}

#[expect(clippy::needless_pass_by_value, reason = "the payload is handed over")]
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
    use axum::http::{Method, Request, StatusCode, header};
    use axum::routing::get;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::http::front::EVERY_ANSWER;

    async fn ask(routes: Routes, method: Method, path: &str) -> (StatusCode, Response) {
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
        let routes = Routes::new().route("/boom", get(async || -> StatusCode { panic!("boom") }));
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
            for (name, value) in &EVERY_ANSWER {
                assert_eq!(response.headers()[name], value, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn a_preflight_says_which_methods_a_known_path_has() {
        let allow = async |path| {
            let (_, response) = ask(health::routes(), Method::OPTIONS, path).await;
            response.headers().get(header::ALLOW).cloned()
        };
        assert_eq!(allow("/health").await.expect("a header Allow"), "GET,HEAD");
        assert_eq!(allow("/nothing").await, None);
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

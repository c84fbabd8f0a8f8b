//! `/metrics` and `/_synapse/metrics`: what the server measures of itself, for Prometheus. Knows no metric.
//!
//! Anybody who reaches the listener may read them, as in Synapse; but not a web page in the browser of somebody who does.

use axum::Extension;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::http::routes::Routes;
use crate::metrics::{self, Exposition};

/// Marks an answer that pages of other origins must not read: it gets no CORS headers.
#[derive(Debug, Clone, Copy)]
pub(super) struct SameOriginOnly;

/// The routes.
pub(super) fn routes(exposition: Exposition) -> Routes {
    Routes::new()
        .route("/metrics", get(scrape))
        .route("/_synapse/metrics", get(scrape))
        .with_state(exposition)
}

async fn scrape(State(exposition): State<Exposition>) -> impl IntoResponse {
    (
        Extension(SameOriginOnly),
        [(CONTENT_TYPE, metrics::CONTENT_TYPE)],
        exposition.render(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
    use axum::http::{Request, Response, StatusCode};
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    use super::*;
    use crate::config::Resource;
    use crate::http::client::test_engine::services;
    use crate::http::router;

    async fn ask(resource: Resource, path: &str) -> Response<Body> {
        let router = router(
            &services(),
            &BTreeSet::from([resource]),
            &CancellationToken::new(),
        );
        let request = Request::get(path).body(Body::empty()).expect("a request");
        router.oneshot(request).await.expect("a router cannot fail")
    }

    #[tokio::test]
    async fn both_paths_answer_in_the_form_that_prometheus_asks_for_and_not_to_other_origins() {
        for path in ["/metrics", "/_synapse/metrics"] {
            let response = ask(Resource::Metrics, path).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(
                response.headers()[CONTENT_TYPE],
                "text/plain; version=0.0.4; charset=utf-8"
            );
            assert_eq!(
                response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN),
                None,
                "{path}"
            );
            assert!(response.headers().contains_key(CACHE_CONTROL), "{path}");
            let body = axum::body::to_bytes(response.into_body(), 1 << 20)
                .await
                .expect("short");
            let text = String::from_utf8(body.to_vec()).expect("text");
            assert!(text.contains("# TYPE process_start_time_seconds gauge"), "{text}");
        }
    }

    #[tokio::test]
    async fn other_resources_do_not_tell_of_them() {
        for resource in [Resource::Client, Resource::Health] {
            for path in ["/metrics", "/_synapse/metrics"] {
                assert_eq!(
                    ask(resource, path).await.status(),
                    StatusCode::NOT_FOUND,
                    "{resource} {path}"
                );
            }
        }
        assert_eq!(
            ask(Resource::Metrics, "/health").await.status(),
            StatusCode::NOT_FOUND
        );
    }
}

//! Counts and logs each request when it has ended, with its answer or without. Knows no endpoint.
//!
//! The path and the query are neither a label nor logged: there may be an access token in them, and no end to their number.
//! The pattern of the route stands for them.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, Method};
use axum::middleware::Next;
use axum::response::Response;
use presence_router_api::UserId;
use tokio::time::Instant;
use tracing::Level;

use crate::metrics::{CLIENT_GONE, HttpMetrics, RunningRequest};

/// Where the log's lines come from.
const ACCESS: &str = "presence_router::http::access";

/// The route of a path that is none.
const NO_ROUTE: &str = "none";

/// Says who asks, to whoever logs the request.
pub(super) fn asked_by(parts: &Parts, user: &UserId) {
    if let Some(caller) = parts.extensions.get::<Caller>() {
        // Who asks is found out once.
        let _ = caller.0.set(user.clone());
    }
}

/// Observes a request.
pub(super) async fn observe<F>(
    State(metrics): State<HttpMetrics>,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let mut observed = Observed::begin(metrics, request.method(), request.extensions());
    if let Some(caller) = &observed.caller {
        request.extensions_mut().insert(caller.clone());
    }
    let response = answer(request).await;
    observed.status = response.status().as_u16();
    response
}

/// Observes a request, as a layer of its own.
pub(super) async fn layer(metrics: State<HttpMetrics>, request: Request, next: Next) -> Response {
    observe(metrics, request, |request| next.run(request)).await
}

/// Who asks, once that is known. Only there when it will be logged.
#[derive(Clone, Default)]
struct Caller(Arc<OnceLock<UserId>>);

/// A request that is being served; told of when it is dropped, as it is when its client goes.
struct Observed {
    metrics: HttpMetrics,
    _running: RunningRequest,
    began: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
    caller: Option<Caller>,
    status: u16,
}

impl Observed {
    fn begin(metrics: HttpMetrics, method: &Method, extensions: &Extensions) -> Self {
        Self {
            _running: metrics.begin(),
            metrics,
            began: Instant::now(),
            method: method_name(method),
            route: extensions.get::<MatchedPath>().cloned(),
            caller: tracing::enabled!(target: ACCESS, Level::DEBUG).then(Caller::default),
            status: CLIENT_GONE,
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let route = self.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
        let (method, status) = (self.method, self.status);
        self.metrics.ended(method, route, status, took);
        let user = self.caller.as_ref().and_then(|caller| caller.0.get());
        tracing::debug!(
            target: ACCESS,
            method,
            route,
            status,
            duration_ms = took.as_secs_f64() * 1_000.0,
            user = user.map(tracing::field::display),
            "request"
        );
    }
}

/// One of a fixed set: a client may write any method.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::task::Poll;

    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::metrics::Exposition;

    async fn ask(router: &Router, method: &str, path: &str) -> StatusCode {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).expect("a request");
        let answer = router.clone().oneshot(request).await;
        answer.expect("a router cannot fail").status()
    }

    #[tokio::test]
    async fn a_request_is_counted_by_its_route_however_it_ends() {
        let (recorder, exposition) = Exposition::for_test();
        let _recorded = metrics::set_default_local_recorder(&recorder);
        let router = Router::new()
            .route("/users/{user}", get(async || "hello"))
            .route("/never", get(pending::<()>))
            .layer(from_fn_with_state(HttpMetrics::new(), layer));
        for (method, path) in [
            ("GET", "/users/a?access_token=secret"),
            ("GET", "/users/b"),
            ("BREW", "/users/b"),
            ("GET", "/nothing/secret"),
        ] {
            ask(&router, method, path).await;
        }
        let mut gone = Box::pin(ask(&router, "GET", "/never"));
        assert!(poll_fn(|cx| Poll::Ready(gone.as_mut().poll(cx).is_pending())).await);
        let running = "presence_router_http_requests_running";
        assert!(exposition.render().contains(&format!("\n{running} 1\n")));
        drop(gone);

        let text = exposition.render();
        for line in [
            r#"presence_router_http_requests_total{method="GET",route="/users/{user}",status="200"} 2"#,
            r#"presence_router_http_requests_total{method="other",route="/users/{user}",status="405"} 1"#,
            r#"presence_router_http_requests_total{method="GET",route="none",status="404"} 1"#,
            r#"presence_router_http_requests_total{method="GET",route="/never",status="499"} 1"#,
            r#"presence_router_http_request_duration_seconds_count{method="GET",route="/users/{user}"} 2"#,
            "presence_router_http_requests_running 0",
        ] {
            assert!(text.lines().any(|got| got == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("secret"), "{text}");
    }
}

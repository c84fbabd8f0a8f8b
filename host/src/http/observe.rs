//! Counts and logs each request when it has ended, with its answer or without. Knows no endpoint.
//!
//! The path and the query are neither a label nor logged: there may be an access token in them, and no end to their number.
//! The pattern of the route stands for them.

use std::sync::{Arc, OnceLock};

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use presence_router_api::UserId;
use tokio::time::Instant;
use tracing::Level;

use crate::metrics::{CLIENT_GONE, RouteMetrics, RunningRequest};

/// Where the log's lines come from.
const ACCESS: &str = "presence_router::http::access";

/// Says who asks, to whoever logs the request.
pub(super) fn asked_by(parts: &Parts, user: &UserId) {
    if let Some(caller) = parts.extensions.get::<Caller>() {
        // Who asks is found out once.
        let _ = caller.0.set(user.clone());
    }
}

/// Who asks, once that is known. Only there when it will be logged.
#[derive(Clone, Default)]
pub(super) struct Caller(Arc<OnceLock<UserId>>);

/// A request that is being served; told of when it is dropped, as it is when its client goes.
pub(super) struct Observed {
    running: RunningRequest,
    began: Instant,
    method: &'static str,
    caller: Option<Caller>,
    status: u16,
}

impl Observed {
    /// A request for `route` begins.
    pub(super) fn begin(route: RouteMetrics, method: &Method) -> Self {
        Self {
            running: route.begin(),
            began: Instant::now(),
            method: method_name(method),
            caller: tracing::enabled!(target: ACCESS, Level::DEBUG).then(Caller::default),
            status: CLIENT_GONE,
        }
    }

    /// Where to say who asks. The request takes it along.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// There is an answer.
    pub(super) fn ended(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let (method, status) = (self.method, self.status);
        let route = self.running.route();
        route.ended(method, status, took);
        let user = self.caller.as_ref().and_then(|caller| caller.0.get());
        tracing::debug!(
            target: ACCESS,
            method,
            route = route.pattern(),
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

    use axum::body::Body;
    use axum::http::Request;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::http::dress;
    use crate::http::front::Front;
    use crate::http::routes::Routes;
    use crate::metrics::Exposition;

    async fn ask(front: &Front, method: &str, path: &str) -> StatusCode {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).expect("a request");
        let answer = front.clone().oneshot(request).await;
        answer.expect("a front cannot fail").status()
    }

    #[tokio::test]
    async fn a_request_is_counted_by_its_route_however_it_ends() {
        let (recorder, exposition) = Exposition::for_test();
        let _recorded = metrics::set_default_local_recorder(&recorder);
        let routes = Routes::new()
            .route("/users/{user}", get(async || "hello"))
            .route("/never", get(pending::<()>));
        let front = dress(routes);
        for (method, path) in [
            ("GET", "/users/a?access_token=secret"),
            ("GET", "/users/b"),
            ("BREW", "/users/b"),
            ("GET", "/nothing/secret"),
        ] {
            ask(&front, method, path).await;
        }
        let mut gone = Box::pin(ask(&front, "GET", "/never"));
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

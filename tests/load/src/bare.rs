//! The least that a server of this kind could do: it parses a `PUT` of presence and answers `{}`.
//!
//! What a presence server adds to that is its own; what it costs beside this is what it can still lose. It is served
//! as the host serves its requests: HTTP/1.1 alone, with the same limits, on as many threads.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// As in the host.
const HEADER_DEADLINE: Duration = Duration::from_secs(75);
const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A bare server that parses a PUT of presence and answers {}: what a presence server could reach at best.
///
/// It listens on 127.0.0.1, says on standard output where, and serves until it is killed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Threads; the default is the host's
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    threads: NonZeroUsize,
}

/// Serves for ever.
pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads.get())
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr().context("the listener has no address")?;
        println!("listening on http://{address}");
        tokio::spawn(accept(listener))
            .await
            .context("the server has ended")
    })
}

/// The number of connections is bounded by the files that the process may open.
async fn accept(listener: TcpListener) {
    let routes = routes();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(connection(stream, routes.clone()));
            }
            Err(error) => {
                eprintln!("presence-load: cannot accept a connection; trying again: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, routes: Router) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    // A client that goes is no news.
    let _ = server
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .await;
}

fn routes() -> Router {
    Router::new()
        .route("/_matrix/client/versions", get(versions))
        .route("/_matrix/client/v3/presence/{user_id}/status", put(set_presence))
}

async fn versions() -> &'static str {
    "{\"versions\":[\"v1.16\"]}"
}

/// What a `PUT` says.
#[derive(Debug, Deserialize)]
struct Status {
    presence: String,
    #[serde(default)]
    status_msg: Option<String>,
}

async fn set_presence(Path(user_id): Path<String>, request: Request) -> Response {
    let token = request.headers().get(AUTHORIZATION);
    let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !user_id.starts_with('@') || token.is_none_or(str::is_empty) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(body) = axum::body::to_bytes(request.into_body(), MAX_HEADER_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let status: serde_json::Result<Status> = serde_json::from_slice(&body);
    match status {
        Ok(status) if known(&status) => Json(Map::<String, Value>::new()).into_response(),
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn known(status: &Status) -> bool {
    let short = status.status_msg.as_ref().is_none_or(|text| text.len() <= 2048);
    short && matches!(status.presence.as_str(), "online" | "unavailable" | "offline")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Authority, Buffers, Connection, PATIENCE};

    async fn check(token: &str, body: &str) -> (u16, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(accept(listener));
        let authority = Authority::of(&format!("http://{address}")).expect("an address");
        let mut connection = Connection::new(&authority, Buffers::Kept, PATIENCE);
        let path = "/_matrix/client/v3/presence/%40a%3Ax/status";
        let head = authority.head("PUT", path, token);
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        let answer = connection.exchange(request.as_bytes()).await.expect("an answer");
        let answer = (answer.status, String::from_utf8_lossy(answer.body).into_owned());
        server.abort();
        answer
    }

    #[tokio::test]
    async fn it_answers_an_empty_object_to_what_it_could_parse() {
        let good = r#"{"presence":"online","status_msg":"hello"}"#;
        assert_eq!(check("t", good).await, (200, "{}".to_owned()));
        assert_eq!(check("", good).await.0, 401);
        assert_eq!(check("t", r#"{"presence":"away"}"#).await.0, 400);
        assert_eq!(check("t", "{").await.0, 400);
    }
}

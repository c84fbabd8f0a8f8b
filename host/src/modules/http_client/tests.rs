//! Requests against servers of the test, on the loopback.

mod refused;
mod tls;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::*;

/// The only address that the tests' modules may call, besides the public ones.
const ALLOWED: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn access() -> Arc<Outgoing> {
    Arc::new(Outgoing {
        allowed: vec![ALLOWED.into()],
        ..Outgoing::default()
    })
}

/// `NAME.test` resolves to what is said; nothing else resolves.
fn names(known: &'static [(&'static str, &'static [&'static str])]) -> Lookup {
    Arc::new(move |name| {
        let found = known.iter().find(|(known, _)| *known == name);
        let found = found.map(|(_, addresses)| {
            addresses
                .iter()
                .map(|address| address.parse().expect("an address"))
        });
        let answer = match found {
            Some(addresses) => Ok(addresses.collect()),
            None => Err(std::io::Error::other("no such name")),
        };
        Box::pin(std::future::ready(answer))
    })
}

fn client() -> HttpClient {
    HttpClient::with(access(), RootCertStore::empty(), names(&[]))
}

fn request(url: &str) -> HttpCall {
    HttpCall {
        method: RString::from("GET"),
        url: RString::from(url),
        headers: RVec::new(),
        body: RVec::new(),
        timeout_ms: 0,
        max_response_bytes: 0,
    }
}

fn header(name: &str, value: &str) -> HttpHeader {
    HttpHeader {
        name: RString::from(name),
        value: RVec::from(value.as_bytes()),
    }
}

fn text(answer: &HttpAnswer) -> &str {
    std::str::from_utf8(&answer.body).expect("is text")
}

#[track_caller]
fn fails(outcome: Result<HttpAnswer, Failure>, kind: FailureKind, text: &str) {
    let Err(failure) = outcome else {
        panic!("was answered, where {kind:?} was expected: {text}");
    };
    assert!(
        failure.kind == kind && failure.message.contains(text),
        "{failure:?}, where {kind:?} was expected: {text}"
    );
}

/// Serves on the loopback for as long as the test runs.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind((ALLOWED, 0)).await.expect("binds");
    let address = listener.local_addr().expect("is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn echo(method: Method, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let names = ["authorization", "host", "user-agent", "x-two"];
    let mut lines = vec![format!("{method} {}", String::from_utf8_lossy(&body))];
    for name in names {
        for value in headers.get_all(name) {
            lines.push(format!("{name}: {}", value.to_str().unwrap_or("?")));
        }
    }
    (StatusCode::IM_A_TEAPOT, [("x-answer", "42")], lines.join("\n"))
}

#[tokio::test]
async fn a_request_arrives_as_it_is_and_its_answer_comes_back_as_it_is() {
    let server = serve(Router::new().route("/a", any(echo))).await;
    let answer = client()
        .call(HttpCall {
            method: RString::from("PATCH"),
            headers: RVec::from(vec![header("X-Two", "1"), header("x-two", "2")]),
            body: RVec::from("hello".as_bytes()),
            ..request(&format!("http://{server}/a?b=c"))
        })
        .await
        .expect("answers");
    assert_eq!(answer.status, 418);
    assert!(
        answer
            .headers
            .iter()
            .any(|found| *found == header("x-answer", "42"))
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        text(&answer),
        format!("PATCH hello\nhost: {server}\nuser-agent: presence-router/{version}\nx-two: 1\nx-two: 2")
    );
}

#[tokio::test]
async fn an_answer_may_be_as_long_as_the_module_says_and_no_longer() {
    let in_pieces = || async {
        let pieces = ["12345", "67890"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    let router = Router::new()
        .route("/whole", get(|| async { "1234567890" }))
        .route("/pieces", get(in_pieces));
    let (server, client) = (serve(router).await, client());
    for path in ["whole", "pieces"] {
        let up_to = |max_response_bytes| {
            client.call(HttpCall {
                max_response_bytes,
                ..request(&format!("http://{server}/{path}"))
            })
        };
        assert_eq!(text(&up_to(10).await.expect("fits")), "1234567890");
        fails(up_to(9).await, FailureKind::TOO_LARGE, "more than 9 bytes");
    }
    let megabyte = Router::new().route("/", get(|| async { vec![0_u8; 1024 * 1024 + 1] }));
    let server = serve(megabyte).await;
    let by_default = client.call(request(&format!("http://{server}/"))).await;
    fails(by_default, FailureKind::TOO_LARGE, "more than 1048576 bytes");
}

#[tokio::test]
async fn an_answer_that_is_not_all_there_by_the_deadline_is_none() {
    let half = || async {
        let begin = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from("half"))]);
        Body::from_stream(futures_util::StreamExt::chain(
            begin,
            futures_util::stream::pending(),
        ))
    };
    let router = Router::new()
        .route("/never", get(std::future::pending::<StatusCode>))
        .route("/half", get(half));
    let server = serve(router).await;
    for path in ["never", "half"] {
        let call = HttpCall {
            timeout_ms: 50,
            ..request(&format!("http://{server}/{path}?secret"))
        };
        let outcome = client().call(call).await;
        fails(
            outcome,
            FailureKind::TIMED_OUT,
            &format!("GET http://{server}: not all of the answer"),
        );
    }
}

#[tokio::test]
async fn a_bounded_number_of_requests_runs_at_once_and_the_wait_for_a_place_counts() {
    let (running, mut arrived) = watch::channel(0);
    let gate = Arc::new(Semaphore::new(0));
    let held = {
        let (running, gate) = (Arc::new(running), Arc::clone(&gate));
        move || {
            let (running, gate) = (Arc::clone(&running), Arc::clone(&gate));
            async move {
                running.send_modify(|running| *running += 1);
                let _passed = gate.acquire().await;
                "passed"
            }
        }
    };
    let router = Router::new().route("/held", get(held));
    let (server, client) = (serve(router).await, Arc::new(client()));
    let url = format!("http://{server}/held");
    let calls: Vec<_> = (0..MAX_RUNNING)
        .map(|_| {
            let (client, call) = (Arc::clone(&client), request(&url));
            tokio::spawn(async move { client.call(call).await })
        })
        .collect();
    arrived
        .wait_for(|count| *count == MAX_RUNNING)
        .await
        .expect("serves");
    let one_too_many = client.call(HttpCall {
        timeout_ms: 50,
        ..request(&url)
    });
    fails(one_too_many.await, FailureKind::TIMED_OUT, "within 50 ms");
    assert_eq!(
        *arrived.borrow(),
        MAX_RUNNING,
        "it waited for a place and never arrived"
    );
    gate.close();
    for call in join_all(calls).await {
        assert_eq!(text(&call.expect("ends").expect("answers")), "passed");
    }
    assert_eq!(
        text(&client.call(request(&url)).await.expect("has a place again")),
        "passed"
    );
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_or_breaks_is_told_apart_from_an_answer() {
    let listener = TcpListener::bind((ALLOWED, 0)).await.expect("binds");
    let nobody = listener.local_addr().expect("is bound");
    drop(listener);
    let refused = client().call(request(&format!("http://{nobody}/"))).await;
    fails(refused, FailureKind::CONNECTION, "refused");

    for answer in [
        "",
        "no HTTP\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    ] {
        let listener = TcpListener::bind((ALLOWED, 0)).await.expect("binds");
        let server = listener.local_addr().expect("is bound");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut request = [0; 1024];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await
        });
        let outcome = client().call(request(&format!("http://{server}/"))).await;
        fails(
            outcome,
            FailureKind::CONNECTION,
            &format!("GET http://{server}: "),
        );
    }
    let unknown = client().call(request("http://nowhere.test/")).await;
    fails(unknown, FailureKind::CONNECTION, "no such name");
}

#[tokio::test]
async fn five_redirects_are_followed() {
    let hop = |Path(left): Path<usize>| async move {
        match left {
            0 => "there".into_response(),
            left => (StatusCode::FOUND, [("location", format!("/{}", left - 1))]).into_response(),
        }
    };
    let server = serve(Router::new().route("/{left}", get(hop))).await;
    let answer = client().call(request(&format!("http://{server}/5"))).await;
    assert_eq!(text(&answer.expect("answers")), "there");
    let outcome = client().call(request(&format!("http://{server}/6"))).await;
    fails(outcome, FailureKind::ERROR, "more than 5 redirects");
}

#[tokio::test]
async fn another_server_is_not_told_the_secrets_of_the_first() {
    let other = serve(Router::new().route("/", any(echo))).await;
    let to_other = move || async move { (StatusCode::FOUND, [("location", format!("http://{other}/"))]) };
    let server = serve(Router::new().route("/", any(to_other))).await;
    let call = HttpCall {
        headers: RVec::from(vec![header("authorization", "Bearer secret")]),
        ..request(&format!("http://{server}/"))
    };
    let answer = client().call(call).await.expect("answers");
    assert!(text(&answer).contains(&format!("host: {other}")));
    assert!(!text(&answer).contains("secret"), "{}", text(&answer));
}

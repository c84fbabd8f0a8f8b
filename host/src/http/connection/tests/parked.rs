//! Requests that wait, and those that may not be parked.

use std::future::pending;
use std::iter;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{any, get};
use tokio::time::{Instant, sleep, timeout};

use super::{Client, GET, LONG, TOO_LONG, Waiting};
use crate::http::connection::{DRAIN_DEADLINE, LOOK_INTERVAL};
use crate::http::dress;
use crate::http::routes::Routes;

#[tokio::test(start_paused = true)]
async fn a_parked_request_is_answered_and_so_is_the_next_one() {
    let waiting = Waiting::default();
    let mut client = Client::of(waiting.handler());
    for _ in 0..3 {
        client.send(GET).await;
        client.folded().await;
        waiting.go.notify_one();
        let answer = client.read_to("done").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\ncontent-length: 4\r\n"), "{answer}");
        assert!(!answer.contains("\r\nconnection:"), "{answer}");
        assert!(!client.is_folded());
    }
    // At once, too.
    client.send(GET).await;
    waiting.go.notify_one();
    client.read_to("done").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_answered_within_the_interval_is_not_parked() {
    let waiting = Waiting::default();
    let mut client = waiting.asked().await;
    sleep(LOOK_INTERVAL / 10 * 9).await;
    assert!(!client.is_folded());
    waiting.go.notify_one();
    client.read_to("done").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_is_dropped_when_its_client_goes_while_it_is_parked() {
    let waiting = Waiting::default();
    let client = waiting.asked().await;
    client.folded().await;
    drop(client.stream);
    timeout(TOO_LONG, client.served)
        .await
        .expect("ended in time")
        .expect("no panic");
    assert!(waiting.dropped.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_behind_a_parked_request_is_answered_after_it() {
    for pause in [Duration::ZERO, LONG] {
        let waiting = Waiting::default();
        let mut client = waiting.asked().await;
        sleep(pause).await;
        client.send("GET /second HTTP/1.1\r\n").await;
        client.folded().await;
        // Not read while the first one waits.
        client.send("Host: x\r\n\r\n").await;
        sleep(LONG).await;
        waiting.go.notify_one();
        let first = client.read_to("done").await;
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        let second = client.read_to("}").await;
        assert!(second.starts_with("HTTP/1.1 404"), "{second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_request_is_answered_when_the_server_stops_and_its_connection_is_closed() {
    for answered_before in [false, true] {
        let waiting = Waiting::default();
        let mut client = waiting.asked().await;
        client.folded().await;
        if answered_before {
            waiting.go.notify_one();
            client.shutdown.cancel();
        } else {
            client.shutdown.cancel();
            sleep(LONG).await;
            assert!(!client.served.is_finished());
            waiting.go.notify_one();
        }
        let answer = client.read_all().await;
        assert!(answer.ends_with("\r\n\r\ndone"), "{answer}");
        if !answered_before {
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        }
        client.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_request_that_never_ends_is_cut_off_at_the_drain_deadline() {
    let waiting = Waiting::default();
    let client = waiting.asked().await;
    client.folded().await;
    let stopped = Instant::now();
    client.shutdown.cancel();
    client.ended().await;
    assert_eq!(stopped.elapsed().as_secs(), DRAIN_DEADLINE.as_secs());
    assert!(waiting.dropped.is_cancelled());
}

/// Which gives back at once what the others keep for a moment.
#[tokio::test(start_paused = true)]
async fn a_connection_beside_very_many_is_served_the_same() {
    let waiting = Waiting::default();
    let front = dress(
        Routes::new()
            .route("/", waiting.handler())
            .route("/echo", any(async |body: Bytes| body)),
    );
    let others: Vec<_> = iter::from_fn(|| front.permit_to_stay()).collect();
    assert!(!others.is_empty());
    let mut client = Client::at(&front, 100_000);
    let moment = LOOK_INTERVAL / 100;
    for _ in 0..2 {
        client.send(GET).await;
        sleep(moment).await;
        assert!(client.is_folded());
        waiting.go.notify_one();
        client.read_to("done").await;
        sleep(moment).await;
        assert!(client.is_folded());
    }
    // As a body is not there at once, it is read by hyper.
    client
        .send("PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        .await;
    sleep(moment).await;
    assert!(!client.is_folded());
    client.send("text").await;
    client.read_to("text").await;
    // hyper lets others take their turn after some of them.
    client
        .send(&"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n.".repeat(100))
        .await;
    for _ in 0..100 {
        client.read_to("\r\n\r\n.").await;
    }
    // Parked, it is answered also when the server stops.
    client.send(GET).await;
    sleep(moment).await;
    client.shutdown.cancel();
    sleep(moment).await;
    waiting.go.notify_one();
    let answer = client.read_all().await;
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("done"), "{answer}");
}

/// What a proxy of an older kind sends, and what it is answered, however long that takes.
#[tokio::test(start_paused = true)]
async fn a_parked_request_is_answered_as_its_client_wants() {
    for (request, status, says, closes) in [
        (
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200",
            Some("close"),
            true,
        ),
        (
            "GET / HTTP/1.1\r\nConnection: TE, Close\r\n\r\n",
            "HTTP/1.1 200",
            Some("close"),
            true,
        ),
        (
            "GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n",
            "HTTP/1.1 200",
            None,
            false,
        ),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200", None, true),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            "HTTP/1.0 200",
            Some("keep-alive"),
            false,
        ),
    ] {
        for parks in [false, true] {
            let waiting = Waiting::default();
            let mut client = Client::of(waiting.handler());
            client.send(request).await;
            if parks {
                client.folded().await;
            }
            waiting.go.notify_one();
            let answer = if closes {
                client.read_all().await
            } else {
                client.read_to("done").await
            };
            assert!(answer.starts_with(status), "{request}: {answer}");
            let connection = answer.lines().find_map(|line| line.strip_prefix("connection: "));
            assert_eq!(connection, says, "{request}: {answer}");
        }
    }
}

/// An answer to a `HEAD` has no body, which the stand-in would give it.
#[tokio::test(start_paused = true)]
async fn what_is_no_get_is_not_parked() {
    let waiting = Waiting::default();
    let mut client = Client::of(waiting.handler());
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(LONG).await;
    assert!(!client.is_folded());
    waiting.go.notify_one();
    let answer = client.read_to("\r\n\r\n").await;
    assert!(answer.contains("\r\ncontent-length: 4\r\n"), "{answer}");
    client.send(GET).await;
    waiting.go.notify_one();
    let answer = client.read_to("done").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_parked_request_is_answered() {
    let mut client = Client::of(get(async || -> StatusCode {
        sleep(2 * LONG).await;
        panic!("boom")
    }));
    client.send(GET).await;
    client.folded().await;
    let answer = client.read_to("}").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hyper_has_is_answered_before_the_server_stops() {
    let waiting = Waiting::default();
    let mut client = waiting.asked().await;
    sleep(LOOK_INTERVAL / 2).await;
    client.shutdown.cancel();
    sleep(LONG).await;
    assert!(!client.served.is_finished());
    waiting.go.notify_one();
    let answer = client.read_all().await;
    assert!(answer.ends_with("done"), "{answer}");
    client.ended().await;
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_is_cut_off_at_the_deadline() {
    let mut client = Client::of(any(pending::<()>));
    client
        .send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        .await;
    sleep(LOOK_INTERVAL / 2).await;
    client.shutdown.cancel();
    let stopped = Instant::now();
    client.ended().await;
    assert_eq!(stopped.elapsed().as_secs(), DRAIN_DEADLINE.as_secs());
}

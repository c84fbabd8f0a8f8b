//! What comes and goes in pieces, with pauses in between, and how long it may take.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::routing::{any, get};
use futures_util::stream;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::{Client, GET, LONG, TOO_LONG, Waiting};
use crate::http::connection::{HEADER_DEADLINE, LOOK_INTERVAL};

#[tokio::test(start_paused = true)]
async fn an_idle_connection_folds_and_serves_on() {
    let mut client = Client::of(get(async || "hello"));
    for _ in 0..3 {
        client.folded().await;
        client.send(GET).await;
        client.read_to("hello").await;
        assert!(!client.is_folded());
    }
    client.folded().await;
    client.shutdown.cancel();
    client.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_may_come_in_pieces_that_are_far_apart() {
    let mut client = Client::of(get(async || "hello"));
    for piece in ["GE", "T / HTTP/1.1\r", "\nHost:", " x\r\n\r\n"] {
        client.send(piece).await;
        if !piece.ends_with("\r\n\r\n") {
            client.folded().await;
        }
    }
    client.read_to("hello").await;
}

#[tokio::test(start_paused = true)]
async fn headers_are_not_waited_for_longer_because_of_their_pieces() {
    for (pause, asked_before) in [(LOOK_INTERVAL / 9, false), (LONG, false), (LONG, true)] {
        let mut client = Client::of(get(async || "hello"));
        if asked_before {
            client.send(GET).await;
            client.read_to("hello").await;
        }
        let silent = Instant::now();
        client.send("GET / HTTP/1.1\r\nCookie: ").await;
        let dripping = async {
            while client.stream.write_all(b"x").await.is_ok() {
                sleep(pause).await;
            }
        };
        timeout(TOO_LONG, dripping).await.expect("cut off in time");
        let took = silent.elapsed();
        assert!(took >= HEADER_DEADLINE, "{took:?}");
        assert!(took <= HEADER_DEADLINE + 2 * LOOK_INTERVAL + pause, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_left_at_the_deadline() {
    let client = Client::of(get(async || "hello"));
    let began = Instant::now();
    client.ended().await;
    assert_eq!(began.elapsed().as_secs(), HEADER_DEADLINE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_begins_again_after_each_answer() {
    let waiting = Waiting::default();
    let mut client = Client::of(waiting.handler());
    for _ in 0..3 {
        client.send(GET).await;
        sleep(HEADER_DEADLINE * 2).await;
        waiting.go.notify_one();
        client.read_to("done").await;
        sleep(HEADER_DEADLINE / 10 * 9).await;
    }
    let silent = Instant::now();
    client.ended().await;
    let took = silent.elapsed();
    assert!(took <= HEADER_DEADLINE / 10 + 2 * LOOK_INTERVAL, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_may_come_in_pieces_that_are_far_apart() {
    let mut client = Client::of(any(async |body: Bytes| body));
    for method in ["PUT", "GET"] {
        client
            .send(&format!(
                "{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n"
            ))
            .await;
        for piece in ["GET ", "/ HT", "TP/1"] {
            sleep(LONG).await;
            assert!(!client.is_folded());
            client.send(piece).await;
        }
        client.read_to("GET / HTTP/1").await;
        client.folded().await;
    }
}

/// hyper reads the body on: to take the connection from it would make a request of the rest.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_read_after_the_answer_is_still_no_request() {
    let read = Arc::new(Notify::new());
    let go = Arc::clone(&read);
    let mut client = Client::of(any(async move |mut body: Body| {
        tokio::spawn(async move {
            let piece = body.frame().await.expect("a piece").expect("read");
            assert_eq!(&**piece.data_ref().expect("data"), b"GET / HTTP/1.1\r\n\r\n");
            go.notify_one();
        });
        "early"
    }));
    client
        .send("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n")
        .await;
    client.read_to("early").await;
    sleep(LONG).await;
    assert!(!client.is_folded());
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    timeout(TOO_LONG, read.notified()).await.expect("read in time");
    client.folded().await;
    client.shutdown.cancel();
    assert_eq!(client.read_all().await, "");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_for_long_is_not_cut() {
    const LENGTH: usize = 100_000;
    let mut client = Client::of(get(async || "x".repeat(LENGTH)));
    for _ in 0..2 {
        client.send(GET).await;
        sleep(HEADER_DEADLINE * 2).await;
        assert!(!client.is_folded());
        client.read_to(&"x".repeat(LENGTH)).await;
    }
    client.folded().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_pauses_is_not_cut() {
    let mut client = Client::of(get(async || {
        Body::from_stream(stream::unfold(0, async |sent| {
            sleep(LONG).await;
            (sent < 3).then(|| (Ok::<_, io::Error>("piece"), sent + 1))
        }))
    }));
    client.send(GET).await;
    let answer = client.read_to("\r\n0\r\n\r\n").await;
    assert_eq!(answer.matches("piece").count(), 3, "{answer}");
    client.folded().await;
}

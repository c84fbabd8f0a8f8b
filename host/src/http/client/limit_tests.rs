//! `rc_presence`, over HTTP.

use axum::http::header::RETRY_AFTER;
use serde_json::json;

use crate::config::RateLimit;
use crate::http::client::behaviour_tests::{Answer, Server, check};
use crate::http::client::test_engine::{ALICE, BOB, services_with};

const MINE: &str = "/_matrix/client/v3/presence/%40alice%3Aexample.org/status";
const SYNC: &str = "/_matrix/client/v3/sync";

/// One update in a hundred seconds: none of the tests lasts as long.
fn server() -> Server {
    Server::of(&services_with(Some(RateLimit {
        per_second: 0.01,
        burst_count: 1,
    })))
}

async fn put(server: &Server, presence: &str) -> Answer {
    let body = json!({ "presence": presence }).to_string();
    server.ask("PUT", MINE, ALICE, body.as_bytes()).await
}

async fn presence_of_alice(server: &Server) -> String {
    let answer = server.ask("GET", MINE, BOB, b"").await;
    answer.body["presence"].as_str().expect("a presence").to_owned()
}

// Synapse tests/rest/client/test_presence.py: test_put_presence_over_ratelimit.
#[tokio::test]
async fn a_put_beyond_the_limit_is_refused_and_says_twice_when_to_come_back() {
    let server = server();
    check("the first", &put(&server, "online").await, "200");
    let refused = put(&server, "unavailable").await;
    check("the second", &refused, "429 M_LIMIT_EXCEEDED");
    let ms = refused.body["retry_after_ms"].as_u64().expect("a number");
    assert!((90_000..=100_000).contains(&ms), "{ms}");
    let seconds = ms.div_ceil(1_000).to_string();
    assert_eq!(refused.headers[RETRY_AFTER], *seconds);
    assert_eq!(presence_of_alice(&server).await, "online");

    let bobs = MINE.replace("alice", "bob");
    let answer = server.ask("PUT", &bobs, BOB, br#"{"presence": "online"}"#).await;
    check("another user's", &answer, "200");
}

#[tokio::test]
async fn the_limit_is_looked_at_after_who_asks_and_before_the_body() {
    let server = server();
    let bobs = MINE.replace("alice", "bob");
    check(
        "for another user",
        &server.ask("PUT", &bobs, ALICE, b"{}").await,
        "403 M_FORBIDDEN",
    );
    check(
        "without a token",
        &server.ask("PUT", MINE, "nope", b"{}").await,
        "401 M_UNKNOWN_TOKEN",
    );
    check(
        "bad JSON",
        &server.ask("PUT", MINE, ALICE, b"{").await,
        "400 M_NOT_JSON",
    );
    check(
        "bad JSON again",
        &server.ask("PUT", MINE, ALICE, b"{").await,
        "429 M_LIMIT_EXCEEDED",
    );
    check("a look", &server.ask("GET", MINE, ALICE, b"").await, "200");
}

#[tokio::test]
async fn a_sync_beyond_the_limit_is_served_and_leaves_presence_alone() {
    let server = server();
    for (query, expected) in [
        // One that sets nothing is not counted.
        ("?set_presence=offline", "offline"),
        ("?set_presence=offline", "offline"),
        ("?set_presence=online", "online"),
        ("?set_presence=unavailable", "online"),
        ("", "online"),
    ] {
        let answer = server.ask("GET", &format!("{SYNC}{query}"), ALICE, b"").await;
        check(query, &answer, "200");
        assert_eq!(presence_of_alice(&server).await, expected, "{query}");
    }
    // A PUT is counted apart.
    check("a PUT", &put(&server, "unavailable").await, "200");
    assert_eq!(presence_of_alice(&server).await, "unavailable");
}

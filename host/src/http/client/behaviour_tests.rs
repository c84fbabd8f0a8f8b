//! What real Synapse answers, case by case, and where we differ on purpose.
//!
//! Each row is a request to the client API, named as in the record of Synapse's behaviour, and the status and
//! code to answer. The rows that need presence to travel between users are in the end-to-end tests.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Request};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::config::Resource;
use crate::http::client::test_engine::{ALICE, BOB, CAROL, DAVE, services};
use crate::http::{Front, Services, router};

/// Nobody asks: there is no header `Authorization`.
pub(super) const NOBODY: &str = "";
const OK_BODY: &[u8] = br#"{"presence": "online", "status_msg": "hi"}"#;
const MINE: &str = "/_matrix/client/v3/presence/%40alice%3Aexample.org/status";
const BOBS: &str = "/_matrix/client/v3/presence/%40bob%3Aexample.org/status";
const SYNC: &str = "/_matrix/client/v3/sync";

/// Case, method, path, token, body, answer.
pub(super) type Row<'a> = (&'a str, &'a str, String, &'a str, &'a [u8], &'a str);

pub(super) struct Server(Front);

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Server {
    fn new() -> Self {
        Self::of(&services())
    }

    pub(super) fn of(services: &Services) -> Self {
        let resources = BTreeSet::from([Resource::Client]);
        Self(router(services, &resources, &CancellationToken::new()))
    }

    pub(super) async fn ask(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Answer {
        let authorization = format!("Bearer {token}");
        let headers = if token == NOBODY {
            Vec::new()
        } else {
            vec![(AUTHORIZATION.as_str(), authorization.as_str())]
        };
        self.ask_with(method, path, &headers, body).await
    }

    async fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Body::from(body.to_vec()))
            .expect("the parts are valid");
        let response = self
            .0
            .clone()
            .oneshot(request)
            .await
            .expect("a router cannot fail");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20)
            .await
            .expect("the body is short");
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    async fn status_msg(&self) -> Option<String> {
        let answer = self.ask("GET", MINE, ALICE, b"").await;
        answer.body["status_msg"].as_str().map(str::to_owned)
    }
}

/// `expected` is the status, and behind it the `errcode` of an error.
pub(super) fn check(case: &str, answer: &Answer, expected: &str) {
    let errcode = answer.body["errcode"].as_str().unwrap_or_default();
    let got = format!("{} {errcode}", answer.status);
    assert_eq!(got.trim_end(), expected, "{case}: {}", answer.body);
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{case}");
    if !errcode.is_empty() {
        assert_eq!(answer.headers[CONTENT_TYPE], "application/json", "{case}");
        assert!(answer.body["error"].is_string(), "{case}");
    }
}

#[tokio::test]
async fn who_may_ask_for_what() {
    let p = |user: &str| format!("/_matrix/client/v3/presence/{user}/status");
    let version = |version: &str| MINE.replacen("v3", version, 1);
    let unknown = "403 M_FORBIDDEN";
    let malformed = "400 M_INVALID_PARAM";
    let unrecognized = "404 M_UNRECOGNIZED";
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("GET self", "GET", MINE.into(), ALICE, b"", "200"),
        ("GET self, never set", "GET", p("%40dave%3Aexample.org"), DAVE, b"", "200"),
        ("GET user sharing a room", "GET", MINE.into(), BOB, b"", "200"),
        ("GET user sharing no room", "GET", MINE.into(), CAROL, b"", unknown),
        ("GET nonexistent local user", "GET", p("%40nobody%3Aexample.org"), ALICE, b"", unknown),
        ("GET unknown remote user", "GET", p("%40x%3Aremote.invalid"), ALICE, b"", unknown),
        ("GET malformed user id, no @", "GET", p("alice"), ALICE, b"", malformed),
        ("GET malformed user id, no domain", "GET", p("%40alice"), ALICE, b"", malformed),
        ("GET user id that is not UTF-8", "GET", p("%ff"), ALICE, b"", malformed),
        ("GET raw (unencoded) user id", "GET", p("@alice:example.org"), ALICE, b"", "200"),
        ("GET empty user id", "GET", p(""), ALICE, b"", malformed),
        ("GET empty user id, no token", "GET", p(""), NOBODY, b"", "401 M_MISSING_TOKEN"),
        ("GET no token", "GET", MINE.into(), NOBODY, b"", "401 M_MISSING_TOKEN"),
        ("GET unknown token", "GET", MINE.into(), "nope", b"", "401 M_UNKNOWN_TOKEN"),
        ("GET r0 path", "GET", version("r0"), ALICE, b"", "200"),
        ("GET v1 path", "GET", version("v1"), ALICE, b"", unrecognized),
        ("GET unstable path", "GET", version("unstable"), ALICE, b"", "200"),
        ("GET api/v1 path", "GET", version("api/v1"), ALICE, b"", "200"),
        ("GET trailing slash", "GET", format!("{MINE}/"), ALICE, b"", unrecognized),
        ("GET trailing garbage", "GET", format!("{MINE}x"), ALICE, b"", unrecognized),
        ("GET presence/list (removed API)", "GET", "/_matrix/client/v3/presence/list/@a:b".into(), ALICE, b"", unrecognized),
        ("PUT another user", "PUT", BOBS.into(), ALICE, OK_BODY, unknown),
        ("PUT nonexistent user", "PUT", p("%40nobody%3Aexample.org"), ALICE, OK_BODY, unknown),
        ("PUT another user + bad JSON (order of checks)", "PUT", BOBS.into(), ALICE, b"{", unknown),
        ("PUT remote user", "PUT", p("%40x%3Aremote.invalid"), ALICE, OK_BODY, unknown),
        ("PUT malformed user id", "PUT", p("alice"), ALICE, OK_BODY, malformed),
        ("PUT no token", "PUT", MINE.into(), NOBODY, OK_BODY, "401 M_MISSING_TOKEN"),
        ("PUT no token + malformed user id", "PUT", p("alice"), NOBODY, OK_BODY, "401 M_MISSING_TOKEN"),
        ("PUT no token + bad JSON", "PUT", MINE.into(), NOBODY, b"{", "401 M_MISSING_TOKEN"),
        ("PUT unknown token", "PUT", MINE.into(), "nope", OK_BODY, "401 M_UNKNOWN_TOKEN"),
        ("PUT access_token in query", "PUT", format!("{MINE}?access_token={ALICE}"), NOBODY, OK_BODY, "200"),
        ("POST on status", "POST", MINE.into(), ALICE, OK_BODY, "405 M_UNRECOGNIZED"),
        ("DELETE on status", "DELETE", MINE.into(), ALICE, OK_BODY, "405 M_UNRECOGNIZED"),
        ("PATCH on status", "PATCH", MINE.into(), ALICE, OK_BODY, "405 M_UNRECOGNIZED"),
        ("OPTIONS on status", "OPTIONS", MINE.into(), NOBODY, b"", "204"),
        ("HEAD on status", "HEAD", MINE.into(), ALICE, b"", "200"),
        ("whoami, no token", "GET", "/_matrix/client/v3/account/whoami".into(), NOBODY, b"", "401 M_MISSING_TOKEN"),
        ("unknown client endpoint", "GET", "/_matrix/client/v3/nothing".into(), ALICE, b"", unrecognized),
        ("unknown root", "GET", "/nothing".into(), NOBODY, b"", unrecognized),
    ];
    let server = Server::new();
    for (case, method, path, token, body, expected) in rows {
        let answer = server.ask(method, path, token, body).await;
        check(case, &answer, expected);
        assert!(*method != "HEAD" || answer.body.is_null(), "{case}: a body");
    }
    for (case, value) in [
        ("PUT empty bearer", "Bearer "),
        ("PUT Basic auth", "Basic YTpi"),
        ("PUT lower-case bearer", &format!("bearer {ALICE}")),
    ] {
        let answer = server
            .ask_with("PUT", MINE, &[("Authorization", value)], OK_BODY)
            .await;
        check(case, &answer, "401 M_MISSING_TOKEN");
    }
}

#[tokio::test]
async fn what_a_put_may_say() {
    let deep = format!(r#"{{"presence":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let message = |length: usize| format!(r#"{{"presence":"online","status_msg":"{}"}}"#, "s".repeat(length));
    let (at_limit, over_limit) = (message(2048), message(2049));
    let (ten_kb, hundred_kb) = (message(10_000), message(100_000));
    let long_presence = format!(r#"{{"presence":"{}"}}"#, "o".repeat(10_000));
    let bad_shape = "400 M_BAD_JSON";
    let bad_value = "400 M_INVALID_PARAM";
    let not_json = "400 M_NOT_JSON";
    #[rustfmt::skip]
    let rows: &[(&str, &[u8], &str)] = &[
        ("set own presence", OK_BODY, "200"),
        ("set offline", br#"{"presence": "offline"}"#, "200"),
        ("set unavailable", br#"{"presence": "unavailable", "status_msg": "brb"}"#, "200"),
        ("same state again", br#"{"presence": "unavailable", "status_msg": "brb"}"#, "200"),
        ("presence only", br#"{"presence": "online"}"#, "200"),
        ("presence 'busy'", br#"{"presence": "busy"}"#, bad_value),
        ("presence 'ONLINE'", br#"{"presence": "ONLINE"}"#, bad_value),
        ("presence unknown", br#"{"presence": "away"}"#, bad_value),
        ("presence empty string", br#"{"presence": ""}"#, bad_value),
        ("presence 10000 chars", long_presence.as_bytes(), bad_value),
        ("presence null", br#"{"presence": null}"#, bad_shape),
        ("presence integer", br#"{"presence": 1}"#, bad_shape),
        ("presence list", br#"{"presence": ["online"]}"#, bad_shape),
        ("presence object", br#"{"presence": {}}"#, bad_shape),
        ("presence missing", br#"{"status_msg": "x"}"#, bad_shape),
        ("empty object", b"{}", bad_shape),
        ("extra key", br#"{"presence": "online", "foo": 1}"#, "200"),
        ("extra key + bad presence", br#"{"presence": "away", "foo": 1}"#, bad_value),
        ("currently_active given", br#"{"presence": "online", "currently_active": true}"#, "200"),
        ("status_msg null", br#"{"presence": "online", "status_msg": null}"#, "200"),
        ("status_msg integer", br#"{"presence": "online", "status_msg": 5}"#, bad_shape),
        ("status_msg object", br#"{"presence": "online", "status_msg": {}}"#, bad_shape),
        ("status_msg bad type + bad presence", br#"{"presence": "away", "status_msg": 5}"#, bad_shape),
        ("status_msg empty", br#"{"presence": "online", "status_msg": ""}"#, "200"),
        ("status_msg at the limit", at_limit.as_bytes(), "200"),
        ("status_msg over the limit", over_limit.as_bytes(), "413 M_TOO_LARGE"),
        ("status_msg 10 KB", ten_kb.as_bytes(), "413 M_TOO_LARGE"),
        ("status_msg 100 KB", hundred_kb.as_bytes(), "413 M_TOO_LARGE"),
        ("status_msg unicode", r#"{"presence": "online", "status_msg": "naïve ☃ 🦀"}"#.as_bytes(), "200"),
        ("status_msg with NUL", br#"{"presence": "online", "status_msg": "a\u0000b"}"#, "200"),
        ("status_msg lone surrogate", br#"{"presence":"online","status_msg":"\ud800"}"#, not_json),
        ("lone surrogate in an extra key", br#"{"presence":"online","foo":"\ud800"}"#, not_json),
        ("status_msg control/newline", br#"{"presence": "online", "status_msg": "a\nb\t\u0001"}"#, "200"),
        ("duplicate keys", br#"{"presence":"away","presence":"online"}"#, "200"),
        ("bad JSON", b"{", not_json),
        ("not UTF-8", b"{\"presence\":\"online\",\"status_msg\":\"\xff\"}", not_json),
        ("empty body", b"", not_json),
        ("JSON array", b"[]", bad_shape),
        ("JSON string", br#""online""#, bad_shape),
        ("JSON null", b"null", bad_shape),
        ("JSON NaN", br#"{"presence":"online","status_msg":NaN}"#, not_json),
        ("trailing garbage", br#"{"presence":"online"} x"#, not_json),
        ("BOM", b"\xef\xbb\xbf{\"presence\":\"online\"}", not_json),
        ("deep nesting", deep.as_bytes(), not_json),
    ];
    let server = Server::new();
    for (case, body, expected) in rows {
        let answer = server.ask("PUT", MINE, ALICE, body).await;
        check(case, &answer, expected);
        if *expected == "200" {
            assert_eq!(answer.body, serde_json::json!({}), "{case}");
        }
    }
    for (case, content_type) in [("no Content-Type", ""), ("Content-Type text/plain", "text/plain")] {
        let headers = [
            ("Authorization", &*format!("Bearer {ALICE}")),
            ("Content-Type", content_type),
        ];
        let answer = server
            .ask_with("PUT", MINE, &headers, br#"{"presence":"online"}"#)
            .await;
        check(case, &answer, "200");
    }
}

#[tokio::test]
async fn what_was_put_is_what_is_got() {
    let server = Server::new();
    for (body, expected) in [
        (
            r#"{"presence": "online", "status_msg": "naïve ☃ 🦀"}"#,
            Some("naïve ☃ 🦀"),
        ),
        (r#"{"presence": "online", "status_msg": ""}"#, None),
        (
            r#"{"presence": "online", "status_msg": "a\u0000b"}"#,
            Some("a\0b"),
        ),
        (r#"{"presence": "online"}"#, None),
    ] {
        check(
            body,
            &server.ask("PUT", MINE, ALICE, body.as_bytes()).await,
            "200",
        );
        assert_eq!(server.status_msg().await.as_deref(), expected, "{body}");
    }
    let daves = MINE.replace("alice", "dave");
    let answer = server.ask("GET", &daves, DAVE, b"").await;
    assert_eq!(answer.body, serde_json::json!({"presence": "offline"}));
    let answer = server
        .ask("GET", "/_matrix/client/v3/account/whoami", DAVE, b"")
        .await;
    assert_eq!(answer.body["user_id"], "@dave:example.org");
    assert!(answer.body["device_id"].is_string());
    assert_eq!(answer.body["is_guest"], false);
}

#[tokio::test]
async fn which_syncs_are_answered() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str, &str)] = &[
        ("/sync no token", "", NOBODY, "401 M_MISSING_TOKEN"),
        ("/sync unknown token", "", "nope", "401 M_UNKNOWN_TOKEN"),
        ("/sync bad since", "?since=garbage", ALICE, "400 M_INVALID_PARAM"),
        ("/sync since from the future", "?since=s18446744073709551615_0_0", ALICE, "400 M_INVALID_PARAM"),
        ("/sync bad set_presence", "?set_presence=away", ALICE, "400 M_INVALID_PARAM"),
        ("/sync set_presence=busy", "?set_presence=busy&timeout=0", DAVE, "400 M_INVALID_PARAM"),
        ("/sync bad timeout", "?timeout=abc", ALICE, "400 M_INVALID_PARAM"),
        ("/sync bad filter", "?filter=%7B", ALICE, "400 M_NOT_JSON"),
        ("/sync unknown filter id", "?filter=999", ALICE, "400 M_INVALID_PARAM"),
        ("/sync access_token in query", "?access_token=token-of-alice", NOBODY, "200"),
    ];
    let server = Server::new();
    for (case, query, token, expected) in rows {
        let answer = server.ask("GET", &format!("{SYNC}{query}"), token, b"").await;
        check(case, &answer, expected);
    }
    check(
        "/sync by POST",
        &server.ask("POST", SYNC, ALICE, b"").await,
        "405 M_UNRECOGNIZED",
    );
    for version in ["r0", "unstable"] {
        let path = SYNC.replacen("v3", version, 1);
        check(version, &server.ask("GET", &path, ALICE, b"").await, "200");
    }
}

#[tokio::test]
async fn a_sync_has_the_shape_that_clients_expect() {
    let server = Server::new();
    let mine = "/_matrix/client/v3/presence/%40carol%3Aexample.org/status";
    let answer = server.ask("GET", SYNC, CAROL, b"").await;
    check("default set_presence makes own presence online", &answer, "200");
    assert_eq!(answer.body["presence"]["events"][0]["type"], "m.presence");
    assert_eq!(
        answer.body["presence"]["events"][0]["sender"],
        "@carol:example.org"
    );
    let got = server.ask("GET", mine, CAROL, b"").await;
    assert_eq!(got.body["presence"], "online");

    let not_presence = "%7B%22presence%22:%7B%22not_types%22:%5B%22m.presence%22%5D%7D%7D";
    let path = format!("{SYNC}?timeout=0&set_presence=offline&filter={not_presence}");
    let mut answer = server.ask("GET", &path, CAROL, b"").await;
    check("filter without presence", &answer, "200");
    assert!(answer.body["next_batch"].take().is_string());
    let expected = serde_json::json!({
        "next_batch": null,
        "device_one_time_keys_count": {"signed_curve25519": 0},
        "device_unused_fallback_key_types": [],
    });
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_long_poll_answers_at_once_when_the_server_stops() {
    let shutdown = CancellationToken::new();
    let resources = BTreeSet::from([Resource::Client]);
    let server = Server(router(&services(), &resources, &shutdown));
    let mut first = server.ask("GET", SYNC, CAROL, b"").await;
    let token = first.body["next_batch"].take();
    let since = token.as_str().expect("a token");
    let path = format!("{SYNC}?timeout=60000&set_presence=offline&since={since}");
    let mut waiting = pin!(server.ask("GET", &path, CAROL, b""));
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err());

    shutdown.cancel();
    let answer = timeout(Duration::from_secs(5), waiting)
        .await
        .expect("it is answered");
    check("long poll, the server stops", &answer, "200");
    assert_eq!(answer.body["next_batch"], token);
    assert_eq!(answer.body.get("presence"), None);
}

#[tokio::test]
async fn a_long_poll_times_out() {
    let server = Server::new();
    let first = server.ask("GET", SYNC, CAROL, b"").await;
    let since = first.body["next_batch"].as_str().expect("a token");
    let path = format!("{SYNC}?timeout=100&set_presence=offline&since={since}");
    let started = Instant::now();
    let answer = server.ask("GET", &path, CAROL, b"").await;
    check("/sync long poll times out", &answer, "200");
    assert!(started.elapsed() >= Duration::from_millis(100));
}

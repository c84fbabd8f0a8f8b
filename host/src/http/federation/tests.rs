//! What a homeserver is answered, row by row; and that no body is worth a 500.

mod kit;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use futures_util::stream;
use proptest::prelude::{Strategy, any};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use ruma_common::OwnedServerName;
use serde_json::json;
use tower::ServiceExt;

use crate::clock::{Clock, SystemClock};
use crate::federation::MAX_VALUES;
use crate::federation::signing::{Signer, any_json};
use crate::http::federation::tests::kit::{
    HERE, OTHER, SEND, Server, check, olga_is, other, ours, put, read,
};
use crate::http::federation::{LARGE_BODIES, send};
use crate::metrics::Exposition;

#[tokio::test]
async fn a_transaction_is_taken_once_and_answered_again() {
    let server = Server::new();
    assert_eq!(server.olga().await, "offline -");
    let first = server.send("1", &olga_is("online", "hi")).await;
    assert_eq!(first, (StatusCode::OK, json!({"pdus": {}})));
    assert_eq!(server.olga().await, "online hi");
    server.send("2", &olga_is("unavailable", "later")).await;
    assert_eq!(server.send("1", &olga_is("online", "hi")).await, first);
    assert_eq!(server.olga().await, "unavailable later");
    let (_, alice) = server
        .get("/_matrix/client/v3/presence/@alice:example.org/status")
        .await;
    assert_eq!(alice["presence"], "offline", "nobody speaks for her");
    assert_eq!(server.keys.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_transaction_that_one_listener_has_taken_no_other_takes_again() {
    let mut server = Server::new();
    check(
        "once",
        &server.send("1", &olga_is("online", "first")).await,
        "200",
    );
    std::mem::swap(&mut server.router, &mut server.other_listener);
    check(
        "again",
        &server.send("1", &olga_is("busy", "second")).await,
        "200",
    );
    assert_eq!(server.olga().await, "online first");
    check(
        "another",
        &server.send("2", &olga_is("busy", "third")).await,
        "200",
    );
    assert_eq!(server.olga().await, "busy third");
}

#[tokio::test]
async fn a_request_whose_sender_or_body_cannot_be_read_is_refused() {
    let (server, uri, body) = (Server::new(), format!("{SEND}1"), olga_is("online", "forged"));
    let good = other().header("PUT", &uri, HERE, Some(&body));
    let body = body.to_string();
    for (case, header, body, expected) in [
        ("no header", "", &*body, "401 M_UNAUTHORIZED"),
        ("no header, no JSON", "", "{", "400 M_NOT_JSON"),
        ("another scheme", "Bearer alice", &body, "401 M_UNAUTHORIZED"),
        (
            "a malformed header",
            "X-Matrix origin",
            &body,
            "400 M_UNAUTHORIZED",
        ),
        ("no JSON", &good, "{", "400 M_NOT_JSON"),
        ("an array", &good, "[]", "400 M_BAD_JSON"),
        ("an empty body", &good, "", "400 M_NOT_JSON"),
        ("another body", &good, r#"{"edus":[]}"#, "401 M_UNAUTHORIZED"),
    ] {
        let answer = server.ask(put(&uri, &[header], body.to_owned())).await;
        check(case, &answer, expected);
    }
    assert_eq!(server.olga().await, "offline -");
}

#[tokio::test]
async fn who_has_not_signed_is_refused_before_anything_counts() {
    let (server, uri, content) = (Server::new(), format!("{SEND}1"), olga_is("online", "forged"));
    let signed = |signer: &Signer, uri: &str, destination: &str| {
        signer.header("PUT", uri, destination, Some(&content))
    };
    let good = signed(&other(), &uri, HERE);
    let elsewhere = signed(&other(), &uri, "third.test");
    let nobody = signed(&Signer::new("nobody.test", "a", 1), &uri, HERE);
    let by_key = |version, seed| signed(&Signer::new(OTHER, version, seed), &uri, HERE);
    let rows = [
        ("another uri", vec![signed(&other(), "/x", HERE)]),
        (
            "a destination signed for another",
            vec![elsewhere.replace("third.test", HERE)],
        ),
        ("a wrong destination", vec![elsewhere]),
        ("another's key", vec![by_key("a", 2)]),
        ("an unknown key", vec![by_key("b", 2)]),
        ("another origin", vec![good.replace(OTHER, "nobody.test")]),
        ("two origins", vec![good, nobody.clone()]),
        ("an origin without keys", vec![nobody]),
        ("ourselves", vec![signed(&ours(), &uri, HERE)]),
    ];
    for (case, headers) in rows {
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let answer = server.ask(put(&uri, &headers, content.to_string())).await;
        let status = if case == "two origins" { 400 } else { 401 };
        check(case, &answer, &format!("{status} M_UNAUTHORIZED"));
        // They would be refused for more than this, which is what the sender can mend.
        for (only, text) in [
            ("a wrong destination", "destination mismatch"),
            ("ourselves", "to itself"),
        ] {
            let (_, body) = &answer;
            assert_eq!(body.to_string().contains(text), case == only, "{case}: {body}");
        }
    }
    assert_eq!(server.olga().await, "offline -");
}

#[tokio::test]
async fn a_refused_request_uses_no_transaction_up_and_old_servers_do_not_say_whom_it_is_for() {
    let server = Server::new();
    let (uri, content) = (format!("{SEND}1"), olga_is("online", "hi"));
    let good = other().header("PUT", &uri, HERE, Some(&content));
    check(
        "another body",
        &server.ask(put(&uri, &[&good], "{}")).await,
        "401 M_UNAUTHORIZED",
    );
    let short = good.replace(&format!(r#"destination="{HERE}","#), "");
    assert_ne!(short, good);
    let answer = server.ask(put(&uri, &[&short], content.to_string())).await;
    check("without a destination", &answer, "200");
    assert_eq!(server.olga().await, "online hi");
}

#[tokio::test]
async fn what_a_server_says_in_its_own_name_is_checked_too() {
    let server = Server::new();
    for (case, content, expected) in [
        (
            "another's transaction",
            json!({"origin": "third.test"}),
            "401 M_UNAUTHORIZED",
        ),
        ("51 PDUs", json!({"pdus": vec![json!({}); 51]}), "400 M_BAD_JSON"),
        (
            "101 EDUs",
            json!({"edus": vec![json!({}); 101]}),
            "400 M_BAD_JSON",
        ),
        ("EDUs that are none", json!({"edus": {}}), "400 M_BAD_JSON"),
        ("nothing", json!({}), "200"),
        (
            "a PDU of room version 1",
            json!({"pdus": [{"event_id": "$a:other.test"}]}),
            "200",
        ),
    ] {
        let answer = server.send(&case.replace(' ', "-"), &content).await;
        check(case, &answer, expected);
        if case.starts_with("a PDU") {
            let refused = json!({"pdus": {"$a:other.test": {"error": "this server takes presence alone"}}});
            assert_eq!(answer.1, refused);
        }
    }
}

#[tokio::test]
async fn a_body_is_bounded_in_length_in_values_and_in_time() {
    let server = Server::new();
    let uri = format!("{SEND}1");
    let header = other().header("PUT", &uri, HERE, Some(&json!({})));
    let long = vec![b' '; 20_000_000];
    check(
        "20 MB",
        &server.ask(put(&uri, &[&header], long)).await,
        "413 M_TOO_LARGE",
    );
    let values = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_VALUES));
    check(
        "many values",
        &server.ask(put(&uri, &[&header], values)).await,
        "413 M_TOO_LARGE",
    );
    let mut content = olga_is("online", "large");
    content["pdus"] = json!([{"text": "x".repeat(send::MAX_BODY_BYTES - 1_000)}]);
    check("9 MB", &server.send("2", &content).await, "200");
    assert_eq!(server.olga().await, "online large");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let server = Server::new();
    let uri = format!("{SEND}1");
    let never = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let slow = tokio::time::Instant::now();
    check(
        "a slow body",
        &server.ask(put(&uri, &[], never())).await,
        "408 M_UNKNOWN",
    );
    assert_eq!(slow.elapsed(), Duration::from_secs(30));
    // Those that may become large wait for each other, and not for long; small ones for nobody.
    let router = server.router.clone();
    let held: Vec<_> = (0..LARGE_BODIES)
        .map(|_| tokio::spawn(router.clone().oneshot(put(&uri, &[], never()))))
        .collect();
    tokio::task::yield_now().await;
    check(
        "no room",
        &server.ask(put(&uri, &[], never())).await,
        "429 M_LIMIT_EXCEEDED",
    );
    check(
        "a small body",
        &server.ask(put(&uri, &[], "{}")).await,
        "401 M_UNAUTHORIZED",
    );
    for response in held {
        let response = response.await.expect("no panic").expect("a router cannot fail");
        check("a slow body", &read(response).await, "408 M_UNKNOWN");
    }
}

#[tokio::test]
async fn a_server_that_is_not_allowed_is_told_so() {
    let only = OwnedServerName::try_from("friend.test").expect("valid");
    let server = Server::with(|federation| federation.allowed = Some(Arc::new(BTreeSet::from([only]))));
    let answer = server.send("1", &olga_is("online", "hi")).await;
    check("not on the list", &answer, "403 M_FORBIDDEN");
    assert_eq!(server.keys.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn the_other_paths_are_few() {
    let server = Server::new();
    let version = json!({"server": {"name": "presence-router", "version": env!("CARGO_PKG_VERSION")}});
    let path = "/_matrix/federation/v1/version";
    assert_eq!(server.get(path).await, (StatusCode::OK, version));
    for path in ["", "/", "/ed25519:ours"] {
        let (status, keys) = server.get(&format!("/_matrix/key/v2/server{path}")).await;
        assert_eq!((status, &keys["server_name"]), (StatusCode::OK, &json!(HERE)));
        assert!(keys["signatures"][HERE]["ed25519:ours"].is_string());
        let now = SystemClock.now_ms();
        assert!(keys["valid_until_ts"].as_u64().is_some_and(|until| until > now));
    }
    for (method, path, expected) in [
        ("GET", "/_matrix/federation/v1/event/$a", "404 M_UNRECOGNIZED"),
        ("GET", "/_matrix/key/v2/query", "404 M_UNRECOGNIZED"),
        ("PUT", "/_matrix/federation/v2/send/1", "404 M_UNRECOGNIZED"),
        ("PUT", "/_matrix/federation/v1/send/", "404 M_UNRECOGNIZED"),
        ("GET", "/_matrix/federation/v1/send/1", "405 M_UNRECOGNIZED"),
        ("PUT", "/_matrix/federation/v1/send/1/", "401 M_UNAUTHORIZED"),
        ("PUT", "/_matrix/federation/v1/send/%2f%ff", "400 M_INVALID_PARAM"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let answer = server.ask(request.body(Body::from("{}")).expect("valid")).await;
        check(path, &answer, expected);
    }
}

#[tokio::test]
async fn all_is_counted_by_what_became_of_it() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let server = Server::new();
    for id in ["1", "1", "2"] {
        check(id, &server.send(id, &olga_is("online", id)).await, "200");
    }
    server.send("3", &json!({"edus": 5})).await;
    server.ask(put(&format!("{SEND}4"), &[], "{}")).await;
    let header = Signer::new("nobody.test", "a", 1).header("PUT", SEND, HERE, None);
    for _ in 0..2 {
        server.ask(put(&format!("{SEND}5"), &[&header], "{}")).await;
    }
    let text = exposition.render();
    for line in [
        r#"presence_router_federation_transactions_total{outcome="ok"} 2"#,
        r#"presence_router_federation_transactions_total{outcome="repeated"} 1"#,
        r#"presence_router_federation_transactions_total{outcome="refused"} 1"#,
        r#"presence_router_federation_transactions_total{outcome="unauthorized"} 3"#,
        r#"presence_router_federation_transactions_total{outcome="busy"} 0"#,
        r#"presence_router_federation_entries_total{outcome="taken"} 2"#,
        r#"presence_router_federation_entries_total{outcome="foreign"} 2"#,
        r#"presence_router_federation_entries_total{outcome="unreadable"} 2"#,
        r#"presence_router_federation_key_fetches_total{outcome="ok"} 1"#,
        r#"presence_router_federation_key_fetches_total{outcome="failed"} 1"#,
        r#"presence_router_federation_key_fetches_total{outcome="too_soon"} 1"#,
        "presence_router_federation_strangers_refused_total 0",
        "synapse_handler_presence_federation_presence_total 2",
    ] {
        assert!(text.lines().any(|got| got == line), "{line}\nis not in\n{text}");
    }
}

/// Whatever a server signs, and whatever nobody has signed.
#[tokio::test]
async fn no_body_is_worth_a_500() {
    let server = Server::new();
    let mut runner = TestRunner::deterministic();
    let contents = (any_json(), any_json());
    let mut taken = 0;
    for number in 0..150 {
        let (json, more) = contents.new_tree(&mut runner).expect("made").current();
        for (kind, content) in [
            ("any", json!({"edus": json, "pdus": more})),
            (
                "edus",
                json!({"edus": [{"edu_type": "m.presence", "content": json}, more]}),
            ),
            (
                "push",
                json!({"edus": [{"edu_type": "m.presence", "content": {"push": [json, more]}}]}),
            ),
        ] {
            let text = content.to_string();
            let uri = format!("{SEND}{number}-{kind}");
            let header = format!(
                r#"X-Matrix origin="{OTHER}",key="ed25519:a",sig="{}""#,
                other().raw(&uri, HERE, &text)
            );
            let (status, body) = server.ask(put(&uri, &[&header], text.clone())).await;
            let fine = matches!(
                status,
                StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE
            );
            // An integer of more than 64 bits is signed as one, and read as a fraction.
            assert!(
                fine || status == StatusCode::UNAUTHORIZED,
                "{status} {body} for {text}"
            );
            taken += usize::from(status == StatusCode::OK);
        }
    }
    assert!(taken > 200, "{taken} were taken");
    let bytes = proptest::collection::vec(any::<u8>(), 0..100);
    for _ in 0..200 {
        let body = bytes.new_tree(&mut runner).expect("made").current();
        let (status, _) = server.ask(put(&format!("{SEND}1"), &[], body)).await;
        assert!(status.is_client_error(), "{status}");
    }
}

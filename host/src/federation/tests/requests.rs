//! Requests that arrive: what the other server sees, over which connection, and what comes back.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use ruma_common::CanonicalJsonObject;
use ruma_common::serde::Base64;
use ruma_signatures::{PublicKeyMap, verify_json};
use serde_json::{Value, json};

use super::*;

/// Answers with what it was asked, once the signature has been checked as the specification says.
async fn checked(
    State(destination): State<&'static str>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let header = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().expect("is text").to_owned())
    };
    let authorization = header("authorization").expect("is signed");
    let fields: HashMap<_, _> = authorization
        .strip_prefix("X-Matrix ")
        .expect("is of this scheme")
        .split(',')
        .map(|field| {
            let (name, value) = field.split_once('=').expect("has a value");
            (name, value.trim_matches('"').to_owned())
        })
        .collect();
    assert_eq!(fields["destination"], destination);
    let mut signed = json!({
        "method": method.as_str(),
        "uri": uri.path_and_query().expect("has a path").as_str(),
        "origin": fields["origin"],
        "destination": destination,
        "signatures": { &fields["origin"]: { &fields["key"]: fields["sig"] } },
    });
    if !body.is_empty() {
        signed["content"] = serde_json::from_slice(&body).expect("is JSON");
    }
    let signed: CanonicalJsonObject = serde_json::from_value(signed).expect("is canonical");
    let mut keys = PublicKeyMap::new();
    let ours = identity().key_response(0, std::time::Duration::ZERO);
    let ours = ours["verify_keys"][&fields["key"]]["key"]
        .as_str()
        .expect("is ours");
    let key = Base64::parse(ours).expect("is a key");
    keys.entry(fields["origin"].clone())
        .or_default()
        .insert(fields["key"].clone(), key);
    verify_json(&keys, &signed).expect("the signature is right");
    let seen = json!({
        "asked": format!("{method} {uri}"),
        "host": header("host"),
        "type": header("content-type"),
        "agent": header("user-agent"),
        "body": String::from_utf8_lossy(&body),
    });
    (StatusCode::IM_A_TEAPOT, [("retry-after", "7")], seen.to_string())
}

fn checking(destination: &'static str) -> Router {
    Router::new().fallback(any(checked)).with_state(destination)
}

async fn ask(client: &FederationClient, server: &str) -> Result<Value, RequestError> {
    let answer = client
        .send(Method::GET, name(server), "/_matrix/a?b=%2F", None)
        .await?;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    Ok(serde_json::from_slice(&answer.body).expect("is JSON"))
}

#[tokio::test]
async fn a_request_arrives_signed_and_its_answer_comes_back_whatever_its_status() {
    let authority = Authority::new();
    let server = authority.serve(&["a.test"], checking("a.test")).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let client = client(Setup {
        ports: ports(1, server.port()),
        ..setup(&names, &authority)
    });
    let body = json!({"edus": [{"b": 1, "a": "\u{1f980}\n"}], "origin": "origin.test"});
    let sent = client.send(
        Method::PUT,
        name("a.test"),
        "/_matrix/federation/v1/send/1",
        Some(&body),
    );
    let answer = sent.await.expect("is answered");
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(answer.headers["retry-after"], "7");
    let seen: Value = serde_json::from_slice(&answer.body).expect("is JSON");
    let sent: Value = serde_json::from_str(seen["body"].as_str().expect("is text")).expect("is JSON");
    assert_eq!(sent, body);
    let (asked, agent) = (&seen["asked"], &seen["agent"]);
    assert_eq!(
        json!([asked, seen["host"], seen["type"], agent]),
        json!([
            "PUT /_matrix/federation/v1/send/1",
            "a.test",
            "application/json",
            concat!("presence-router/", env!("CARGO_PKG_VERSION"))
        ])
    );
    let seen = ask(&client, "a.test").await.expect("is answered");
    assert_eq!(
        json!([seen["asked"], seen["type"], seen["body"]]),
        json!(["GET /_matrix/a?b=%2F", null, ""])
    );
}

/// The certificate is of the one name that the specification wants in this case.
#[tokio::test]
async fn in_each_way_of_finding_it_the_right_name_is_proven_and_told() {
    let authority = Authority::new();
    // By address.
    let by_address = authority
        .serve(&["127.0.0.1"], Router::new().fallback(any(host)))
        .await;
    let plain = authority
        .serve(&["a.test"], Router::new().fallback(any(host)))
        .await;
    let delegated = authority
        .serve(&["there.test"], Router::new().fallback(any(host)))
        .await;
    let port = delegated.port();
    let saying = move |headers: HeaderMap| async move {
        match headers["host"].to_str().expect("is text") {
            host if host.starts_with("to-port.test") => format!(r#"{{"m.server": "there.test:{port}"}}"#),
            _ => r#"{"m.server": "there.test"}"#.to_owned(),
        }
    };
    let well_known = authority
        .serve(
            &["to-port.test", "to-service.test"],
            Router::new().fallback(get(saying)),
        )
        .await;
    let names = KnownNames::default()
        .host("a.test", &["127.0.0.1"])
        .host("there.test", &["127.0.0.1"])
        .host("target.test", &["127.0.0.1"])
        .host("to-port.test", &["127.0.0.1"])
        .host("to-service.test", &["127.0.0.1"])
        .service("_matrix-fed._tcp.there.test", 0, port, "target.test");
    let default_port = client(Setup {
        ports: ports(well_known.port(), plain.port()),
        ..setup(&names, &authority)
    });
    let by_port = format!("a.test:{}", plain.port());
    let address = format!("127.0.0.1:{}", by_address.port());
    for (server, host) in [
        (address.as_str(), address.as_str()),
        ("a.test", "a.test"),
        (by_port.as_str(), by_port.as_str()),
        ("to-port.test", &format!("there.test:{port}")),
        ("to-service.test", "there.test"),
        ("there.test", "there.test"),
    ] {
        let answer = default_port.send(Method::GET, name(server), "/", None).await;
        let answer = answer.unwrap_or_else(|error| panic!("{server}: {}", chain(error)));
        assert_eq!(answer.body, host, "{server}");
    }
}

async fn host(headers: HeaderMap) -> String {
    headers["host"].to_str().expect("is text").to_owned()
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let authority = Authority::new();
    let server = authority.serve(&["a.test"], checking("a.test")).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let client = client(Setup {
        ports: ports(1, server.port()),
        ..setup(&names, &authority)
    });
    for _ in 0..3 {
        ask(&client, "a.test").await.expect("is answered");
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(client.kept(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_breaks_on_a_request_costs_nothing_but_a_new_one() {
    let authority = Authority::new();
    // Answers one request a connection, promises to keep it, and ends it on the next request.
    let server = authority.answer_once(&["a.test"]).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let client = client(Setup {
        ports: ports(1, server.port()),
        ..setup(&names, &authority)
    });
    for times in 1..=3 {
        let answer = client.send(Method::GET, name("a.test"), "/", None).await;
        assert_eq!(answer.expect("is answered").body, "once");
        assert_eq!(server.connections(), times);
    }
}

#[tokio::test]
async fn of_several_addresses_the_first_that_takes_a_connection_is_used() {
    let authority = Authority::new();
    let server = authority.serve(&["a.test"], checking("a.test")).await;
    // Nobody listens at the first, and the second may not be called.
    let names = KnownNames::default().host("a.test", &["127.0.0.3", "10.0.0.1", "127.0.0.1"]);
    let access = Outgoing {
        allowed: vec!["127.0.0.3/32".parse().expect("a range"), ALLOWED.into()],
        ..Outgoing::default()
    };
    let client = client(Setup {
        ports: ports(1, server.port()),
        access: Arc::new(access),
        ..setup(&names, &authority)
    });
    ask(&client, "a.test").await.expect("is answered");
}

#[tokio::test]
async fn keys_are_asked_for_without_a_signature() {
    let authority = Authority::new();
    let keys = |headers: HeaderMap| async move {
        assert!(!headers.contains_key("authorization"));
        r#"{"server_name": "a.test", "large": 18446744073709551615, "half": 0.5}"#
    };
    let router = Router::new()
        .route("/_matrix/key/v2/server", get(keys))
        .fallback(get(|| async { StatusCode::IM_A_TEAPOT }));
    let server = authority.serve(&["a.test"], router).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let client = client(Setup {
        ports: ports(1, server.port()),
        ..setup(&names, &authority)
    });
    let keys = client.get_server_keys(name("a.test")).await.expect("are told");
    assert_eq!(keys["server_name"], "a.test");
}

#[tokio::test]
async fn what_cannot_be_signed_as_it_is_sent_is_not_sent() {
    let client = client(setup(&KnownNames::default(), &Authority::new()));
    let send = |path, body| {
        let (client, body) = (&client, Some(body));
        async move {
            client
                .send(Method::PUT, name("a.test"), path, body.as_ref())
                .await
        }
    };
    fails(send("/", json!({"a": 0.5})).await, "not canonical JSON");
    fails(send("/", json!({"a": u64::MAX})).await, "not canonical JSON");
    for path in ["", "a", "/a b", "/a#b", "https://b.test/", "*"] {
        fails(send(path, json!({})).await, "is not the path of a request");
    }
}

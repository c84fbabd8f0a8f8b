//! What is logged, for machines that read it.

use presence_router_tests::{Config, Host, PATIENCE, Request, artifacts, token_of};
use serde_json::{Value, json};

const ACCESS: &str = "presence_router::http::access";

#[test]
fn with_json_each_line_is_an_object_and_each_request_has_one() {
    let config = Config::neighbours()
        .module(artifacts::broadcast(), json!({}))
        .set(&["log"], json!({"level": "debug", "format": "json"}));
    let host = Host::start(&config);
    let alice = host.user("alice");
    alice.set("online", None);
    let secret = token_of("alice");
    let whoami = format!("/_matrix/client/v3/account/whoami?access_token={secret}");
    host.client().send(&Request::new("GET", whoami)).expect(200);
    host.client().send(&Request::new("GET", "/health/unknown"));
    let log = host.log().clone();
    log.wait_for(&[ACCESS, "none"], PATIENCE);
    host.terminate().expect_code(0);

    let text = log.text();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}")))
        .collect();
    for event in &events {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(event[field].is_string(), "{field} of {event}");
        }
    }
    assert!(!text.contains(&secret), "a token is in the log:\n{text}");
    let requests: Vec<&Value> = events.iter().filter(|event| event["target"] == ACCESS).collect();
    let [put, whoami, unknown] = requests.as_slice() else {
        panic!("not three requests: {requests:#?}");
    };
    let route = "/_matrix/client/v3/presence/{user_id}/status";
    check(put, "PUT", route, 200, Some(alice.id()));
    check(
        whoami,
        "GET",
        "/_matrix/client/v3/account/whoami",
        200,
        Some(alice.id()),
    );
    check(unknown, "GET", "none", 404, None);
}

#[track_caller]
fn check(event: &Value, method: &str, route: &str, status: u16, user: Option<&str>) {
    assert_eq!(event["level"], "DEBUG", "{event}");
    assert_eq!(event["method"], method, "{event}");
    assert_eq!(event["route"], route, "{event}");
    assert_eq!(event["status"], status, "{event}");
    assert_eq!(event["user"].as_str(), user, "{event}");
    assert!(
        event["duration_ms"].as_f64().is_some_and(|ms| ms >= 0.0),
        "{event}"
    );
}

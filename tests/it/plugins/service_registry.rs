//! `service_registry`: everything to the services that are listed over HTTP.

use presence_router_tests::{Config, GOBBLER, Host, PATIENCE, Web, artifacts};
use serde_json::json;

const SECRET: &str = "Bearer do-not-log-this";

fn config(web: &Web) -> Config {
    Config::neighbours()
        .module(
            artifacts::plugin("service_registry"),
            json!({"url": web.url(), "interval": "1s", "headers": {"Authorization": SECRET}}),
        )
        .set(&["log", "level"], json!("trace"))
}

fn start(web: &Web) -> Host {
    Host::start(&config(web).set(&["ip_range_whitelist"], json!(["127.0.0.0/8"])))
}

#[test]
fn a_service_receives_everything_for_as_long_as_it_is_listed() {
    let web = Web::start(&json!({"services": [{"user_id": GOBBLER, "ttl": 3600}]}).to_string());
    let host = start(&web);
    let (alice, gobbler) = (host.user("alice"), host.user("presence_gobbler"));
    let since = gobbler.now();
    alice.set("online", Some("hello bots"));
    gobbler.sync_until_says(&since, alice.id(), "hello bots");
    gobbler.presence_of(alice.id()).expect(200);

    // A registry that fails changes nothing.
    web.answer(500, "");
    host.log()
        .wait_for(&["the registry gave no list of services"], PATIENCE);
    gobbler.presence_of(alice.id()).expect(200);
    web.answer(200, "[]");
    host.log().wait_for(&["the registry answers again"], PATIENCE);
    host.log()
        .wait_for(&["0 services receive every update"], PATIENCE);
    gobbler.presence_of(alice.id()).expect(403);

    let sent = &web.requests()[0];
    assert_eq!(sent[0], "GET /services HTTP/1.1");
    let header = format!("authorization: {SECRET}");
    assert!(
        sent.iter().any(|line| line.eq_ignore_ascii_case(&header)),
        "{sent:?}"
    );
    let output = host.terminate();
    assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
    output.expect_code(0);
}

#[test]
fn services_of_before_a_restart_are_served_while_the_registry_is_away() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("presence.db");
    let web = Web::start(&json!([GOBBLER]).to_string());
    let config = config(&web)
        .set(&["ip_range_whitelist"], json!(["127.0.0.0/8"]))
        .set(
            &["database"],
            json!({"name": "sqlite3", "args": {"database": file}}),
        );
    let host = Host::start(&config);
    host.log()
        .wait_for(&["1 services receive every update"], PATIENCE);
    // The next poll begins when the last one has stored what it got.
    let polls = web.requests().len();
    web.wait_for_requests(polls + 2, PATIENCE);
    host.terminate().expect_code(0);

    web.answer(503, "");
    let host = Host::start(&config);
    host.log()
        .wait_for(&["the registry gave no list of services"], PATIENCE);
    let (alice, gobbler) = (host.user("alice"), host.user("presence_gobbler"));
    let since = gobbler.now();
    alice.set("online", Some("still here"));
    gobbler.sync_until_says(&since, alice.id(), "still here");
    host.terminate().expect_code(0);
}

#[test]
fn a_registry_on_a_private_address_is_not_asked_unless_the_operator_allows_it() {
    let web = Web::start("[]");
    let host = Host::start(&config(&web));
    let line = host
        .log()
        .wait_for(&["the registry gave no list of services"], PATIENCE);
    assert!(line.contains("127.0.0.1"), "{line}");
    assert!(web.requests().is_empty());
    // The server works without it.
    host.user("alice").set("online", None);
    let output = host.terminate();
    assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
    output.expect_code(0);
}

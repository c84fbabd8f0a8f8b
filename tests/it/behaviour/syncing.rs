//! `/sync`, and what clients ask before it.

use presence_router_tests::{Request, SyncAnswer, SyncRequest, id_of};

use super::{check, get, start};

#[test]
fn syncing() {
    let host = start();
    let sync = |query: &str| get(&format!("/_matrix/client/v3/sync?timeout=0&{query}"));
    for (case, query, status, errcode) in [
        ("a bad since", "since=nonsense", 400, "M_INVALID_PARAM"),
        ("a bad set_presence", "set_presence=away", 400, "M_INVALID_PARAM"),
        ("set_presence=busy", "set_presence=busy", 400, "M_INVALID_PARAM"),
        ("a bad filter", "filter=%7B", 400, "M_NOT_JSON"),
        ("an unknown filter", "filter=999", 400, "M_INVALID_PARAM"),
        ("full_state", "full_state=true", 200, ""),
    ] {
        check(&host, case, &sync(query), status, errcode);
    }
    check(
        &host,
        "a bad timeout",
        &get("/_matrix/client/v3/sync?timeout=x"),
        400,
        "M_INVALID_PARAM",
    );
    let path = "/_matrix/client/v3/sync";
    check(
        &host,
        "no token",
        &Request::new("GET", path),
        401,
        "M_MISSING_TOKEN",
    );
    check(
        &host,
        "an unknown token",
        &Request::new("GET", path).token("unknown"),
        401,
        "M_UNKNOWN_TOKEN",
    );
    check(&host, "r0", &get("/_matrix/client/r0/sync?timeout=0"), 200, "");

    let bob = host.user("bob");
    bob.set("online", None);
    let filter = "%7B%22presence%22%3A%7B%22not_types%22%3A%5B%22m.presence%22%5D%7D%7D";
    let path = format!("/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter={filter}");
    let filtered = bob.send(Request::new("GET", path)).expect(200);
    assert_eq!(SyncAnswer::read(&filtered).presence, []);
    assert!(bob.sync(&SyncRequest::initial()).of(bob.id()).is_some());
}

#[test]
fn the_rest_that_clients_ask_first() {
    let host = start();
    let versions = host
        .client()
        .send(&Request::new("GET", "/_matrix/client/versions"))
        .expect(200);
    assert!(
        versions["versions"]
            .as_array()
            .is_some_and(|list| !list.is_empty()),
        "{versions}"
    );
    let whoami = "/_matrix/client/v3/account/whoami";
    assert_eq!(
        host.user("alice").send(Request::new("GET", whoami)).expect(200)["user_id"],
        id_of("alice")
    );
    check(
        &host,
        "whoami without a token",
        &Request::new("GET", whoami),
        401,
        "M_MISSING_TOKEN",
    );
    assert_eq!(host.client().send(&Request::new("GET", "/health")).status, 200);
}

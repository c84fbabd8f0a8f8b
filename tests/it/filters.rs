//! Stored filters, as a client uses them that is started again.

use presence_router_tests::{Config, Host, Request, SyncAnswer, User};
use serde_json::{Value, json};

fn path(user: &User, rest: &str) -> String {
    format!("/_matrix/client/v3/user/{}/filter{rest}", user.id())
}

fn store(user: &User, filter: &Value) -> String {
    let answer = user.send(Request::new("POST", path(user, "")).body(filter.to_string()));
    let id = answer.expect(200)["filter_id"].clone();
    id.as_str().expect("the id is a string").to_owned()
}

fn sync(user: &User, filter: &str) -> Vec<String> {
    let path = format!("/_matrix/client/v3/sync?set_presence=offline&filter={filter}");
    let answer = SyncAnswer::read(&user.send(Request::new("GET", path)).expect(200));
    answer.senders().into_iter().map(str::to_owned).collect()
}

#[test]
fn a_client_that_comes_back_goes_on_with_the_filter_that_it_has_stored() {
    let host = Host::start(&Config::neighbours());
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    alice.set("online", None);
    bob.set("online", None);
    let filter = json!({"presence": {"not_senders": [alice.id()]}, "room": {"timeline": {"limit": 10}}});
    let id = store(&alice, &filter);
    assert_eq!(id, "0");
    drop(alice);

    // A new client knows the id alone: from its own store, or by storing the same again.
    let alice = host.user("alice");
    assert_eq!(sync(&alice, &id), [bob.id()]);
    assert_eq!(store(&alice, &filter), id);
    let stored = alice.send(Request::new("GET", path(&alice, "/0"))).expect(200);
    assert_eq!(stored, filter);
    // Another user's filters are their own.
    let refused = bob.send(Request::new(
        "GET",
        format!("/_matrix/client/v3/sync?filter={id}"),
    ));
    assert_eq!(
        (refused.status, refused.errcode().as_str()),
        (400, "M_INVALID_PARAM")
    );
    let refused = bob.send(Request::new("GET", path(&alice, "/0")));
    assert_eq!((refused.status, refused.errcode().as_str()), (403, "M_FORBIDDEN"));
    host.terminate().expect_code(0);
}

//! Stored filters, over HTTP: what Synapse's own tests pin, and what syncs make of them.

use serde_json::{Value, json};

use crate::http::client::behaviour_tests::{Answer, NOBODY, Row, Server, check};
use crate::http::client::test_engine::{ALICE, BOB, CAROL, services};

const MINE: &str = "/_matrix/client/v3/user/%40alice%3Aexample.org/filter";
const SYNC: &str = "/_matrix/client/v3/sync?timeout=0&set_presence=offline";

struct Filters(Server);

impl Filters {
    fn new() -> Self {
        Self(Server::of(&services()))
    }

    async fn post(&self, filter: &str) -> Answer {
        self.0.ask("POST", MINE, ALICE, filter.as_bytes()).await
    }

    /// Stores a filter of Alice's, and answers its id.
    async fn store(&self, filter: &Value) -> String {
        let answer = self.post(&filter.to_string()).await;
        check("store", &answer, "200");
        answer.body["filter_id"].as_str().expect("an id").to_owned()
    }

    async fn get(&self, id: &str) -> Answer {
        self.0.ask("GET", &format!("{MINE}/{id}"), ALICE, b"").await
    }

    async fn sync(&self, token: &str, filter: &str) -> Answer {
        self.0
            .ask("GET", &format!("{SYNC}&filter={filter}"), token, b"")
            .await
    }
}

fn senders(answer: &Answer) -> Vec<&str> {
    let events = answer.body["presence"]["events"].as_array();
    let senders = events.into_iter().flatten().map(|event| event["sender"].as_str());
    let mut senders: Vec<_> = senders.map(|sender| sender.expect("a sender")).collect();
    senders.sort_unstable();
    senders
}

// Synapse tests/rest/client/test_filter.py: test_add_filter, test_get_filter.
#[tokio::test]
async fn what_is_stored_is_what_is_got_and_ids_count_from_0() {
    let filters = Filters::new();
    let filter = json!({"room": {"timeline": {"types": ["m.room.message"]}}, "unknown": [1, null]});
    assert_eq!(filters.store(&filter).await, "0");
    assert_eq!(filters.store(&json!({})).await, "1");
    let answer = filters.get("0").await;
    check("get", &answer, "200");
    assert_eq!(answer.body, filter);
    assert_eq!(filters.get("1").await.body, json!({}));
    for version in ["r0", "unstable"] {
        let path = format!("{}/0", MINE.replacen("v3", version, 1));
        check(version, &filters.0.ask("GET", &path, ALICE, b"").await, "200");
    }
}

#[tokio::test]
async fn the_same_filter_has_the_same_id_however_it_is_written() {
    let filters = Filters::new();
    let first = filters
        .post(r#"{"presence":{"types":["a"],"limit":1},"event_format":"client"}"#)
        .await;
    let same = filters
        .post(r#"{ "event_format": "client", "presence": {"limit": 1, "types": ["a"]} }"#)
        .await;
    let other = filters
        .post(r#"{"presence":{"types":["b"],"limit":1},"event_format":"client"}"#)
        .await;
    assert_eq!(first.body, json!({"filter_id": "0"}));
    assert_eq!(same.body, first.body);
    assert_eq!(other.body, json!({"filter_id": "1"}));
}

// Synapse tests/rest/client/test_filter.py: test_add_filter_for_other_user, test_add_filter_non_local_user,
// test_get_filter_non_existant, test_get_filter_invalid_id, test_get_filter_no_id.
#[tokio::test]
async fn who_may_store_and_see_what() {
    let filters = Filters::new();
    filters.store(&json!({})).await;
    let of = |user: &str| MINE.replace("%40alice%3Aexample.org", user);
    let bobs = of("%40bob%3Aexample.org");
    let forbidden = "403 M_FORBIDDEN";
    let invalid = "400 M_INVALID_PARAM";
    let missing = "401 M_MISSING_TOKEN";
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("POST for another user", "POST", bobs.clone(), ALICE, b"{}", forbidden),
        ("POST for another user, bad JSON", "POST", bobs.clone(), ALICE, b"{", forbidden),
        ("POST for a remote user", "POST", of("%40x%3Aremote.invalid"), ALICE, b"{}", forbidden),
        ("GET of another user", "GET", format!("{MINE}/0"), BOB, b"", forbidden),
        ("GET of another user, unknown", "GET", format!("{MINE}/9"), BOB, b"", forbidden),
        ("GET unknown id", "GET", format!("{MINE}/12382148321"), ALICE, b"", "404 M_NOT_FOUND"),
        ("GET negative id", "GET", format!("{MINE}/-1"), ALICE, b"", "404 M_NOT_FOUND"),
        ("GET huge id", "GET", format!("{MINE}/{}", "9".repeat(60)), ALICE, b"", "404 M_NOT_FOUND"),
        ("GET no number", "GET", format!("{MINE}/foobar"), ALICE, b"", invalid),
        ("GET no id", "GET", format!("{MINE}/"), ALICE, b"", invalid),
        ("GET not UTF-8", "GET", format!("{MINE}/%ff"), ALICE, b"", invalid),
        ("POST malformed user id", "POST", of("alice"), ALICE, b"{}", invalid),
        ("POST malformed user id, no token", "POST", of("alice"), NOBODY, b"{}", invalid),
        ("POST empty user id", "POST", of(""), ALICE, b"{}", invalid),
        ("POST no token", "POST", MINE.into(), NOBODY, b"{}", missing),
        ("GET no token", "GET", format!("{MINE}/0"), NOBODY, b"", missing),
        ("GET unknown token", "GET", format!("{MINE}/0"), "nope", b"", "401 M_UNKNOWN_TOKEN"),
        ("POST bad JSON", "POST", MINE.into(), ALICE, b"{", "400 M_NOT_JSON"),
        ("POST a list", "POST", MINE.into(), ALICE, b"[]", "400 M_BAD_JSON"),
        ("POST no filter", "POST", MINE.into(), ALICE, br#"{"presence":{"senders":["alice"]}}"#, "400 M_BAD_JSON"),
        ("PUT", "PUT", MINE.into(), ALICE, b"{}", "405 M_UNRECOGNIZED"),
        ("DELETE", "DELETE", format!("{MINE}/0"), ALICE, b"", "405 M_UNRECOGNIZED"),
        ("under the first API", "POST", MINE.replacen("v3", "api/v1", 1), ALICE, b"{}", "404 M_UNRECOGNIZED"),
    ];
    for (case, method, path, token, body, expected) in rows {
        check(case, &filters.0.ask(method, path, token, body).await, expected);
    }
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(64 * 1024));
    check("POST 64 KiB", &filters.post(&long).await, "413 M_TOO_LARGE");
}

#[tokio::test]
async fn a_sync_takes_the_filter_that_was_stored() {
    let filters = Filters::new();
    for (user, token) in [("alice", ALICE), ("bob", BOB)] {
        let path = format!("/_matrix/client/v3/presence/%40{user}%3Aexample.org/status");
        let online = br#"{"presence": "online"}"#;
        check(user, &filters.0.ask("PUT", &path, token, online).await, "200");
    }
    let (alice, bob) = ("@alice:example.org", "@bob:example.org");
    let only_bob = filters.store(&json!({"presence": {"senders": [bob]}})).await;
    let not_bob = filters.store(&json!({"presence": {"not_senders": [bob]}})).await;
    let nothing = filters
        .store(&json!({"presence": {"not_types": ["m.presence"]}}))
        .await;
    // Synapse does not apply `limit` to presence.
    let one = filters.store(&json!({"presence": {"limit": 1}})).await;
    for (filter, expected) in [
        (&only_bob, vec![bob]),
        (&not_bob, vec![alice]),
        (&nothing, vec![]),
        (&one, vec![alice, bob]),
    ] {
        for time in ["looked up", "known"] {
            let answer = filters.sync(ALICE, filter).await;
            check(filter, &answer, "200");
            assert_eq!(senders(&answer), expected, "{filter}, {time}");
        }
    }
    for (case, token, filter) in [
        ("unknown", ALICE, "4"),
        ("negative", ALICE, "-1"),
        ("no number", ALICE, "abc"),
        ("empty", ALICE, ""),
        ("another user's", CAROL, &only_bob),
    ] {
        check(case, &filters.sync(token, filter).await, "400 M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn a_user_stores_a_thousand_and_no_more() {
    let filters = Filters::new();
    for number in 0..1_000 {
        assert_eq!(
            filters.store(&json!({"number": number})).await,
            number.to_string()
        );
    }
    check(
        "one more",
        &filters.post(r#"{"number":-1}"#).await,
        "403 M_FORBIDDEN",
    );
    assert_eq!(
        filters.store(&json!({"number": 7})).await,
        "7",
        "a known one is still stored"
    );
}

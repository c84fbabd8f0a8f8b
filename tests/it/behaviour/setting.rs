//! `PUT /presence/{userId}/status`.

use presence_router_tests::user::status_path;
use presence_router_tests::{Request, id_of, token_of};
use serde_json::{Value, json};

use super::{check, put, start};

#[test]
fn who_may_set_presence() {
    let host = start();
    let fine = r#"{"presence": "online", "status_msg": "hi"}"#;
    let alice = id_of("alice");
    for (case, user, body, status, errcode) in [
        ("oneself", alice.as_str(), fine, 200, ""),
        ("another user", &id_of("bob"), fine, 403, "M_FORBIDDEN"),
        (
            "a user who is not there",
            &id_of("nobody"),
            fine,
            403,
            "M_FORBIDDEN",
        ),
        ("a remote user", "@far:remote.example", fine, 403, "M_FORBIDDEN"),
        (
            "another user, and bad JSON",
            &id_of("bob"),
            "{",
            403,
            "M_FORBIDDEN",
        ),
        ("no user id", "alice", fine, 400, "M_INVALID_PARAM"),
    ] {
        check(
            &host,
            case,
            &put(user, body).token(&token_of("alice")),
            status,
            errcode,
        );
    }
    let authorized = |value: &str| put(&alice, fine).header("Authorization", value);
    for (case, request, status, errcode) in [
        ("no token", put(&alice, fine), 401, "M_MISSING_TOKEN"),
        (
            "no token, and no user id",
            put("alice", fine),
            401,
            "M_MISSING_TOKEN",
        ),
        ("no token, and bad JSON", put(&alice, "{"), 401, "M_MISSING_TOKEN"),
        (
            "an unknown token",
            put(&alice, fine).token("unknown"),
            401,
            "M_UNKNOWN_TOKEN",
        ),
        ("an empty token", authorized("Bearer "), 401, "M_MISSING_TOKEN"),
        ("Basic", authorized("Basic YWxpY2U6eA=="), 401, "M_MISSING_TOKEN"),
        (
            "bearer in lower case",
            authorized("bearer alice-token"),
            401,
            "M_MISSING_TOKEN",
        ),
    ] {
        check(&host, case, &request, status, errcode);
    }
    let path = format!("{}?access_token={}", status_path(&alice), token_of("alice"));
    check(
        &host,
        "the token in the query",
        &Request::new("PUT", path).body(fine),
        200,
        "",
    );
    for method in ["POST", "PATCH"] {
        let request = Request::new(method, status_path(&alice))
            .token(&token_of("alice"))
            .body(fine);
        check(&host, method, &request, 405, "M_UNRECOGNIZED");
    }
    let delete = Request::new("DELETE", status_path(&alice)).token(&token_of("alice"));
    check(&host, "DELETE", &delete, 405, "M_UNRECOGNIZED");
    check(
        &host,
        "OPTIONS",
        &Request::new("OPTIONS", status_path(&alice)),
        204,
        "",
    );
}

#[test]
fn what_presence_can_be_set() {
    let host = start();
    let long = format!(r#"{{"presence": "{}"}}"#, "o".repeat(10_000));
    let cases: &[(&str, &[u8], u16, &str)] = &[
        ("presence alone", br#"{"presence": "online"}"#, 200, ""),
        ("busy", br#"{"presence": "busy"}"#, 400, "M_INVALID_PARAM"),
        ("upper case", br#"{"presence": "ONLINE"}"#, 400, "M_INVALID_PARAM"),
        (
            "an unknown state",
            br#"{"presence": "away"}"#,
            400,
            "M_INVALID_PARAM",
        ),
        ("an empty state", br#"{"presence": ""}"#, 400, "M_INVALID_PARAM"),
        ("a long state", long.as_bytes(), 400, "M_INVALID_PARAM"),
        ("null", br#"{"presence": null}"#, 400, "M_BAD_JSON"),
        ("an integer", br#"{"presence": 1}"#, 400, "M_BAD_JSON"),
        ("a list", br#"{"presence": ["online"]}"#, 400, "M_BAD_JSON"),
        ("an object", br#"{"presence": {}}"#, 400, "M_BAD_JSON"),
        ("no presence", br#"{"status_msg": "x"}"#, 400, "M_BAD_JSON"),
        ("an empty object", b"{}", 400, "M_BAD_JSON"),
        ("an unknown key", br#"{"presence": "online", "foo": 1}"#, 200, ""),
        (
            "an unknown key and state",
            br#"{"presence": "away", "foo": 1}"#,
            400,
            "M_INVALID_PARAM",
        ),
        (
            "currently_active",
            br#"{"presence": "online", "currently_active": true}"#,
            200,
            "",
        ),
        (
            "a message that is null",
            br#"{"presence": "online", "status_msg": null}"#,
            200,
            "",
        ),
        (
            "an integer as message",
            br#"{"presence": "online", "status_msg": 5}"#,
            400,
            "M_BAD_JSON",
        ),
        (
            "an object as message",
            br#"{"presence": "online", "status_msg": {}}"#,
            400,
            "M_BAD_JSON",
        ),
        (
            "a bad message and state",
            br#"{"presence": "away", "status_msg": 5}"#,
            400,
            "M_BAD_JSON",
        ),
        (
            "an empty message",
            br#"{"presence": "online", "status_msg": ""}"#,
            200,
            "",
        ),
        (
            "a lone surrogate",
            br#"{"presence":"online","status_msg":"\ud800"}"#,
            400,
            "M_NOT_JSON",
        ),
        (
            "a key twice",
            br#"{"presence":"away","presence":"online"}"#,
            200,
            "",
        ),
    ];
    for (case, body, status, errcode) in cases {
        let request = put(&id_of("alice"), *body).token(&token_of("alice"));
        check(&host, case, &request, *status, errcode);
    }
}

#[test]
fn what_a_body_may_be() {
    let host = start();
    let deep = format!(r#"{{"presence":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let large = format!(r#"{{"presence": "online", "x": "{}"}}"#, "x".repeat(70_000));
    let cases: &[(&str, &[u8], u16, &str)] = &[
        ("bad JSON", b"{", 400, "M_NOT_JSON"),
        (
            "not UTF-8",
            b"{\"presence\":\"online\",\"status_msg\":\"\xff\"}",
            400,
            "M_NOT_JSON",
        ),
        ("an empty body", b"", 400, "M_NOT_JSON"),
        ("an array", b"[]", 400, "M_BAD_JSON"),
        ("a string", br#""online""#, 400, "M_BAD_JSON"),
        ("null as a whole", b"null", 400, "M_BAD_JSON"),
        (
            "NaN",
            br#"{"presence":"online","status_msg":NaN}"#,
            400,
            "M_NOT_JSON",
        ),
        ("more behind", br#"{"presence":"online"} x"#, 400, "M_NOT_JSON"),
        (
            "a byte order mark",
            b"\xef\xbb\xbf{\"presence\":\"online\"}",
            400,
            "M_NOT_JSON",
        ),
        ("deep nesting", deep.as_bytes(), 400, "M_NOT_JSON"),
        ("a body over 64 KiB", large.as_bytes(), 413, "M_TOO_LARGE"),
    ];
    for (case, body, status, errcode) in cases {
        let request = put(&id_of("alice"), *body).token(&token_of("alice"));
        check(&host, case, &request, *status, errcode);
    }
    let typed = put(&id_of("alice"), br#"{"presence":"online"}"#.as_slice()).token(&token_of("alice"));
    check(
        &host,
        "text/plain",
        &typed.header("Content-Type", "text/plain"),
        200,
        "",
    );
}

#[test]
fn status_messages_come_back_as_they_were_set() {
    let host = start();
    let alice = host.user("alice");
    let longest = "s".repeat(2048);
    for message in ["naïve ☃ 🦀", "a\u{0}b", "a\nb\t\u{1}", longest.as_str()] {
        alice.set("online", Some(message));
        assert_eq!(alice.presence_of(alice.id()).expect(200)["status_msg"], message);
    }
    let longer = json!({"presence": "online", "status_msg": "s".repeat(2049)});
    let answer = alice.put(longer.to_string());
    assert_eq!((answer.status, answer.errcode().as_str()), (413, "M_TOO_LARGE"));

    for without in [None, Some("")] {
        alice.set("online", Some("to be cleared"));
        alice.set("online", without);
        let found = alice.presence_of(alice.id()).expect(200);
        assert_eq!(found["status_msg"], Value::Null, "{found}");
    }
}

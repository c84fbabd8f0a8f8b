//! `GET /presence/{userId}/status`.

use presence_router_tests::user::status_path;
use presence_router_tests::{Request, id_of, token_of};
use serde_json::json;

use super::{check, get, start};

#[test]
fn asking_for_presence() {
    let host = start();
    host.user("alice").set("online", Some("hi"));
    let alice = status_path(&id_of("alice"));
    let prefixed = |prefix: &str| format!("/_matrix/client/{prefix}/presence/@alice:example.org/status");
    for (case, path, status, errcode) in [
        ("self", alice.as_str(), 200, ""),
        ("who shares a room", &status_path(&id_of("bob")), 200, ""),
        (
            "who shares none",
            &status_path(&id_of("carol")),
            403,
            "M_FORBIDDEN",
        ),
        (
            "a local user who is not there",
            &status_path(&id_of("nobody")),
            403,
            "M_FORBIDDEN",
        ),
        (
            "an unknown remote user",
            &status_path("@far:remote.example"),
            403,
            "M_FORBIDDEN",
        ),
        ("no @", &status_path("alice:example.org"), 400, "M_INVALID_PARAM"),
        ("no server", &status_path("@alice"), 400, "M_INVALID_PARAM"),
        (
            "an empty id",
            "/_matrix/client/v3/presence//status",
            400,
            "M_INVALID_PARAM",
        ),
        ("an id that is not encoded", &prefixed("v3"), 200, ""),
        ("r0", &prefixed("r0"), 200, ""),
        ("unstable", &prefixed("unstable"), 200, ""),
        ("api/v1", &prefixed("api/v1"), 200, ""),
        ("v1", &prefixed("v1"), 404, "M_UNRECOGNIZED"),
        ("a slash behind", &format!("{alice}/"), 404, "M_UNRECOGNIZED"),
        ("more behind", &format!("{alice}/more"), 404, "M_UNRECOGNIZED"),
        (
            "the old list",
            "/_matrix/client/v3/presence/list/@alice:example.org",
            404,
            "M_UNRECOGNIZED",
        ),
        (
            "an unknown endpoint",
            "/_matrix/client/v3/nonsense",
            404,
            "M_UNRECOGNIZED",
        ),
        ("an unknown root", "/nonsense", 404, "M_UNRECOGNIZED"),
    ] {
        check(&host, case, &get(path), status, errcode);
    }
    let routed = Request::new("GET", alice.as_str()).token(&token_of("presence_gobbler"));
    check(&host, "who is routed to the asking user", &routed, 200, "");
    check(
        &host,
        "no token",
        &Request::new("GET", alice.as_str()),
        401,
        "M_MISSING_TOKEN",
    );
    let unknown = Request::new("GET", alice.as_str()).token("unknown");
    check(&host, "an unknown token", &unknown, 401, "M_UNKNOWN_TOKEN");
    check(
        &host,
        "HEAD",
        &Request::new("HEAD", alice.as_str()).token(&token_of("alice")),
        200,
        "",
    );

    let found = host.user("bob").presence_of(&id_of("alice")).expect(200);
    assert_eq!(
        (&found["presence"], &found["status_msg"]),
        (&json!("online"), &json!("hi"))
    );
    assert_eq!(found["currently_active"], json!(true));
    assert!(found["last_active_ago"].is_u64(), "{found}");
    assert_eq!(
        host.user("dave").presence_of(&id_of("dave")).expect(200),
        json!({"presence": "offline"})
    );
}

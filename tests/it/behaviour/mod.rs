//! What each request of the client API answers: status, Matrix's error code, and what a look afterwards
//! shows. The cases are those recorded from Synapse, with our differences.

mod reading;
mod setting;
mod syncing;

use presence_router_tests::user::status_path;
use presence_router_tests::{Config, GOBBLER, Host, Request, artifacts, id_of, token_of};
use serde_json::json;

fn start() -> Host {
    let module_config = json!({"always_send_to_users": [GOBBLER], "blacklisted_users": [id_of("hidden")]});
    Host::start(&Config::neighbours().module(artifacts::broadcast(), module_config))
}

/// The request is answered with this status and error code.
#[track_caller]
fn check(host: &Host, case: &str, request: &Request, status: u16, errcode: &str) {
    let answer = host.client().send(request);
    assert_eq!(
        (answer.status, answer.errcode().as_str()),
        (status, errcode),
        "{case}: {}",
        answer.body
    );
}

fn get(path: &str) -> Request {
    Request::new("GET", path).token(&token_of("alice"))
}

fn put(user: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::new("PUT", status_path(user)).body(body)
}

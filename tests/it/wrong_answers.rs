//! A module whose answers no answer can be: rejected as a whole, logged with the module's name, and nobody
//! else's loss.

use presence_router_tests::{Config, Host, PATIENCE, SyncRequest, artifacts, id_of};
use serde_json::json;

fn start(answer: &str) -> Host {
    let library = artifacts::fixture("wrong_answers");
    Host::start(&Config::neighbours().module(library, json!({"answer": answer})))
}

#[test]
fn wrong_routes_are_rejected_as_a_whole() {
    for answer in [
        "index_out_of_range",
        "span_out_of_range",
        "bad_user_id",
        "unregistered_audience",
        "bad_listed_range",
    ] {
        let host = start(answer);
        host.check_shared_rooms("first");
        host.log()
            .wait_for(&["wrong_answers", "get_users_for_states"], PATIENCE);
        let caught_up = host.user("presence_gobbler").sync(&SyncRequest::initial());
        assert_eq!(
            caught_up.of(&id_of("alice")),
            None,
            "{answer}: part of it was taken"
        );
        host.check_shared_rooms("second");
        host.terminate().expect_code(0);
    }
}

#[test]
fn a_huge_answer_hurts_nobody() {
    let host = start("huge");
    host.check_shared_rooms("first");
    host.check_shared_rooms("second");
    host.terminate().expect_code(0);
}

#[test]
fn a_wrong_interest_is_rejected_as_a_whole() {
    let host = start("interested_bad_user_id");
    host.check_shared_rooms("first");
    host.user("presence_gobbler").sync(&SyncRequest::initial());
    host.log().wait_for(
        &[
            "wrong_answers",
            "get_interested_users",
            "\"bob\" is not a user id",
        ],
        PATIENCE,
    );
    host.check_shared_rooms("second");
    host.terminate().expect_code(0);
}

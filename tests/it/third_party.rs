//! The example of a module outside of the workspace: built, tested and loaded as a stranger would.

use presence_router_tests::{Config, Host, PATIENCE, SyncRequest, artifacts, id_of};
use serde_json::json;

#[test]
fn its_own_tests_pass() {
    artifacts::test_third_party_module();
}

#[test]
fn it_routes_the_team_s_presence_to_its_lead() {
    let config = Config::neighbours().module(
        artifacts::third_party_module(),
        json!({"leads": {id_of("carol"): [id_of("alice")]}}),
    );
    let host = Host::start(&config);
    assert_eq!(host.modules()[0].name, "team-lead");
    assert_eq!(host.modules()[0].router, "TeamLead");
    // Written with tracing.
    host.log().wait_for(&["team leads are ready"], PATIENCE);

    let (carol, dave) = (host.user("carol"), host.user("dave"));
    let (carol_since, dave_since) = (carol.now(), dave.now());
    host.user("alice").set("online", Some("at work"));
    carol.sync_until_says(&carol_since, &id_of("alice"), "at work");
    assert_eq!(dave.sync(&SyncRequest::since(&dave_since)).senders(), [""; 0]);

    // Who comes later finds her, too.
    assert!(carol.sync(&SyncRequest::initial()).of(&id_of("alice")).is_some());
    carol.presence_of(&id_of("alice")).expect(200);
    host.terminate().expect_code(0);
}

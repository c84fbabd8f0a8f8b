//! The contract grows: old modules load in newer hosts, new modules in older ones.

use presence_router_tests::{Config, GOBBLER, Host, PATIENCE, artifacts, id_of};
use serde_json::json;

#[track_caller]
fn check_routes(host: &Host) {
    let gobbler = host.user("presence_gobbler");
    let since = gobbler.now();
    host.user("alice").set("online", Some("to all generations"));
    gobbler.sync_until_says(&since, &id_of("alice"), "to all generations");
}

fn routing(library: &std::path::Path) -> Config {
    Config::neighbours().module(library, json!({"always_send_to_users": [GOBBLER]}))
}

#[test]
fn a_module_of_the_first_version_runs_in_the_host_of_today() {
    let host = Host::start(&routing(artifacts::kept_module()));
    host.log()
        .wait_for(&["the kept module runs on example.org"], PATIENCE);
    check_routes(&host);
    host.terminate().expect_code(0);
}

#[test]
fn a_module_of_tomorrow_runs_in_the_host_of_today_and_gets_defaults() {
    let host = Host::start(&Config::neighbours().module(artifacts::grown_module(), json!({})));
    host.log().wait_for(&["growth probe answered 0"], PATIENCE);
    host.terminate().expect_code(0);
}

#[test]
fn modules_of_the_first_version_and_of_today_run_in_the_host_of_tomorrow_by_defaults() {
    for library in [artifacts::kept_module(), artifacts::broadcast()] {
        let host = Host::start_program(artifacts::grown_host(), &routing(library));
        host.log()
            .wait_for(&["the module's own probe answered 0"], PATIENCE);
        check_routes(&host);
        host.terminate().expect_code(0);
    }
}

#[test]
fn what_has_grown_is_called_in_both_directions_when_both_sides_have_it() {
    let config = Config::neighbours().module(artifacts::grown_module(), json!({}));
    let host = Host::start_program(artifacts::grown_host(), &config);
    host.log().wait_for(&["growth probe answered 1"], PATIENCE);
    host.log()
        .wait_for(&["the module's own probe answered 1"], PATIENCE);
    host.terminate().expect_code(0);
}

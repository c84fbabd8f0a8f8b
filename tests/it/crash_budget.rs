//! A module that crashes too often: it is switched off, the log and the metrics say so, and all else goes on.

use presence_router_tests::{Client, Config, GOBBLER, Host, PATIENCE, Request, SyncRequest, artifacts};
use serde_json::{Value, json};

fn config(fixture: &str, module_config: Value, crashes: u32) -> Config {
    let listener =
        json!({"port": 0, "bind_addresses": ["127.0.0.1"], "resources": [{"names": ["client", "metrics"]}]});
    Config::neighbours()
        .module(artifacts::fixture(fixture), module_config)
        .set(&["presence", "presence_router", "call_timeout"], json!("100ms"))
        .set(
            &["presence", "presence_router", "crash_budget"],
            json!({"crashes": crashes, "within": "10m"}),
        )
        .set(&["listeners"], json!([listener]))
}

/// Whether a metric with its labels and its value is told.
fn tells(host: &Host, metric: &str) -> bool {
    let listener = host.listeners().first().expect("a listener");
    let answer = Client::new(&listener.address).send(&Request::new("GET", "/metrics"));
    answer.body.lines().any(|line| line == metric)
}

#[test]
fn one_that_panics_too_often_is_off_and_syncs_are_served_without_it() {
    let module_config = json!({"where": "get_interested_users", "always_send_to_users": [GOBBLER]});
    let host = Host::start(&config("panics", module_config, 3));
    let gobbler = host.user("presence_gobbler");
    let off = [
        "ERROR",
        "has crashed 3 times within 600 s, and is off",
        "modules reload panics",
    ];
    for _ in 0..2 {
        gobbler.sync(&SyncRequest::initial());
    }
    assert!(!host.log().contains(&off));
    assert!(tells(&host, "presence_router_module_off{module=\"panics\"} 0"));
    gobbler.sync(&SyncRequest::initial());
    host.log().wait_for(&off, PATIENCE);
    assert!(tells(&host, "presence_router_module_off{module=\"panics\"} 1"));

    host.check_shared_rooms("all else goes on");
    gobbler.sync(&SyncRequest::initial());
    // It was asked three times, and not once more.
    let calls = "presence_router_module_calls_total{module=\"panics\",method=\"get_interested_users\"";
    assert!(tells(&host, &format!("{calls},outcome=\"panic\"}} 3")));
    assert!(!tells(&host, &format!("{calls},outcome=\"off\"}} 0")));
    host.terminate().expect_code(0);
}

#[test]
fn one_that_hangs_too_often_is_off() {
    for how in ["sleep_thread", "never_ready"] {
        let module_config = json!({"how": how, "in": "states", "always_send_to_users": [GOBBLER]});
        let host = Host::start(&config("hangs", module_config, 2));
        // It is asked again by itself, after the quarantine.
        host.check_shared_rooms("first");
        host.log().wait_for(
            &["hangs", "has crashed 2 times within 600 s, and is off"],
            PATIENCE,
        );
        assert!(tells(&host, "presence_router_module_off{module=\"hangs\"} 1"));
        host.check_shared_rooms("second");
        host.terminate().expect_code(0);
    }
}

//! What a module asks of the host is answered as the contract says, whenever it asks.

use presence_router_tests::{Client, Config, Host, PATIENCE, Request, artifacts};
use serde_json::json;

const ANSWERS: &str = "server_name=example.org is_mine=true/true/false \
                       qualified=@alice:example.org/@alice:other.example/refused now=plausible";

#[test]
fn every_method_answers_at_every_time() {
    let config = Config::neighbours()
        .module(artifacts::fixture("calls-back"), json!({}))
        .set(&["log", "level"], json!("trace"));
    let host = Host::start(&config);
    let running = format!("{ANSWERS} audience=registered spawn=spawned");
    host.log().wait_for(&["in new:", &running], PATIENCE);
    host.log().wait_for(&["in a task: slept enough=true"], PATIENCE);

    host.user("alice").set("online", None);
    host.log()
        .wait_for(&["in get_users_for_states:", &running], PATIENCE);
    host.log()
        .wait_for(&["in get_users_for_states: after a sleep, 1 states"], PATIENCE);

    let output = host.terminate();
    let after = format!("after shutdown: {ANSWERS} audience=refused spawn=refused");
    output.expect_code(0).expect_stderr(&[&after]);
}

#[test]
fn every_record_of_a_module_is_logged_under_its_name() {
    let config = Config::neighbours()
        .module(artifacts::fixture("calls-back"), json!({}))
        .set(&["log", "level"], json!("trace"));
    let host = Host::start(&config);
    for by in ["log", "tracing"] {
        for level in ["error", "warn", "info", "debug", "trace"] {
            let line = host.log().wait_for(&[&format!("by {by} at {level}")], PATIENCE);
            // The name of the instance, which is the file's where the config gives none.
            assert!(line.contains("module=\"calls_back\""), "no module in {line}");
            assert!(line.contains(&level.to_uppercase()), "no level in {line}");
        }
    }
    // The fields of tracing come along.
    host.log()
        .wait_for(&["by tracing at info", "answer=42"], PATIENCE);
    host.terminate().expect_code(0);
}

#[test]
fn what_is_below_the_level_is_not_logged() {
    let config = Config::neighbours()
        .module(artifacts::fixture("calls-back"), json!({}))
        .set(&["log", "level"], json!("warn"));
    let output = Host::start(&config).terminate();
    output
        .expect_code(0)
        .expect_stderr(&["by log at warn", "by tracing at error"]);
    for level in ["info", "debug", "trace"] {
        assert!(
            !output.stderr.contains(&format!("at {level}")),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn what_must_be_waited_for_is_answered_at_every_time() {
    let config = Config::neighbours()
        .module(
            artifacts::fixture("uses-api"),
            json!({"url": "http://127.0.0.1:1/"}),
        )
        .room("!a:example.org", &["alice", "bob"]);
    let host = Host::start(&config);
    let answers = [
        "worker_name: None",
        "send_local_online_presence_to: ()",
        "set_presence_for_users: ()",
        "current_state_for_users: [Busy]",
        "get_users_in_room: [\"@alice:example.org\", \"@bob:example.org\"]",
        "get_rooms_for_user: [\"!a:example.org\", \"!shared:example.org\"]",
        "get_current_hosts_in_room: [\"example.org\"]",
        "put: ()",
        "get: Some(\"value\")",
        "scan: 1",
        "delete: true",
        "http: AddressRefused(\"modules may not call 127.0.0.1; ",
        "counter: ()",
        "gauge: ()",
        "histogram: ()",
    ];
    for place in ["in new: ", "in task: "] {
        for answer in answers {
            host.log().wait_for(&[place, answer], PATIENCE);
        }
    }
    host.user("alice").set("online", None);
    for answer in answers {
        host.log()
            .wait_for(&["in get_users_for_states: ", answer], PATIENCE);
    }
    let output = host.terminate();
    output.expect_code(0);
    let after: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.contains("in thread after shutdown: ") && !line.contains("worker_name"))
        .collect();
    assert_eq!(after.len(), 14, "{}", output.stderr);
    for line in after {
        assert!(line.contains(": ShutDown"), "{line}");
    }
}

#[test]
fn the_operator_says_which_addresses_modules_may_call() {
    let config = Config::neighbours()
        .module(
            artifacts::fixture("uses-api"),
            json!({"url": "http://127.0.0.1:1/"}),
        )
        .set(&["ip_range_whitelist"], json!(["127.0.0.1"]));
    let host = Host::start(&config);
    // Nobody listens there, but it was tried.
    host.log()
        .wait_for(&["in new: http: Connection(\"GET http://127.0.0.1:1: "], PATIENCE);
    host.terminate().expect_code(0);
}

#[test]
fn the_metrics_of_a_module_are_among_the_hosts_under_its_name() {
    let config = Config::neighbours()
        .module(
            artifacts::fixture("uses-api"),
            json!({"url": "http://127.0.0.1:1/"}),
        )
        .set(
            &["listeners"],
            json!([{"port": 0, "bind_addresses": ["127.0.0.1"], "resources": [{"names": ["client", "metrics"]}]}]),
        );
    let host = Host::start(&config);
    let listener = host.listeners().first().expect("a listener");
    let answer = Client::new(&listener.address).send(&Request::new("GET", "/_synapse/metrics"));
    for part in [
        "# HELP presence_router_custom_answers_total How often everything was asked.\n",
        "# TYPE presence_router_custom_answers_total counter\n",
        "\npresence_router_custom_answers_total{place=\"everywhere\",module=\"uses_api\"} ",
        "\npresence_router_custom_level{module=\"uses_api\"} 0.5\n",
        "\npresence_router_custom_seconds_count{module=\"uses_api\"} ",
    ] {
        assert!(answer.body.contains(part), "no {part:?} in:\n{}", answer.body);
    }
    host.terminate().expect_code(0);
}

//! The load program against the real host: what it counts is what was sent, and its directory is one that the host takes.

use std::fs;
use std::path::{Path, PathBuf};

use presence_router_tests::{Cli, Config, Host, artifacts};
use serde_json::{Map, Value, json};

/// Everybody is in a room of four and in another of four.
const USERS: [&str; 8] = [
    "targets",
    "--users",
    "16",
    "--rooms-of",
    "4",
    "--rooms-each",
    "2",
    "--observers=gobbler",
];

#[track_caller]
fn load(arguments: &[&str]) -> Value {
    let output = Cli::of(artifacts::load(), arguments).run();
    output.expect_code(0).json()
}

/// A host with the users, and the targets file of it.
fn host(directory: &Path) -> (Host, PathBuf) {
    let (targets, config) = (directory.join("targets.json"), directory.join("directory.yaml"));
    let write = |more: &[&str]| {
        let out = ["--out", targets.to_str().expect("text")];
        Cli::of(artifacts::load(), [&USERS, &out[..], more].concat())
            .run()
            .expect_code(0);
    };
    write(&["--config", config.to_str().expect("text")]);
    let text = fs::read_to_string(config).expect("it was written");
    let directory: Map<String, Value> = serde_yaml::from_str(&text).expect("YAML");
    let everything = json!({"always_send_to_users": ["@gobbler:example.org"]});
    let host = Host::start(
        &Config::empty()
            .join(&directory)
            .module(artifacts::broadcast(), everything),
    );
    write(&["--base-url", &host.listeners()[0].address]);
    (host, targets)
}

#[test]
fn the_load_finds_every_update_where_it_is_to_arrive_and_nowhere_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let (host, targets) = host(directory.path());
    let pid = host.id().to_string();
    let result = load(&[
        "--targets",
        targets.to_str().expect("text"),
        "--connections=2",
        "--rate=100",
        "--syncers=4",
        "--warmup=0.1",
        "--duration=2",
        "--drain=1",
        "--format=both",
        "--pid",
        &pid,
    ]);
    assert_eq!(result["errors"], json!({}), "{result:#}");
    assert_eq!(result["updates"], result["put_latency"]["count"], "{result:#}");
    assert!(result["updates"].as_u64() > Some(0), "{result:#}");
    let sync = &result["sync"];
    assert_eq!(sync["syncers"], 5, "{result:#}");
    for none in ["missing_final", "duplicate_events", "events_for_the_wrong_user"] {
        assert_eq!(sync[none], 0, "{none}: {result:#}");
    }
    assert!(sync["pairs"].as_u64() > Some(12), "{result:#}");
    assert!(sync["deliveries"].as_u64() > Some(0), "{result:#}");
    assert!(
        sync["observer_deliveries_per_s"].as_f64() > Some(0.0),
        "{result:#}"
    );
    host.terminate().expect_code(0);
}

#[test]
fn polls_are_all_there_and_see_the_updates() {
    let directory = tempfile::tempdir().expect("a directory");
    let (host, targets) = host(directory.path());
    let pid = host.id().to_string();
    let result = load(&[
        "polls",
        "--targets",
        targets.to_str().expect("text"),
        "--polls=100",
        "--pollers=4",
        "--connections=2",
        "--rate=50",
        "--warmup=0.1",
        "--duration=2",
        "--drain=1",
        "--pid",
        &pid,
    ]);
    assert_eq!(result["errors"], json!({}), "{result:#}");
    assert_eq!(
        (&result["polls"], &result["sync"]["syncers"]),
        (&json!(100), &json!(100))
    );
    assert_eq!(result["sync"]["missing_final"], 0, "{result:#}");
    assert!(result["sync"]["deliveries"].as_u64() > Some(0), "{result:#}");
    assert!(result["rss_parked_mib"].as_f64() > Some(0.0), "{result:#}");
    host.terminate().expect_code(0);
}

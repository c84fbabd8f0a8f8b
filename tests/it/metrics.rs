//! The resource `metrics`, as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use presence_router_tests::{Client, Config, GOBBLER, Host, Request, artifacts, id_of};
use serde_json::json;

/// Metrics on a listener of their own.
fn config() -> Config {
    let listener =
        |names: &[&str]| json!({"port": 0, "bind_addresses": ["127.0.0.1"], "resources": [{"names": names}]});
    Config::neighbours()
        .module(artifacts::broadcast(), json!({"always_send_to_users": [GOBBLER]}))
        .set(
            &["listeners"],
            json!([listener(&["client", "health"]), listener(&["metrics"])]),
        )
}

/// The text, read line by line.
#[derive(Debug)]
struct Scrape {
    text: String,
    /// The type of each metric.
    types: BTreeMap<String, String>,
    helped: BTreeSet<String>,
}

impl Scrape {
    #[track_caller]
    fn of(host: &Host) -> Self {
        let listener = host.listeners().last().expect("a listener");
        let answer = Client::new(&listener.address).send(&Request::new("GET", "/_synapse/metrics"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            answer.headers["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let mut scrape = Self {
            text: answer.body,
            types: BTreeMap::new(),
            helped: BTreeSet::new(),
        };
        for line in scrape.text.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let known = scrape.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(known, None, "{name} is there twice");
            } else if let Some((name, _)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
            {
                scrape.helped.insert(name.to_owned());
            }
        }
        scrape
    }

    /// The value of a metric with its labels, as it is written.
    fn value(&self, metric: &str) -> Option<f64> {
        let line = self
            .text
            .lines()
            .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }
}

#[test]
fn what_happens_is_in_what_prometheus_reads() {
    let host = Host::start(&config());
    let (alice, bob, gobbler) = (
        host.user("alice"),
        host.user("bob"),
        host.user("presence_gobbler"),
    );
    let (of_bob, of_gobbler) = (bob.now(), gobbler.now());
    alice.set("online", Some("hi"));
    bob.sync_until_says(&of_bob, &id_of("alice"), "hi");
    gobbler.sync_until_says(&of_gobbler, &id_of("alice"), "hi");
    alice.presence_of("no user id");
    let scrape = Scrape::of(&host);
    let module = "module=\"broadcast\"";
    let status = "route=\"/_matrix/client/v3/presence/{user_id}/status\"";
    for (metric, at_least) in [
        ("synapse_handler_presence_notified_presence_total".to_owned(), 1.0),
        ("presence_router_users{state=\"online\"}".to_owned(), 1.0),
        (
            format!(
                "presence_router_module_calls_total{{{module},method=\"get_users_for_states\",outcome=\"ok\"}}"
            ),
            1.0,
        ),
        (
            format!(
                "presence_router_module_call_duration_seconds_count{{{module},method=\"get_interested_users\"}}"
            ),
            1.0,
        ),
        (format!("presence_router_module_generation{{{module}}}"), 1.0),
        (format!("presence_router_module_quarantined{{{module}}}"), 0.0),
        (format!("presence_router_module_dirty_users{{{module}}}"), 0.0),
        (
            format!("presence_router_http_requests_total{{method=\"PUT\",{status},status=\"200\"}}"),
            1.0,
        ),
        (
            format!("presence_router_http_requests_total{{method=\"GET\",{status},status=\"400\"}}"),
            1.0,
        ),
        ("process_start_time_seconds".to_owned(), 1_700_000_000.0),
        ("process_resident_memory_bytes".to_owned(), 1_000_000.0),
        (
            format!(
                "presence_router_build_info{{version=\"{}\"}}",
                env!("CARGO_PKG_VERSION")
            ),
            1.0,
        ),
    ] {
        let value = scrape.value(&metric);
        assert!(
            value.is_some_and(|value| value >= at_least),
            "{metric}: {value:?}\n{}",
            scrape.text
        );
    }
    host.terminate().expect_code(0);
}

#[test]
fn what_prometheus_reads_is_what_the_documentation_explains() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let host = Host::start(&config());
    host.user("alice").set("online", None);
    let scrape = Scrape::of(&host);
    assert!(scrape.types.len() > 20, "{}", scrape.text);
    for (name, kind) in &scrape.types {
        assert!(
            page.contains(&format!("| `{name}` | {kind} |")),
            "docs/metrics.md says nothing of the {kind} {name}"
        );
        assert!(scrape.helped.contains(name), "{name} has no help");
    }
    host.terminate().expect_code(0);
}

#[test]
fn only_a_listener_with_the_resource_tells_of_them_and_to_no_other_origin() {
    let host = Host::start(&config());
    let [client, metrics] = host.listeners() else {
        panic!("two listeners: {:?}", host.listeners());
    };
    assert_eq!(metrics.resources, ["metrics"]);
    let get = |address: &str, path: &str| Client::new(address).send(&Request::new("GET", path));
    for path in ["/metrics", "/_synapse/metrics"] {
        assert_eq!(get(&client.address, path).status, 404, "{path}");
        let answer = get(&metrics.address, path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.headers.get("access-control-allow-origin").is_none(),
            "{path}"
        );
    }
    assert_eq!(get(&metrics.address, "/_matrix/client/versions").status, 404);
    host.terminate().expect_code(0);
}

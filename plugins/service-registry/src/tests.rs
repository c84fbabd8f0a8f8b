//! The module on a fake host: services that come, go and expire, and a registry and a host that fail.

use std::time::Duration;

use presence_router_api::testing::{FakeHost, Harness, Recorded, Service};
use presence_router_api::{ApiError, HttpError, HttpResponse, SharedRoomPresence};

use super::ServiceRegistry;

const URL: &str = "https://registry.example.org/services";
const CONFIG: &str = r#"{
    "url": "https://registry.example.org/services",
    "interval": "30s",
    "ttl": "100s",
    "timeout": "5s",
    "headers": {"authorization": "Bearer very-secret"},
    "blacklisted_users": ["@hidden:example.org"]
}"#;

const USERS: [&str; 5] = [
    "@alice:example.org",
    "@hidden:example.org",
    "@bot:example.org",
    "@bridge:remote.example",
    "@late:example.org",
];

const INTERVAL: Duration = Duration::from_secs(30);

fn answer(host: &FakeHost, body: &str) {
    host.answer_http("GET", URL, HttpResponse::new(200).with_body(body));
}

/// A registry with these answers, the last of which stays.
fn host(answers: &[&str]) -> FakeHost {
    let host = FakeHost::new("example.org");
    for body in answers {
        answer(&host, body);
    }
    host
}

/// Started, and the registry asked once.
fn start(host: &FakeHost) -> Harness {
    let router = Harness::start_on::<ServiceRegistry>(host, CONFIG).expect("starts");
    host.run_tasks();
    router
}

/// Who receives alice's updates. Checks that nobody receives hidden's.
fn recipients(router: &Harness) -> Vec<String> {
    router.assert_methods_line_up(USERS, USERS);
    let sent = router.route(["@alice:example.org", "@hidden:example.org"]);
    let sent = sent.expect("routes");
    assert!(sent.pairs().all(|(_, user)| user == "@alice:example.org"));
    sent.pairs().map(|(recipient, _)| recipient.to_owned()).collect()
}

fn polls(host: &FakeHost, outcome: &str) -> Option<Recorded> {
    host.metric("polls_total", &[("outcome", outcome)])
}

fn unavailable() -> ApiError {
    ApiError::Unavailable("the test says so".to_owned())
}

#[test]
fn the_services_that_the_registry_lists_receive_everything() {
    let host =
        host(&[r#"{"services": [{"user_id": "@bot:example.org"}, {"user_id": "@bridge:remote.example"}]}"#]);
    let router = start(&host);
    assert_eq!(
        recipients(&router),
        ["@bot:example.org", "@bridge:remote.example"]
    );
    assert_eq!(router.interested("@bot:example.org"), Ok(None));
    assert_eq!(router.interested("@alice:example.org"), Ok(Some([].into())));
    assert_eq!(router.shared_room_presence(), SharedRoomPresence::Additive);
    let asked = host.http_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method, "GET");
    assert_eq!(asked[0].timeout, Duration::from_secs(5));
    let secret = ("authorization".to_owned(), b"Bearer very-secret".to_vec());
    assert_eq!(asked[0].headers, [secret]);
}

#[test]
fn services_come_and_go_with_the_registry_s_answers() {
    let host = host(&[
        r#"["@bot:example.org"]"#,
        r#"["@bot:example.org", "@late:example.org"]"#,
        "[]",
    ]);
    let router = start(&host);
    assert_eq!(recipients(&router), ["@bot:example.org"]);
    host.advance(INTERVAL);
    assert_eq!(recipients(&router), ["@bot:example.org", "@late:example.org"]);
    host.advance(INTERVAL);
    assert!(recipients(&router).is_empty());
    assert_eq!(host.metric("services", &[]), Some(Recorded::Gauge(0.0)));
    assert_eq!(polls(&host, "ok"), Some(Recorded::Counter(3)));
}

#[test]
fn a_service_is_sent_who_is_online_once_when_it_comes() {
    let host = host(&[
        r#"["@bot:example.org"]"#,
        r#"["@bot:example.org", "@late:example.org"]"#,
    ]);
    let _router = start(&host);
    host.advance(INTERVAL);
    host.advance(INTERVAL);
    assert_eq!(
        host.snapshots_asked(),
        [["@bot:example.org".to_owned()], ["@late:example.org".to_owned()]]
    );
}

#[test]
fn every_kind_of_bad_answer_keeps_the_last_services_until_they_expire() {
    let many: Vec<String> = (0..3_001).map(|n| format!(r#""@s{n}:x""#)).collect();
    let huge = vec![b' '; 1024 * 1024 + 1];
    let bad: [(&str, Result<HttpResponse, HttpError>); 8] = [
        ("status", Ok(HttpResponse::new(500))),
        ("status", Ok(HttpResponse::new(401).with_body("[]"))),
        ("bad_answer", Ok(HttpResponse::new(200).with_body("<html>"))),
        ("bad_answer", Ok(HttpResponse::new(200).with_body(huge))),
        (
            "bad_answer",
            Ok(HttpResponse::new(200).with_body(r#"["@late:example.org", "bob"]"#)),
        ),
        (
            "bad_answer",
            Ok(HttpResponse::new(200).with_body(format!("[{}]", many.join(",")))),
        ),
        ("timeout", Err(HttpError::TimedOut("too late".to_owned()))),
        (
            "unreachable",
            Err(HttpError::Connection("nobody listens".to_owned())),
        ),
    ];
    for (outcome, bad) in bad {
        let host = host(&[r#"["@bot:example.org", {"user_id": "@late:example.org", "ttl": 45}]"#]);
        match bad {
            Ok(bad) => host.answer_http("GET", URL, bad),
            Err(bad) => host.fail_http("GET", URL, bad),
        }
        let router = start(&host);
        for expected in [
            &["@bot:example.org", "@late:example.org"][..], // 30 s
            &["@bot:example.org"],                          // 60 s
            &["@bot:example.org"],                          // 90 s
            &[],                                            // 120 s
        ] {
            host.advance(INTERVAL);
            assert_eq!(recipients(&router), expected, "{outcome}");
        }
        assert_eq!(polls(&host, outcome), Some(Recorded::Counter(4)));
        assert_eq!(host.metric("services", &[]), Some(Recorded::Gauge(0.0)));
    }
}

#[test]
fn a_good_answer_after_bad_ones_counts_at_once() {
    let host = host(&[r#"["@bot:example.org"]"#, "nonsense", r#"["@late:example.org"]"#]);
    let router = start(&host);
    host.advance(INTERVAL);
    host.advance(INTERVAL);
    assert_eq!(recipients(&router), ["@late:example.org"]);
}

#[test]
fn a_restart_serves_the_services_of_before_without_the_registry() {
    let host = host(&[r#"["@bot:example.org"]"#]);
    start(&host);
    // A new host, as the old one has ended its tasks with the instance; it has the storage of before.
    let next = FakeHost::new("example.org");
    for (key, value) in host.stored() {
        next.store(key, value);
    }
    let router = start(&next);
    assert_eq!(polls(&next, "unreachable"), Some(Recorded::Counter(1)));
    assert_eq!(recipients(&router), ["@bot:example.org"]);
    assert_eq!(next.snapshots_asked(), [["@bot:example.org".to_owned()]]);
    // And they expire when they would have.
    next.advance(Duration::from_secs(99));
    assert_eq!(recipients(&router), ["@bot:example.org"]);
    next.advance(INTERVAL);
    assert!(recipients(&router).is_empty());
}

#[test]
fn another_registry_s_services_and_damage_are_not_restored() {
    for stored in [
        "1\0https://other.example/\0@bot:example.org\x009999999999999\0",
        "damage",
    ] {
        let host = FakeHost::new("example.org");
        host.store("services", stored);
        assert!(recipients(&start(&host)).is_empty(), "{stored:?}");
    }
}

#[test]
fn without_storage_it_works_but_remembers_nothing() {
    let host = host(&[r#"["@bot:example.org"]"#]);
    host.refuse(Service::Storage, unavailable());
    let router = start(&host);
    assert_eq!(recipients(&router), ["@bot:example.org"]);
    assert!(host.stored().is_empty());
    host.serve(Service::Storage);
    host.advance(INTERVAL);
    assert_eq!(host.stored().len(), 1);
}

#[test]
fn services_whom_the_host_does_not_take_are_tried_again_and_those_gone_are_not() {
    let host = host(&[
        r#"["@bot:example.org", "@late:example.org"]"#,
        r#"["@bot:example.org"]"#,
    ]);
    host.refuse(Service::Presence, unavailable());
    let _router = start(&host);
    host.advance(INTERVAL);
    host.serve(Service::Presence);
    host.advance(INTERVAL);
    host.advance(INTERVAL);
    assert_eq!(host.snapshots_asked(), [["@bot:example.org".to_owned()]]);
}

#[test]
fn a_host_that_keeps_no_list_leaves_the_services_as_they_were_until_it_does() {
    let host = host(&[r#"["@bot:example.org"]"#, r#"["@late:example.org"]"#]);
    let router = start(&host);
    host.refuse_audiences();
    host.advance(INTERVAL);
    assert_eq!(recipients(&router), ["@bot:example.org"]);
    host.serve(Service::Audiences);
    host.advance(INTERVAL);
    assert_eq!(recipients(&router), ["@late:example.org"]);
    assert_eq!(host.snapshots_asked().len(), 2);
    assert_eq!(host.audience_count(), 1, "the old one is released");
}

#[test]
fn shutdown_ends_the_polls_and_releases_the_audience() {
    let host = host(&[r#"["@bot:example.org"]"#]);
    start(&host).shutdown().expect("shuts down");
    assert_eq!((host.audience_count(), host.task_count()), (0, 0));
}

#[test]
fn a_host_that_keeps_no_metrics_or_tasks_is_a_start_error_not_a_panic() {
    for service in [Service::Metrics, Service::Tasks] {
        let host = host(&["[]"]);
        host.refuse(service, unavailable());
        let error = Harness::start_on::<ServiceRegistry>(&host, CONFIG)
            .err()
            .expect("refused");
        assert!(!error.panicked, "{error}");
    }
}

//! What a module asks reaches the host and its answer comes back, and each error as what it is.

mod unwilling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{FakeHost, Recorded, Service};
use crate::{ApiError, HttpError, HttpResponse, PresenceState, PresenceUpdate, UserId, UserPresenceState};

const SERVER: &str = "example.org";

fn user(name: &str) -> UserId {
    format!("@{name}:{SERVER}").parse().expect("valid")
}

fn refusal() -> ApiError {
    ApiError::Unavailable("not today".to_owned())
}

#[test]
fn presence_is_set_read_and_sent() {
    let host = FakeHost::new(SERVER);
    let api = host.api();
    let online = UserPresenceState {
        state: PresenceState::Online,
        ..UserPresenceState::offline(user("a")).with_status_msg("hi")
    };
    host.set_state(online.clone());
    let set = PresenceUpdate::new(user("b"), PresenceState::Busy).with_status_msg("on call");
    assert_eq!(host.block_on(api.set_presence_for_users([set.clone()])), Ok(()));
    assert_eq!(host.presence_set(), [set]);
    let states = host.block_on(api.current_state_for_users([user("c"), user("b"), user("a")]));
    let states = states.expect("are known");
    assert_eq!(states[0], UserPresenceState::offline(user("c")));
    assert_eq!(
        (states[1].state, states[1].status_msg()),
        (PresenceState::Busy, Some("on call"))
    );
    assert_eq!(states[2], online);
    let asked = host.block_on(api.send_local_online_presence_to([user("a"), user("b")]));
    assert_eq!(asked, Ok(()));
    assert_eq!(host.snapshots_asked(), [["@a:example.org", "@b:example.org"]]);

    host.refuse(Service::Presence, refusal());
    assert_eq!(host.block_on(api.set_presence_for_users([])), Err(refusal()));
    assert_eq!(host.block_on(api.current_state_for_users([])), Err(refusal()));
    assert_eq!(
        host.block_on(api.send_local_online_presence_to([])),
        Err(refusal())
    );
    host.serve(Service::Presence);
    assert_eq!(host.block_on(api.current_state_for_users([])), Ok(Vec::new()));
}

#[test]
fn nothing_is_asked_before_the_future_is_polled() {
    let host = FakeHost::new(SERVER);
    let asked = host.api().send_local_online_presence_to([user("a")]);
    assert!(host.snapshots_asked().is_empty());
    assert_eq!(host.block_on(asked), Ok(()));
    assert_eq!(host.snapshots_asked().len(), 1);
}

#[test]
fn rooms_are_known_from_both_sides() {
    let host = FakeHost::new(SERVER);
    let api = host.api();
    host.set_room("!one:x", ["@b:example.org", "@a:example.org", "@c:other.example"]);
    host.set_room("!two:x", ["@a:example.org"]);
    assert_eq!(
        host.block_on(api.get_users_in_room("!one:x")),
        Ok(vec![
            user("a"),
            user("b"),
            "@c:other.example".parse().expect("valid")
        ])
    );
    assert_eq!(
        host.block_on(api.get_rooms_for_user(&user("a"))),
        Ok(vec!["!one:x".to_owned(), "!two:x".to_owned()])
    );
    assert_eq!(
        host.block_on(api.get_current_hosts_in_room("!one:x")),
        Ok(vec!["example.org".to_owned(), "other.example".to_owned()])
    );
    host.set_room::<&str>("!one:x", []);
    assert_eq!(host.block_on(api.get_users_in_room("!one:x")), Ok(Vec::new()));
    assert_eq!(
        host.block_on(api.get_current_hosts_in_room("!one:x")),
        Ok(Vec::new())
    );
    host.refuse(Service::Rooms, refusal());
    assert_eq!(host.block_on(api.get_rooms_for_user(&user("a"))), Err(refusal()));
}

#[test]
fn answers_over_http_come_in_the_order_of_the_script() {
    let host = FakeHost::new(SERVER);
    let http = host.api().http();
    let url = "https://registry.example/x";
    host.answer_http("POST", url, HttpResponse::new(200).with_body(r#"{"n": 1}"#));
    host.fail_http("POST", url, HttpError::TimedOut("late".to_owned()));
    host.answer_http("POST", url, HttpResponse::new(503));
    let post = || http.post(url).header("X-A", "b").json(&[1, 2]);
    let first = host.block_on(post().send()).expect("answers");
    assert_eq!(first.json::<BTreeMap<String, u8>>().expect("is JSON")["n"], 1);
    assert!(matches!(first.json::<Vec<u8>>(), Err(HttpError::BadBody(_))));
    assert_eq!(
        host.block_on(post().send()),
        Err(HttpError::TimedOut("late".to_owned()))
    );
    for _ in 0..2 {
        let third = host.block_on(post().timeout(Duration::from_millis(7)).send());
        assert_eq!(
            third.expect("answers").error_for_status(),
            Err(HttpError::Status(503))
        );
    }
    let other = host.block_on(http.get(url).send());
    assert!(matches!(other, Err(HttpError::Connection(_))), "{other:?}");

    let sent = host.http_requests();
    assert_eq!(sent.len(), 5);
    assert_eq!(sent[0].body, b"[1,2]");
    assert_eq!(sent[0].headers[0], ("X-A".to_owned(), b"b".to_vec()));
    assert_eq!(sent[0].headers[1].1, b"application/json");
    assert_eq!((sent[0].timeout.as_secs(), sent[3].timeout.as_millis()), (10, 7));
}

#[test]
fn each_failure_over_http_is_told_as_what_it_is() {
    let host = FakeHost::new(SERVER);
    let http = host.api().http();
    let text = || "because".to_owned();
    for error in [
        HttpError::BadRequest(text()),
        HttpError::AddressRefused(text()),
        HttpError::Connection(text()),
        HttpError::Tls(text()),
        HttpError::TimedOut(text()),
        HttpError::TooLarge(text()),
        HttpError::Refused(text()),
        HttpError::TooOld(text()),
        HttpError::ShutDown,
    ] {
        let url = format!("https://x/{error:?}");
        host.fail_http("GET", &url, error.clone());
        assert_eq!(host.block_on(http.get(&url).send()), Err(error));
    }
    let no_json = http.get("https://x").json(&BTreeMap::from([([1], 2)])).send();
    assert!(matches!(host.block_on(no_json), Err(HttpError::BadRequest(_))));
    host.answer_http("GET", "https://x/long", HttpResponse::new(200).with_body("12345"));
    let long = |bytes| host.block_on(http.get("https://x/long").max_response_bytes(bytes).send());
    assert!(long(5).is_ok());
    assert!(matches!(long(4), Err(HttpError::TooLarge(_))));
}

#[test]
fn what_is_stored_is_found_again() {
    let host = FakeHost::new(SERVER);
    let storage = host.api().storage();
    for key in ["a/1", "a/2", "a/3", "b", "a"] {
        host.block_on(storage.put(key, key.as_bytes()))
            .expect("is stored");
    }
    assert_eq!(host.block_on(storage.get("a/2")), Ok(Some(b"a/2".to_vec())));
    assert_eq!(host.block_on(storage.delete("a/2")), Ok(true));
    assert_eq!(host.block_on(storage.delete("a/2")), Ok(false));
    assert_eq!(host.block_on(storage.get("a/2")), Ok(None));
    let keys = |prefix: &str, after, limit| -> Vec<String> {
        let page = host.block_on(storage.scan(prefix, after, limit)).expect("scans");
        page.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys("a/", None, 10), ["a/1", "a/3"]);
    assert_eq!(keys("a/", Some("a/1"), 10), ["a/3"]);
    assert_eq!(keys("a/", Some("a"), 1), ["a/1"]);
    assert!(keys("a/", Some("b"), 10).is_empty());
    assert_eq!(keys("", None, 10), ["a", "a/1", "a/3", "b"]);
    assert!(matches!(
        host.block_on(storage.scan("", None, 0)),
        Err(ApiError::Refused(_))
    ));
    assert!(matches!(
        host.block_on(storage.scan("", None, 1_001)),
        Err(ApiError::TooLarge(_))
    ));
    assert!(matches!(
        host.block_on(storage.put("", "")),
        Err(ApiError::Refused(_))
    ));
    let long = "k".repeat(513);
    assert!(matches!(
        host.block_on(storage.put(long, "")),
        Err(ApiError::TooLarge(_))
    ));
}

#[test]
fn metrics_hold_what_was_recorded() {
    let host = FakeHost::new(SERVER);
    let api = host.api();
    let counter = api.counter("polls_total", "Polls.").expect("is made");
    assert_eq!(host.metric("polls_total", &[]), None);
    counter.add(0);
    assert_eq!(host.metric("polls_total", &[]), Some(Recorded::Counter(0)));
    let ok = counter.with(&[("a", "1"), ("b", "2")]).expect("is made");
    ok.add(2);
    let same = counter
        .with(&[("b", "2")])
        .and_then(|part| part.with(&[("a", "1")]));
    same.expect("is made").add(3);
    let labels = [("b", "2"), ("a", "1")];
    assert_eq!(host.metric("polls_total", &labels), Some(Recorded::Counter(5)));

    let gauge = api.gauge("members", "Members.").expect("is made");
    gauge.set(5.0);
    gauge.add(-1.5);
    assert_eq!(host.metric("members", &[]), Some(Recorded::Gauge(3.5)));
    let histogram = api.histogram("poll_seconds", "Time.").expect("is made");
    histogram.observe(0.5);
    histogram.observe(2.0);
    assert_eq!(
        host.metric("poll_seconds", &[]),
        Some(Recorded::Histogram(vec![0.5, 2.0]))
    );

    assert!(matches!(api.gauge("polls_total", "?"), Err(ApiError::Refused(_))));
    assert!(matches!(api.gauge("polls-total", "?"), Err(ApiError::Refused(_))));
    assert!(matches!(
        counter.with(&[("module", "x")]),
        Err(ApiError::Refused(_))
    ));
    assert_eq!(format!("{ok:?}"), r#"Counter(polls_total{"a": "1", "b": "2"})"#);
    host.shut_down();
    counter.add(7);
    assert_eq!(host.metric("polls_total", &[]), Some(Recorded::Counter(0)));
}

#[test]
fn a_background_call_comes_after_each_interval_and_survives_a_panic() {
    let host = FakeHost::new(SERVER);
    let api = host.api();
    let turns = Arc::new(AtomicUsize::new(0));
    let (count, clock) = (Arc::clone(&turns), api.clone());
    api.looping_background_call(Duration::from_secs(10), move || {
        let turn = count.fetch_add(1, Ordering::Relaxed) + 1;
        assert_ne!(turn, 2, "the second turn panics in the call");
        let clock = clock.clone();
        async move {
            assert_ne!(turn, 3, "the third turn panics in its future");
            if turn == 4 {
                clock.sleep(Duration::from_secs(25)).await;
            }
        }
    })
    .expect("starts");
    let turns_after = |seconds| {
        host.advance(Duration::from_secs(seconds));
        turns.load(Ordering::Relaxed)
    };
    assert_eq!(turns_after(9), 0);
    assert_eq!(turns_after(1), 1);
    assert_eq!(turns_after(10), 2);
    assert_eq!(turns_after(10), 3);
    assert_eq!(turns_after(10), 4);
    // The fourth turn takes longer than the interval: none overlaps it, and the fifth follows at once.
    assert_eq!(turns_after(24), 4);
    assert_eq!(turns_after(1), 5);
    let log = host.log();
    assert_eq!(log.len(), 2);
    assert!(log[0].1.contains("a looping background call") && log[0].1.contains("second turn"));
    assert!(log[1].1.contains("third turn"));

    let never = api.looping_background_call(Duration::from_micros(999), || async {});
    assert!(matches!(never, Err(ApiError::Refused(_))));
    host.shut_down();
    assert_eq!(turns_after(100), 5);
    drop(api);
    assert_eq!(host.handle_count(), 1, "nothing is left that holds the host");
}

#[test]
fn a_delayed_call_comes_once() {
    let host = FakeHost::new(SERVER);
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let called = host
        .api()
        .delayed_background_call(Duration::from_secs(5), move || async move {
            count.fetch_add(1, Ordering::Relaxed);
        });
    assert_eq!(called, Ok(()));
    host.advance(Duration::from_secs(4));
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    host.advance(Duration::from_secs(1));
    host.advance(Duration::from_secs(5));
    assert_eq!((calls.load(Ordering::Relaxed), host.task_count()), (1, 0));
}

#[test]
fn an_explicit_logger_writes_to_the_host() {
    use log::Log as _;

    let host = FakeHost::new(SERVER);
    let logger = host.api().logger();
    let record = log::Record::builder()
        .args(format_args!("by hand"))
        .level(log::Level::Warn)
        .build();
    logger.log(&record);
    assert_eq!(host.log(), [(log::Level::Warn, "by hand".to_owned())]);
}

#[test]
fn the_name_of_a_worker_is_told() {
    assert_eq!(FakeHost::new(SERVER).api().worker_name(), None);
    assert_eq!(
        FakeHost::new(SERVER).as_worker("w1").api().worker_name(),
        Some("w1")
    );
}

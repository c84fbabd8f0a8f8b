//! What is taken from an answer, and what it counts as.

use std::sync::OnceLock;

use serde_json::json;

use super::*;
use crate::http::Authority;
use crate::run::Window;
use crate::stamp::{Stamp, Tag};
use crate::targets::{Role, Targets, User};

const SECOND: u64 = 1_000_000_000;

/// Users 0 and 1 share a room, 2 is in another, 3 observes.
fn run() -> Run {
    let user = |number: usize, rooms: &[u32], role| User {
        user_id: format!("@{number}:x"),
        token: "t".to_owned(),
        rooms: rooms.to_vec(),
        role,
    };
    Run {
        authority: Authority::of("http://x:1").expect("valid"),
        targets: Targets {
            base_url: String::new(),
            users: vec![
                user(0, &[1], Role::User),
                user(1, &[1], Role::User),
                user(2, &[2], Role::User),
                user(3, &[], Role::Observer),
            ],
        },
        tag: Tag::new(5),
        window: Window::after(1.0, 1.0).expect("a window"),
        started: OnceLock::new(),
        sync_path: String::new(),
    }
}

struct Reading {
    run: Run,
    user: usize,
    tally: Mutex<SyncTally>,
    since: Arc<str>,
    seen: Seen,
}

impl Reading {
    fn of(user: usize) -> Self {
        Self {
            run: run(),
            user,
            tally: Mutex::new(SyncTally::new()),
            since: "s0".into(),
            seen: Seen::default(),
        }
    }

    /// Takes an answer in that came at 1.5 s.
    fn take(&mut self, next_batch: &str, events: &[(&str, String)]) {
        let event = |(sender, status_msg): &(&str, String)| json!({"type": "m.presence", "sender": sender, "content": {"presence": "online", "status_msg": status_msg}});
        let events: Vec<_> = events.iter().map(event).collect();
        let body = json!({"next_batch": next_batch, "presence": {"events": events}, "rooms": {}});
        let reader = Reader {
            run: &self.run,
            user: self.user,
            tally: &self.tally,
        };
        let body = body.to_string();
        reader
            .take(
                body.as_bytes(),
                SECOND + SECOND / 2,
                &mut self.since,
                &mut self.seen,
            )
            .expect("an answer of a sync");
    }

    fn status_msg(&self, writer: usize, at: u64) -> String {
        let mut text = String::new();
        self.run.tag.write(Stamp { writer, at }, &mut text);
        text
    }
}

#[test]
fn an_update_is_delivered_once_and_timed_from_its_sending() {
    let mut reading = Reading::of(0);
    let text = reading.status_msg(1, SECOND + SECOND / 4);
    reading.take("s1", &[("@1:x", text.clone())]);
    reading.take(
        "s2",
        &[("@1:x", text.clone()), ("@1:x", reading.status_msg(1, SECOND))],
    );
    let tally = reading.tally.lock();
    assert_eq!((tally.deliveries, tally.duplicates, tally.unexpected), (1, 2, 0));
    let latency = tally.latency.summary();
    assert!((latency.max_ms - 250.0).abs() < 1.0, "{latency:?}");
    assert_eq!(&*reading.since, "s2");
}

#[test]
fn what_is_from_before_the_window_is_seen_and_not_counted() {
    let mut reading = Reading::of(0);
    let text = reading.status_msg(1, SECOND - 1);
    reading.take("s1", &[("@1:x", text)]);
    assert_eq!(reading.tally.lock().deliveries, 0);
    assert_eq!(reading.seen.newest(1), Some(SECOND - 1));
}

#[test]
fn what_is_not_to_be_seen_is_found_and_observers_see_all() {
    for (user, unexpected) in [(0, 1), (3, 0)] {
        let mut reading = Reading::of(user);
        let text = reading.status_msg(2, SECOND);
        reading.take("s1", &[("@2:x", text)]);
        let tally = reading.tally.lock();
        assert_eq!((tally.unexpected, tally.deliveries), (unexpected, 1 - unexpected));
        assert_eq!(tally.observer_deliveries, 1 - unexpected);
    }
    // Somebody else's text under this name.
    let mut reading = Reading::of(0);
    let text = reading.status_msg(1, SECOND);
    reading.take("s1", &[("@2:x", text)]);
    assert_eq!(reading.tally.lock().unexpected, 1);
}

#[test]
fn what_is_not_of_this_run_is_left_aside() {
    let mut reading = Reading::of(0);
    let other = reading.status_msg(1, SECOND).replacen("pl5", "pl6", 1);
    reading.take("s1", &[("@1:x", "say \"hi\"\n".to_owned()), ("@1:x", other)]);
    reading.take("s1", &[]);
    let tally = reading.tally.lock();
    assert_eq!((tally.deliveries, tally.duplicates, tally.unexpected), (0, 0, 0));
    assert_eq!((tally.responses, tally.empty, tally.unmoved), (2, 2, 1));
}

#[test]
fn an_answer_without_presence_is_one() {
    assert_eq!(
        &*next_batch(br#"{"next_batch":"a\"b"}"#).expect("a token"),
        "a\"b"
    );
    assert!(next_batch(b"{}").is_err());
}

#[test]
fn the_path_escapes_what_it_is_given() {
    let path = sync_path(Duration::from_secs(30), "offline", r#"{"a":1}"#);
    assert_eq!(
        path,
        "/_matrix/client/v3/sync?timeout=30000&set_presence=offline&filter=%7B%22a%22%3A1%7D"
    );
    assert!(!sync_path(Duration::ZERO, "online", "none").contains("filter"));
}

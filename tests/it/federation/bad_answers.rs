//! What a homeserver that does not take what it is sent gets, row by row of `docs/federation.md`, and that good ones beside it
//! are served.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use presence_router_tests::federation::{Authority, Gate, Peer, Reply};
use presence_router_tests::{Host, PATIENCE, Request, SyncRequest};
use serde_json::json;

use crate::federation::stage::Stage;

#[test]
fn who_asks_to_be_left_alone_is_and_gets_the_newest_state_alone() {
    const REST: Duration = Duration::from_millis(1_500);
    let stage = Stage::new();
    let storm = json!({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1_500}).to_string();
    stage.bad.refuses(Reply::Answer(429, storm));
    let (alice, id) = (stage.alice(), stage.gate.id("alice"));
    for number in 0..20 {
        let says = format!("change {number}");
        alice.set("online", Some(&says));
        stage.good.wait_for_says(&id, &says, PATIENCE);
    }
    stage
        .bad
        .wait_until(PATIENCE, |transactions| (transactions.len() >= 3).then_some(()));
    stage.bad.behaves();
    alice.set("online", Some("newest"));
    stage.bad.wait_for_says(&id, "newest", PATIENCE);
    let came = stage.bad.transactions();
    for pair in came.windows(2) {
        // The peer reads the time when it has read the request, at both ends.
        let rest = pair[1].came.duration_since(pair[0].came);
        assert!(rest + Duration::from_millis(50) >= REST, "{rest:?}");
    }
    let ids: BTreeSet<_> = came.iter().map(|transaction| &transaction.id).collect();
    assert_eq!(ids.len(), came.len(), "an id is never used again");
    assert!(came.iter().all(|transaction| transaction.entries().len() == 1));
    assert!(!stage.host.log().contains(&["is not reached"]));
}

#[test]
fn who_answers_garbage_is_tried_later_and_the_good_one_is_served() {
    for reply in [
        Reply::Raw(b"\x16\x03\x01garbage\r\n\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n".to_vec()),
        Reply::Answer(200, "x".repeat(2 * 1024 * 1024)),
        Reply::Answer(502, "<html>".to_owned()),
        Reply::Answer(302, String::new()),
        Reply::HangUp,
    ] {
        let stage = Stage::new();
        stage.bad.refuses(reply);
        let (alice, id) = (stage.alice(), stage.gate.id("alice"));
        alice.set("online", Some("one"));
        let name = stage.bad.name();
        let log = stage.host.log();
        log.wait_for(&["is not reached, and tried again later", &name], PATIENCE);
        stage.good.wait_for_says(&id, "one", PATIENCE);
        stage.bad.behaves();
        alice.set("online", Some("two"));
        stage.good.wait_for_says(&id, "two", PATIENCE);
        // Left alone for 10 s, unless it speaks: then it is there.
        let body = stage.bad.transaction(&[stage.mallory("here")]);
        stage
            .bad
            .send(&stage.host, &stage.gate.name(), "1", &body)
            .expect(200);
        stage.bad.wait_for_says(&id, "two", PATIENCE);
        log.wait_for(&["is reached again", &name], PATIENCE);
    }
}

#[test]
fn a_transaction_that_is_taken_with_garbage_or_refused_for_good_is_not_sent_again() {
    for reply in [
        Reply::Answer(200, "garbage".to_owned()),
        Reply::Answer(400, "garbage".to_owned()),
        Reply::Answer(403, r#"{"errcode":"M_FORBIDDEN"}"#.to_owned()),
        Reply::Answer(413, String::new()),
    ] {
        let stage = Stage::new();
        stage.bad.refuses(reply.clone());
        let (alice, id) = (stage.alice(), stage.gate.id("alice"));
        for says in ["one", "two"] {
            alice.set("online", Some(says));
            stage.bad.wait_for_says(&id, says, PATIENCE);
        }
        assert_eq!(stage.bad.transactions().len(), 2, "{reply:?}");
        assert!(!stage.host.log().contains(&["is not reached"]), "{reply:?}");
    }
}

#[test]
fn good_servers_are_not_held_up_by_ten_thousand_that_are_down() {
    const DOWN: usize = 10_000;
    const GOOD: usize = 20;
    let authority = Authority::new();
    let gate = Gate::open(&authority);
    let good: Vec<_> = (0..GOOD).map(|_| Peer::start(&authority)).collect();
    // Connections to it come about, and then nothing happens: it is never asked for them.
    let silent = TcpListener::bind("0.0.0.0:0").expect("a port is free");
    let silent = silent.local_addr().expect("is bound").port();
    let down = |number: usize| {
        // Of those that are down, one in fifty accepts and says nothing; at the others nobody listens.
        let port = if number.is_multiple_of(50) { silent } else { 1 };
        format!(
            "@u:127.{}.{}.{}:{port}",
            1 + number / 62_500,
            number / 250 % 250,
            1 + number % 250
        )
    };
    let mut members = vec![gate.id("alice")];
    members.extend(good.iter().map(|peer| peer.id("grace")));
    let config = |members: &[String]| {
        let room = ["directory", "static", "rooms", "!all:example.org"];
        gate.config(&["alice"]).set(&room, json!(members))
    };
    let host = Host::start(&config(&members));
    gate.lead_to(&host);
    let (alice, id) = (host.user("alice").at(&gate.name()), gate.id("alice"));
    let say = |says: &str| {
        let begun = Instant::now();
        alice.set("online", Some(says));
        for peer in &good {
            peer.wait_for_says(&id, says, 2 * PATIENCE);
        }
        begun.elapsed()
    };
    say("to those whom we know");
    let before = resident(&host);

    members.extend((0..DOWN).map(down));
    let begun = Instant::now();
    host.reload(&config(&members));
    let tried = |count: usize| {
        let tried = host.log().wait_until(4 * PATIENCE, |lines| {
            let tried = lines
                .iter()
                .filter(|line| line.contains("is not reached, and tried again later"));
            (tried.count() >= count).then_some(begun.elapsed())
        });
        tried.unwrap_or_else(|| panic!("{count} were not tried"))
    };
    tried(1);
    let took = ["first", "second", "third"].map(say);
    let all = tried(DOWN);
    let after = resident(&host);
    println!("the good servers had it after {took:?}; all that are down had been tried after {all:?}");
    println!("resident {before} MiB, then {after} MiB");
    // Without places of their own, they would have to wait for 200 times 10 s, of which 64 pass at a time.
    for one in took {
        assert!(one < Duration::from_secs(10), "{took:?}");
    }
    assert!(after < before + 150, "{before} MiB, then {after} MiB");
    alice.sync(&SyncRequest::initial());
    host.terminate().expect_code(0);
}

/// The host's resident memory, in MiB.
fn resident(host: &Host) -> u64 {
    let scrape = Request::new("GET", "/_synapse/metrics");
    let text = host.client().send(&scrape).body;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let bytes: f64 = line.expect("it is measured").parse().expect("a number");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
    let bytes = bytes as u64;
    bytes / (1024 * 1024)
}

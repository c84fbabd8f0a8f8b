//! What a homeserver that sends what it should not gets, row by row of `docs/federation.md`, and that a good one beside it is
//! served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use presence_router_tests::federation::{Authority, Gate, Peer, Reply, send_uri};
use presence_router_tests::{Host, PATIENCE};
use serde_json::{Value, json};

use crate::federation::stage::{Stage, online};

const KEYS: &str = "/_matrix/key/v2/server";

fn refused(status: u16, errcode: &str) -> (u16, String) {
    (status, errcode.to_owned())
}

#[test]
fn who_has_not_signed_a_transaction_is_refused_and_nothing_of_it_counts() {
    let stage = Stage::new();
    let body = stage.bad.transaction(&[stage.mallory("forged")]);
    let text = body.to_string();
    let unauthorized = refused(401, "M_UNAUTHORIZED");

    let of_another_body = stage.header("1", &json!({}));
    assert_eq!(
        stage.put("1", &of_another_body, text.clone()),
        unauthorized,
        "another body"
    );
    let of_another_path = stage.header("another", &body);
    assert_eq!(
        stage.put("1", &of_another_path, text.clone()),
        unauthorized,
        "another path"
    );
    let by_another = stage.good.header(&send_uri("1"), &stage.gate.name(), &body);
    let by_another = by_another.replace(&stage.good.name(), &stage.bad.name());
    assert_eq!(
        stage.put("1", &by_another, text.clone()),
        unauthorized,
        "another's key"
    );
    let elsewhere = stage.bad.header(&send_uri("1"), "other.test", &body);
    assert_eq!(
        stage.put("1", &elsewhere, text.clone()),
        unauthorized,
        "another destination"
    );
    let for_good = stage.bad.header(&send_uri("1"), &stage.good.name(), &body);
    let redirected = for_good.replace(&stage.good.name(), &stage.gate.name());
    assert_eq!(
        stage.put("1", &redirected, text),
        unauthorized,
        "signed for another"
    );
    // Signed by one, and said to be of another.
    let of_good = stage
        .good
        .transaction(&[online(&stage.good.id("grace"), "forged")]);
    let header = stage.header("1", &of_good);
    assert_eq!(
        stage.put("1", &header, of_good.to_string()),
        unauthorized,
        "another origin"
    );

    assert_eq!(stage.known_of_mallory()["presence"], "offline");
    stage.good_is_heard("signed");
}

#[test]
fn a_replayed_transaction_is_answered_alike_and_counts_once() {
    let stage = Stage::new();
    let alice = stage.alice();
    let since = alice.now();
    let name = stage.gate.name();
    let first = stage.bad.transaction(&[stage.mallory("first")]);
    let answer = stage.bad.send(&stage.host, &name, "1", &first).expect(200);
    alice.sync_until_says(&since, &stage.bad.id("mallory"), "first");
    let second = stage.bad.transaction(&[stage.mallory("second")]);
    stage.bad.send(&stage.host, &name, "2", &second).expect(200);
    assert_eq!(
        stage.bad.send(&stage.host, &name, "1", &first).expect(200),
        answer
    );
    assert_eq!(stage.known_of_mallory()["status_msg"], "second");
}

#[test]
fn of_other_servers_users_nobody_is_believed() {
    let stage = Stage::new();
    let alice = stage.alice();
    alice.set("online", Some("truly"));
    stage.good_is_heard("true");
    let since = alice.now();
    let push = [
        online(&stage.good.id("grace"), "forged"),
        online(&stage.gate.id("alice"), "forged"),
        json!({"user_id": 7}),
        stage.mallory("own"),
    ];
    let body = stage.bad.transaction(&push);
    stage
        .bad
        .send(&stage.host, &stage.gate.name(), "1", &body)
        .expect(200);
    alice.sync_until_says(&since, &stage.bad.id("mallory"), "own");
    for (user, says) in [
        (stage.good.id("grace"), "true"),
        (stage.gate.id("alice"), "truly"),
    ] {
        assert_eq!(alice.presence_of(&user).expect(200)["status_msg"], says);
    }
}

#[test]
fn bodies_that_are_too_large_or_no_transaction_are_refused() {
    let stage = Stage::new();
    let name = stage.gate.name();
    let header = |body: &Value| stage.header("1", body);
    let padded = json!({"origin": stage.bad.name(), "padding": "x".repeat(20 * 1024 * 1024)});
    let head = header(&padded);
    assert_eq!(
        stage.put("1", &head, padded.to_string()),
        refused(413, "M_TOO_LARGE")
    );
    let head = header(&json!({}));
    for garbage in ["{", "", "\u{0}", "{\"origin\": NaN}", &"[".repeat(100_000)] {
        assert_eq!(
            stage.put("1", &head, garbage),
            refused(400, "M_NOT_JSON"),
            "{garbage:.20}"
        );
    }
    assert_eq!(stage.put("1", &head, "[]"), refused(400, "M_BAD_JSON"));
    assert_eq!(stage.put("1", "Bearer x", "{}"), refused(401, "M_UNAUTHORIZED"));
    assert_eq!(
        stage.put("1", "X-Matrix garbage", "{}"),
        refused(400, "M_UNAUTHORIZED")
    );
    let mut many = stage.bad.transaction(&[]);
    many["edus"] = json!(vec![json!({"edu_type": "m.typing", "content": {}}); 101]);
    let head = header(&many);
    assert_eq!(
        stage.put("1", &head, many.to_string()),
        refused(400, "M_BAD_JSON")
    );
    // None of these is a transaction that was taken: its id is free.
    let body = stage.bad.transaction(&[stage.mallory("at last")]);
    stage.bad.send(&stage.host, &name, "1", &body).expect(200);
    assert_eq!(stage.known_of_mallory()["status_msg"], "at last");
}

#[test]
fn a_body_that_does_not_come_is_given_up_and_holds_nobody_up() {
    let stage = Stage::new();
    let address = stage.host.listeners()[0].address.replace("http://", "");
    let begun = Instant::now();
    // More of them than large bodies may be in memory: they promise small ones.
    let mut slow: Vec<_> = (0..32)
        .map(|number| {
            let mut stream = TcpStream::connect(&address).expect("the host listens");
            let head = format!("PUT {} HTTP/1.1\r\nhost: x\r\n", send_uri(&number.to_string()));
            stream.write_all(head.as_bytes()).expect("is sent");
            stream
                .write_all(b"content-length: 1000\r\n\r\n{\"origin\":")
                .expect("is sent");
            stream
        })
        .collect();
    stage.good_is_heard("meanwhile");
    stage.alice().set("online", Some("meanwhile too"));
    stage
        .good
        .wait_for_says(&stage.gate.id("alice"), "meanwhile too", PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    for stream in &mut slow {
        // The host's bound is 30 s.
        stream.set_read_timeout(Some(2 * PATIENCE)).expect("is set");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("is answered");
        assert_eq!(&answer, b"HTTP/1.1 408");
    }
}

#[test]
fn keys_that_lie_are_not_believed_and_are_not_asked_for_again_at_once() {
    let replies = |bad: &Peer, good: &Peer| {
        let verify = |name: &str| {
            json!({
                "server_name": name,
                "valid_until_ts": 4_102_444_800_000_u64,
                "verify_keys": {"ed25519:a_peer": {"key": "A".repeat(43)}},
                "old_verify_keys": {},
                "signatures": {name: {"ed25519:a_peer": "A".repeat(86)}},
            })
        };
        [
            Reply::Answer(200, verify(&bad.name()).to_string()),
            Reply::Answer(200, verify(&good.name()).to_string()),
            Reply::Answer(200, "garbage".to_owned()),
            Reply::Answer(200, "x".repeat(1024 * 1024)),
            Reply::Answer(404, "{}".to_owned()),
            Reply::Answer(500, "{}".to_owned()),
            Reply::Raw(b"\0\0\0garbage\r\n\r\n".to_vec()),
            Reply::HangUp,
        ]
    };
    let authority = Authority::new();
    let gate = Gate::open(&authority);
    let host = Host::start(&gate.config(&["alice"]));
    let good = Peer::start(&authority);
    let count = replies(&good, &good).len();
    for number in 0..count {
        let bad = Peer::start(&authority);
        let reply = replies(&bad, &good)[number].clone();
        bad.answers(move |_| Some(reply.clone()));
        let body = bad.transaction(&[online(&bad.id("mallory"), "lie")]);
        for id in ["1", "2", "3"] {
            let answer = bad.send(&host, &gate.name(), id, &body);
            let answer = (answer.status, answer.errcode());
            assert_eq!(answer, refused(401, "M_UNAUTHORIZED"), "{number}");
        }
        let asked = bad.times_asked(KEYS);
        assert!((1..=2).contains(&asked), "{number}: asked {asked} times");
    }
    let body = good.transaction(&[online(&good.id("grace"), "truth")]);
    good.send(&host, &gate.name(), "1", &body).expect(200);
}

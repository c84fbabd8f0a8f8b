//! What a homeserver that misbehaves gets, row by row of `docs/federation.md`, and that a good one beside it is served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use presence_router_tests::federation::{Authority, Gate, Peer, Reply, put, send_uri};
use presence_router_tests::{Config, Host, PATIENCE, SyncRequest, User};
use serde_json::{Value, json};

const KEYS: &str = "/_matrix/key/v2/server";

/// alice shares rooms with users of a bad homeserver and of a good one.
struct Stage {
    gate: Gate,
    host: Host,
    bad: Peer,
    good: Peer,
}

impl Stage {
    fn new() -> Self {
        Self::with(|config| config)
    }

    fn with(configure: impl FnOnce(Config) -> Config) -> Self {
        let authority = Authority::new();
        let gate = Gate::open(&authority);
        let (bad, good) = (Peer::start(&authority), Peer::start(&authority));
        let members = json!([gate.id("alice"), bad.id("mallory"), good.id("grace")]);
        let config = gate
            .config(&["alice"])
            .set(&["directory", "static", "rooms", "!all:example.org"], members);
        let host = Host::start(&configure(config));
        gate.lead_to(&host);
        Self {
            gate,
            host,
            bad,
            good,
        }
    }

    fn alice(&self) -> User {
        self.host.user("alice").at(&self.gate.name())
    }

    fn mallory(&self, status_msg: &str) -> Value {
        online(&self.bad.id("mallory"), status_msg)
    }

    /// Puts a transaction with these headers and this body; answers the status and the code.
    fn put(&self, id: &str, header: &str, body: impl Into<Vec<u8>>) -> (u16, String) {
        let answer = self.host.client().send(&put(&send_uri(id), header, body));
        (answer.status, answer.errcode())
    }

    /// The bad one's header for this host.
    fn header(&self, id: &str, body: &Value) -> String {
        self.bad.header(&send_uri(id), &self.gate.name(), body)
    }

    /// The good one says something, and it is seen.
    #[track_caller]
    fn good_is_heard(&self, status_msg: &str) {
        let alice = self.alice();
        let since = alice.now();
        let body = self
            .good
            .transaction(&[online(&self.good.id("grace"), status_msg)]);
        let answer = self.good.send(&self.host, &self.gate.name(), status_msg, &body);
        assert_eq!(answer.expect(200), json!({"pdus": {}}));
        alice.sync_until_says(&since, &self.good.id("grace"), status_msg);
    }

    /// What is known of the bad one's user.
    fn known_of_mallory(&self) -> Value {
        self.alice().presence_of(&self.bad.id("mallory")).expect(200)
    }
}

fn online(user: &str, status_msg: &str) -> Value {
    json!({"user_id": user, "presence": "online", "status_msg": status_msg, "last_active_ago": 5})
}

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
        let rest = pair[1].came - pair[0].came;
        assert!(rest + Duration::from_millis(50) >= REST, "{rest:?}");
    }
    let ids: std::collections::BTreeSet<_> = came.iter().map(|transaction| &transaction.id).collect();
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
        let says: Vec<_> = stage.bad.transactions();
        assert_eq!(says.len(), 2, "{reply:?}");
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
    let silent = std::net::TcpListener::bind("0.0.0.0:0").expect("a port is free");
    let silent = silent.local_addr().expect("is bound").port();
    let down = |number: usize| {
        // Of those that are down, one in fifty accepts and says nothing; at the others nobody listens.
        let port = if number % 50 == 0 { silent } else { 1 };
        format!(
            "@u:127.{}.{}.{}:{port}",
            1 + number / 62_500,
            number / 250 % 250,
            1 + number % 250
        )
    };
    let mut members: Vec<_> = (0..DOWN).map(down).collect();
    members.push(gate.id("alice"));
    members.extend(good.iter().map(|peer| peer.id("zoe")));
    let config = gate.config(&["alice"]).set(
        &["directory", "static", "rooms", "!all:example.org"],
        json!(members),
    );
    let host = Host::start(&config);
    gate.lead_to(&host);
    let (alice, id) = (host.user("alice").at(&gate.name()), gate.id("alice"));
    let before = resident(&host);

    let begun = Instant::now();
    let mut took = Vec::new();
    for says in ["first", "second", "third"] {
        let begun = Instant::now();
        alice.set("online", Some(says));
        for peer in &good {
            peer.wait_for_says(&id, says, 4 * PATIENCE);
        }
        took.push(begun.elapsed());
    }
    println!("the good servers had it after {took:?}");
    // All of the others were tried meanwhile.
    let tried = host.log().wait_until(4 * PATIENCE, |lines| {
        let tried = lines
            .iter()
            .filter(|line| line.contains("is not reached, and tried again later"));
        (tried.count() == DOWN).then_some(begun.elapsed())
    });
    let tried = tried.expect("all that are down are tried");
    let after = resident(&host);
    println!("all that are down had been tried after {tried:?}; resident {before} MiB, then {after} MiB");
    // They have proven themselves by the first, and have places of their own from then on.
    for later in &took[1..] {
        assert!(*later < Duration::from_secs(20), "{took:?}");
    }
    assert!(after < before + 150, "{before} MiB, then {after} MiB");
    alice.sync(&SyncRequest::initial());
    host.terminate().expect_code(0);
}

/// The host's resident memory, in MiB.
fn resident(host: &Host) -> u64 {
    let scrape = presence_router_tests::Request::new("GET", "/_synapse/metrics");
    let text = host.client().send(&scrape).body;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let bytes: f64 = line.expect("it is measured").parse().expect("a number");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
    let bytes = bytes as u64;
    bytes / (1024 * 1024)
}

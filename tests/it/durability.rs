//! What outlives the server: by `kill -9` in the middle of load, and what becomes of a database that is not to be used.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use presence_router_tests::cli::run_cli;
use presence_router_tests::process::Output;
use presence_router_tests::{Config, Host, PATIENCE, SyncRequest, User, id_of};
use serde_json::json;

/// Rounds that are played in any case.
const MIN_ROUNDS: usize = 15;
/// No further round begins after so long.
const ENOUGH: Duration = Duration::from_secs(15);
const WRITERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// What a writer's last PUTs were, as numbers in their status messages.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    /// The newest that was answered with 200; 0 for none.
    acknowledged: usize,
    /// The newest that was sent.
    sent: usize,
}

fn writers() -> Config {
    // The users are in one room, so each change is written for many to see. Nobody times out.
    Config::empty()
        .users(&WRITERS)
        .users(&["reader"])
        .room("!all:example.org", &["alice", "bob", "carol", "dave", "reader"])
        .set(&["presence", "sync_online_timeout"], json!("1h"))
        .set(&["presence", "idle_timeout"], json!("1h"))
        .set(&["presence", "last_active_granularity"], json!("1h"))
        // Writers wait for the disk alone.
        .set(
            &["rc_presence", "per_user"],
            json!({"per_second": 100_000, "burst_count": 100_000}),
        )
}

#[test]
fn kill_9_in_the_middle_of_load_loses_nothing_that_was_acknowledged() {
    let begun = Instant::now();
    let mut host = Host::start(&writers());
    let mut written: BTreeMap<&str, Written> = WRITERS.map(|name| (name, Written::default())).into();
    let mut since = host.user("reader").now();
    let mut rounds = 0;
    while rounds < MIN_ROUNDS || begun.elapsed() < ENOUGH {
        // Some are killed before the first answer.
        write_until_killed(&mut host, rounds * 7 % 60, &mut written);
        host.start_again();
        let reader = host.user("reader");
        let answer = reader.sync(&SyncRequest::since(&since));
        for name in WRITERS {
            let says = shown(&reader, &host.user(name));
            let Written { acknowledged, sent } = written[name];
            assert!(
                (acknowledged..=sent).contains(&says),
                "round {rounds}: {name} was answered {acknowledged}, had sent {sent}, and {says} is shown"
            );
            // A token of before goes on, and tells what is new.
            if let Some(event) = answer.of(&id_of(name)) {
                assert_eq!(event.status_msg, message(says), "round {rounds}, in the sync");
            }
            // What was in flight is not in flight any more.
            written.insert(
                name,
                Written {
                    acknowledged: says,
                    sent,
                },
            );
        }
        since = answer.next_batch;
        let again = reader.sync(&SyncRequest::since(&since));
        assert!(again.presence.is_empty(), "round {rounds}: told twice: {again:?}");
        rounds += 1;
    }
    assert!(
        written.values().all(|written| written.acknowledged > 0),
        "{written:?}"
    );
    host.terminate().expect_code(0);
}

/// Has all write at once, and kills the server after so many answers.
fn write_until_killed(host: &mut Host, answers: usize, written: &mut BTreeMap<&str, Written>) {
    let (killed, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for (name, written) in written.iter_mut() {
            let (user, killed, answered) = (host.user(name), &killed, &answered);
            scope.spawn(move || {
                while !killed.load(Ordering::Relaxed) {
                    written.sent += 1;
                    let says = format!("{}", written.sent);
                    if !user.try_set("online", &says) {
                        return;
                    }
                    written.acknowledged = written.sent;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let begun = Instant::now();
        while answered.load(Ordering::Relaxed) < answers {
            assert!(begun.elapsed() < PATIENCE, "the server does not answer");
            thread::yield_now();
        }
        host.kill();
        killed.store(true, Ordering::Relaxed);
    });
}

/// The number that a user is shown to have set last; 0 for none.
fn shown(reader: &User, user: &User) -> usize {
    let seen = reader.presence_of(user.id()).expect(200);
    match seen["status_msg"].as_str() {
        Some(says) => says.parse().expect("the writers write numbers"),
        None => 0,
    }
}

fn message(number: usize) -> Option<String> {
    (number > 0).then(|| number.to_string())
}

/// A server that has stored something and was stopped well.
fn stopped() -> Host {
    let mut host = Host::start(&writers());
    for name in WRITERS {
        host.user(name).set("online", Some("stored"));
    }
    host.stop();
    host
}

/// `run` refuses, in words, and the database is as it was.
#[track_caller]
fn check_refused(stopped: &Host, parts: &[&str]) {
    let database = stopped.database();
    let before = read(&database);
    let output = run_on(&stopped.config_file());
    let named = database.display().to_string();
    output.expect_refusal(&[&["database.args.database", &named], parts].concat());
    assert!(read(&database) == before, "{named} has changed");
}

fn run_on(config: &Path) -> Output {
    run_cli(["run".as_ref(), "-c".as_ref(), config.as_os_str()])
}

fn read(path: &PathBuf) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &PathBuf, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let stopped = stopped();
    write(
        &stopped.database(),
        b"These are somebody's notes, and no database at all.\n",
    );
    check_refused(&stopped, &["is not a database"]);
}

#[test]
fn a_damaged_database_is_refused_and_left_alone() {
    let mut stopped = stopped();
    let whole = read(&stopped.database());
    // Of every page but the first, which says what the file is, the middle is gone.
    let page = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    let mut damaged = whole.clone();
    for page in damaged.chunks_mut(page).skip(1) {
        let middle = page.len() / 4..page.len();
        page[middle].fill(0x5a);
    }
    write(&stopped.database(), &damaged);
    check_refused(&stopped, &["is damaged", "backup"]);

    let cut = whole.get(..whole.len() / 2).expect("half of it");
    write(&stopped.database(), cut);
    check_refused(&stopped, &["is damaged", "backup"]);

    // Put back, it serves again.
    write(&stopped.database(), &whole);
    stopped.start_again();
    let seen = stopped.user("reader").presence_of(&id_of("alice")).expect(200);
    assert_eq!(seen["status_msg"], "stored");
}

#[test]
fn a_database_of_a_newer_server_is_refused_and_left_alone() {
    // Where SQLite keeps the version of its user's schema: <https://www.sqlite.org/fileformat.html#user_version_number>.
    const USER_VERSION: std::ops::Range<usize> = 60..64;
    let stopped = stopped();
    let mut newer = read(&stopped.database());
    newer[USER_VERSION].copy_from_slice(&4711_u32.to_be_bytes());
    write(&stopped.database(), &newer);
    check_refused(&stopped, &["has version 4711", "newer server"]);
}

#[test]
fn a_second_server_on_the_same_database_is_refused_and_the_first_goes_on() {
    let mut host = Host::start(&writers());
    host.user("alice").set("online", Some("first"));
    let output = run_on(&host.config_file());
    output.expect_refusal(&["database.args.database", "in use by another server"]);
    let since = host.user("reader").now();
    host.user("alice").set("online", Some("still here"));
    host.user("reader")
        .sync_until_says(&since, host.user("alice").id(), "still here");
    host.kill();
    host.start_again();
    let seen = host.user("reader").presence_of(host.user("alice").id());
    assert_eq!(seen.expect(200)["status_msg"], "still here");
}

//! A process that is killed by `kill -9` while it writes loses nothing that it has said to be written.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::*;

const ROUNDS: usize = 25;
const USERS: u64 = 20;
/// Names the database to the process that is to be killed.
const DATABASE: &str = "PRESENCE_ROUTER_TEST_DATABASE";

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let place = Place::new();
    let seed = RandomState::new().hash_one(());
    let mut random = seed;
    let mut next = 0;
    let mut largest_batch = 0;
    for round in 0..ROUNDS {
        let what = format!("round {round}, seed {seed}");
        let acknowledged = kill_in_the_middle(&place, next, &mut random);
        largest_batch = largest_batch.max(acknowledged.len());
        let last = acknowledged.last().copied();

        let (storage, restored) = open(&place.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let stored: HashMap<_, _> = restored
            .presence
            .iter()
            .map(|record| (record.user_id.clone(), record.change))
            .collect();
        // Acknowledged in order, so each user's newest is among the last ones.
        for number in acknowledged.iter().rev().take(60) {
            let found = stored.get(&user(number % USERS)).copied();
            assert!(
                found >= Some(*number),
                "{what}: {number} was acknowledged, {found:?} is stored"
            );
        }
        for record in &restored.presence {
            assert_eq!(*record, presence(record.change % USERS, record.change), "{what}");
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let kept = storage.get(module_name(), "newest".into()).await.unwrap();
            let kept = kept.and_then(|value| value.first_chunk().copied().map(u64::from_le_bytes));
            assert!(
                kept >= last,
                "{what}: {last:?} was acknowledged, the module finds {kept:?}"
            );
            patient(storage.close()).await.unwrap();
            next = kept
                .into_iter()
                .chain(stored.into_values())
                .max()
                .map_or(0, |newest| newest + 1);
        });
    }
    assert!(largest_batch > 0, "nothing was ever acknowledged");
}

/// Starts a process that writes from `next` on, kills it, and returns what it had acknowledged.
fn kill_in_the_middle(place: &Place, next: u64, random: &mut u64) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "storage::tests::kill::writes_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(DATABASE, format!("{next} {}", place.path().display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map(Killed)
        .unwrap();
    let mut lines = BufReader::new(child.0.stdout.take().expect("is piped")).lines();
    let number = |line: &str| {
        line.strip_prefix("stored ")
            .and_then(|number| number.parse::<u64>().ok())
    };
    let mut acknowledged: Vec<u64> = Vec::new();

    // xorshift: up to 300 acknowledgements later, and a moment after that. Some processes die before they have one.
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let wanted = usize::try_from(*random % 300).unwrap();
    while acknowledged.len() < wanted {
        match lines.next() {
            Some(Ok(line)) => acknowledged.extend(number(&line)),
            other => panic!("the process has ended by itself: {other:?}"),
        }
    }
    for _ in 0..(*random >> 32) % 100_000 {
        std::hint::spin_loop();
    }
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    // What it said before it died. A last line without its end was not said.
    let mut rest: Vec<_> = lines
        .map_while(Result::ok)
        .filter_map(|line| number(&line))
        .collect();
    rest.pop();
    acknowledged.extend(rest);
    acknowledged
}

/// Killed also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
#[ignore = "the process that `what_was_acknowledged_survives_kill_9` starts and kills"]
fn writes_until_it_is_killed() {
    let Ok(told) = std::env::var(DATABASE) else { return };
    let (next, path) = told.split_once(' ').unwrap();
    let next: u64 = next.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (storage, _) = open(Path::new(path)).unwrap();
        let (running, mut order) = tokio::sync::mpsc::channel(64);
        let handle = storage.clone();
        tokio::spawn(async move {
            for number in next.. {
                let (done, heard) = oneshot::channel();
                let writes = Writes {
                    presence: numbered([presence(number % USERS, number)]),
                    ..Writes::default()
                };
                handle.write(writes, vec![done]);
                let kept = handle.clone();
                let put = tokio::spawn(async move {
                    // Of the module's values too, each is acknowledged.
                    kept.put(
                        module_name(),
                        format!("{}", number % 7),
                        number.to_le_bytes().to_vec(),
                    )
                    .await
                });
                if running.send((number, heard, put)).await.is_err() {
                    return;
                }
            }
        });
        let mut out = std::io::stdout();
        while let Some((number, heard, put)) = order.recv().await {
            heard.await.unwrap().unwrap();
            put.await.unwrap().unwrap();
            storage
                .put(module_name(), "newest".into(), number.to_le_bytes().to_vec())
                .await
                .unwrap();
            out.write_all(format!("stored {number}\n").as_bytes()).unwrap();
        }
    });
}

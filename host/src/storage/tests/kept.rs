//! What was written comes back, and the newest of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use super::*;

fn everything() -> Writes {
    Writes {
        presence: numbered([
            presence(1, 10),
            StoredPresence {
                user_id: user(2),
                presence: UserPresence::OFFLINE,
                change: 0,
            },
        ]),
        routed: vec![route("a", 1, 10), route("a", 2, 11), route("b", 1, 12)],
        snapshots: vec![(user(1), 5), (user(3), 6)],
        rooms: vec![room(1), room(2)],
        reserved: Some(1_000),
        modules: vec![module("a", "1"), module("b", "1")],
        sent: vec![sent("r.example", 3)],
        outgoing: vec![
            outgoing("r.example", 1, 0),
            outgoing("r.example", 2, 10),
            outgoing("s.example", 1, 10),
        ],
        destinations: vec![destination("r.example", 0), destination("s.example", 7)],
    }
}

fn restored(writes: Writes) -> Restored {
    Restored {
        presence: writes.presence.into_iter().map(|(_, record)| record).collect(),
        routed: writes.routed,
        snapshots: writes.snapshots,
        rooms: writes.rooms,
        reserved: writes.reserved.unwrap_or(0),
        modules: writes.modules,
        outgoing: writes.outgoing,
        destinations: writes.destinations,
    }
}

#[tokio::test]
async fn all_that_was_written_comes_back() {
    let place = Place::new();
    let (storage, first) = place.open();
    assert_eq!(first, Restored::default());
    let routes = everything().routed.len();
    store(&storage, everything()).await.unwrap();
    assert_eq!(storage.len_waiting(), routes, "nobody waits for what was routed");
    storage.close().await.unwrap();

    let (storage, again) = place.open();
    assert_eq!(again, restored(everything()));
    storage.close().await.unwrap();
    let left: Vec<_> = fs::read_dir(place.dir.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with("-wal") || name.ends_with("-shm"))
        .collect();
    assert!(left.is_empty(), "after a close, all is in the database: {left:?}");
}

#[tokio::test]
async fn what_was_written_is_soon_on_the_disk_and_not_in_the_log_alone() {
    let place = Place::new();
    let (storage, _) = place.open();
    store(&storage, everything()).await.unwrap();
    let copy = place.dir.path().join("copy.db");
    let deadline = Instant::now() + PATIENCE;
    let is_there = || {
        // The database alone, without its log: what a power cut leaves at least.
        fs::copy(place.path(), &copy).unwrap();
        let connection = rusqlite::Connection::open(&copy).unwrap();
        let rows = connection.query_row("SELECT count(*) FROM presence", [], |row| row.get::<_, i64>(0));
        rows.is_ok_and(|rows| rows == 2)
    };
    while !is_there() {
        assert!(Instant::now() < deadline, "it is in the log alone");
        thread::yield_now();
    }
    storage.close().await.unwrap();
}

#[tokio::test]
async fn the_log_begins_anew_while_writes_go_on() {
    let place = Place::new();
    let (storage, _) = place.open();
    let log = place.dir.path().join("presence.db-wal");
    let length = || fs::metadata(&log).map_or(0, |file| file.len());
    let (mut value, deadline, mut longest) = (vec![7; MAX_VALUE_BYTES], Instant::now() + PATIENCE, 0);
    // Bytes fall when it was begun anew, and cut.
    while longest <= 16 * 1024 * 1024 || length() >= longest {
        longest = longest.max(length());
        for byte in value.iter_mut().step_by(1024) {
            *byte ^= 1;
        }
        let stored = storage.put(module_name(), "key".to_owned(), value.clone());
        patient(stored).await.unwrap();
        assert!(Instant::now() < deadline, "it has {longest} bytes");
    }
    storage.close().await.unwrap();
}

#[tokio::test]
async fn each_state_comes_back_as_itself() {
    let place = Place::new();
    let states = [
        PresenceState::Offline,
        PresenceState::Unavailable,
        PresenceState::Online,
        PresenceState::Busy,
    ];
    let written: Vec<_> = (0..)
        .zip(states)
        .map(|(number, state)| {
            let mut written = presence(number, number);
            written.presence.state = state;
            written.presence.currently_active = number % 2 == 0;
            written
        })
        .collect();
    let (storage, _) = place.open();
    let writes = Writes {
        presence: numbered(written.clone()),
        ..Writes::default()
    };
    store(&storage, writes).await.unwrap();
    storage.close().await.unwrap();
    assert_eq!(place.open().1.presence, written);
}

#[tokio::test]
async fn the_newest_stays_whether_it_was_written_before_or_not() {
    let place = Place::new();
    let (storage, _) = place.open();
    store(&storage, everything()).await.unwrap();
    for change in [20, 30] {
        // Handed over without waiting: these may come into one transaction, or not.
        let writes = Writes {
            presence: numbered([presence(1, change)]),
            routed: vec![route("a", 1, change)],
            snapshots: vec![(user(1), change)],
            reserved: Some(1_000 - change),
            ..Writes::default()
        };
        storage.write(writes, Vec::new());
    }
    storage.flush().await.unwrap();
    storage.close().await.unwrap();

    let (_, again) = place.open();
    assert_eq!(again.presence[0], presence(1, 30));
    assert_eq!(again.routed[0], route("a", 1, 30));
    assert_eq!(again.snapshots, [(user(1), 30), (user(3), 6)]);
    assert_eq!(again.reserved, 1_000, "positions only grow");
    assert_eq!(again.presence.len(), 2);
}

#[tokio::test]
async fn what_nobody_waits_for_is_written_a_moment_later() {
    let place = Place::new();
    let (storage, _) = place.open();
    storage.write(everything(), Vec::new());
    assert!(storage.len_waiting() > 0);
    let written = async {
        while storage.len_waiting() > 0 {
            tokio::task::yield_now().await;
        }
    };
    patient(written).await;
    // Nothing has asked for it.
    drop(storage);
}

#[tokio::test]
async fn what_was_sent_waits_no_more_and_what_comes_after_waits_again() {
    // Each step in a transaction of its own, or all in one.
    for groups in [4, 1] {
        let place = Place::new();
        let (storage, _) = place.open();
        store(&storage, everything()).await.unwrap();
        storage.flush().await.unwrap();
        let steps = [
            Writes {
                sent: vec![sent("r.example", 1), sent("s.example", 1), sent("t.example", 1)],
                destinations: vec![destination("s.example", 8)],
                ..Writes::default()
            },
            Writes {
                outgoing: vec![outgoing("s.example", 1, 20), outgoing("s.example", 2, 20)],
                destinations: vec![destination("s.example", 9), destination("t.example", 1)],
                ..Writes::default()
            },
            Writes {
                sent: vec![sent("s.example", 2)],
                ..Writes::default()
            },
            Writes {
                sent: vec![sent("r.example", 2)],
                outgoing: vec![outgoing("r.example", 2, 30)],
                ..Writes::default()
            },
        ];
        if groups == 1 {
            let held = hold(&storage).await;
            for step in steps {
                storage.write(step, Vec::new());
            }
            assert_eq!(
                storage.len_waiting(),
                5 + 2,
                "the newest of each pair and homeserver"
            );
            drop(held);
            storage.flush().await.unwrap();
        } else {
            for step in steps {
                store(&storage, step).await.unwrap();
            }
        }
        storage.close().await.unwrap();

        let (_, again) = place.open();
        let waits = [outgoing("r.example", 2, 30), outgoing("s.example", 1, 20)];
        assert_eq!(again.outgoing, waits, "{groups} transactions");
        let reached = [
            destination("r.example", 0),
            destination("s.example", 9),
            destination("t.example", 1),
        ];
        assert_eq!(again.destinations, reached, "{groups} transactions");
    }
}

#[tokio::test]
async fn another_fingerprint_keeps_the_routes_of_its_module() {
    let place = Place::new();
    let (storage, _) = place.open();
    store(&storage, everything()).await.unwrap();
    let other = Writes {
        modules: vec![module("b", "2")],
        ..Writes::default()
    };
    store(&storage, other).await.unwrap();
    storage.close().await.unwrap();

    let (_, again) = place.open();
    assert_eq!(again.routed, everything().routed);
    assert_eq!(again.modules, [module("a", "1"), module("b", "2")]);
}

#[tokio::test]
async fn a_number_beyond_what_is_stored_keeps_nothing_else_from_being_stored() {
    let place = Place::new();
    let (storage, _) = place.open();
    let mut strange = presence(1, u64::MAX - 10);
    strange.presence.last_active_ts = u64::MAX;
    let writes = Writes {
        presence: numbered([strange, presence(2, 2)]),
        ..Writes::default()
    };
    store(&storage, writes).await.unwrap();
    storage.close().await.unwrap();
    let (_, again) = place.open();
    assert_eq!(again.presence[0].change, i64::MAX.cast_unsigned());
    assert_eq!(again.presence[1], presence(2, 2));
}

#[tokio::test]
async fn what_was_handed_over_is_written_when_the_last_handle_is_dropped() {
    let place = Place::new();
    let (storage, _) = place.open();
    let other = storage.clone();
    let (done, heard) = oneshot::channel();
    let writes = Writes {
        presence: numbered([presence(1, 1)]),
        ..Writes::default()
    };
    storage.write(writes, vec![done]);
    drop((storage, other));
    patient(heard).await.unwrap().unwrap();
}

#[tokio::test]
async fn after_the_close_every_call_says_so() {
    let place = Place::new();
    let (storage, _) = place.open();
    let other = storage.clone();
    storage.close().await.unwrap();
    let closed = |error: WriteError| matches!(error, WriteError::Closed);
    assert!(closed(store(&other, everything()).await.unwrap_err()));
    assert!(closed(other.flush().await.unwrap_err()));
    assert!(closed(other.close().await.unwrap_err()));
    assert!(closed(other.filter(&user(1), 0).await.unwrap_err()));
    assert!(closed(
        other
            .put(module_name(), "k".into(), Vec::new())
            .await
            .unwrap_err()
    ));
    assert_eq!(other.len_waiting(), 0);
    drop(place.open());
}

#[tokio::test]
async fn memory_keeps_until_the_close() {
    let (storage, first) = Storage::open(&Location::Memory).unwrap();
    assert_eq!(first, Restored::default());
    store(&storage, everything()).await.unwrap();
    assert_eq!(storage.put_filter(&user(1), "{}".into()).await.unwrap(), 0);
    assert_eq!(storage.filter(&user(1), 0).await.unwrap().as_deref(), Some("{}"));
    storage.close().await.unwrap();
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let place = Place::new();
    let (storage, _) = place.open();
    store(&storage, everything()).await.unwrap();
    let mut seen = 0;
    for file in fs::read_dir(place.dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{file:?}");
        seen += 1;
    }
    assert_eq!(seen, 4, "the database, its log, the log's index, the lock");
    storage.close().await.unwrap();
}

//! A database of each version that is out there comes up with its data. The SQL beside this file is never changed: it
//! is what the servers of those versions wrote.

use rusqlite::Connection;

use super::*;

/// What is in `version-1.sql`.
fn version_1() -> Restored {
    let offline = StoredPresence {
        user_id: user(2),
        presence: UserPresence::OFFLINE,
        change: 0,
    };
    Restored {
        presence: vec![presence(1, 10), offline],
        routed: vec![route("a", 1, 10), route("b", 1, 12)],
        snapshots: vec![(user(1), 5)],
        rooms: vec![room(1)],
        reserved: 1_000,
        modules: vec![module("a", "1"), module("b", "1")],
        ..Restored::default()
    }
}

/// What is in `version-1.sql` and `version-2.sql`.
fn version_2() -> Restored {
    Restored {
        outgoing: vec![
            outgoing("r.example", 1, 10),
            outgoing("r.example", 2, 0),
            outgoing("s.example", 1, 0),
        ],
        destinations: vec![StoredDestination {
            server: "r.example".into(),
            succeeded_ts: 21,
            failed_ts: 22,
            retry_ts: 23,
            failures: 24,
        }],
        ..version_1()
    }
}

/// Opens the database that the SQL makes, which is to hold what is expected, changes it, and opens it again.
async fn check(sql: &[&str], expected: Restored) {
    let place = Place::new();
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch(&sql.concat()).unwrap();
    connection.close().unwrap();

    let (storage, restored) = place.open();
    assert_eq!(restored, expected);
    check_others(&storage).await;
    let writes = Writes {
        presence: numbered([presence(3, 3)]),
        outgoing: vec![outgoing("t.example", 3, 3)],
        destinations: vec![destination("t.example", 1)],
        ..Writes::default()
    };
    store(&storage, writes.clone()).await.unwrap();
    storage.close().await.unwrap();

    let (storage, again) = place.open();
    let mut expected = expected;
    let written = writes.presence.into_iter().map(|(_, record)| record);
    expected.presence.extend(written);
    expected.outgoing.extend(writes.outgoing);
    expected.destinations.extend(writes.destinations);
    assert_eq!(again, expected);
    check_others(&storage).await;
    storage.close().await.unwrap();
}

/// What is not read at the start.
async fn check_others(storage: &Storage) {
    let filter = storage.filter(&user(1), 0).await.unwrap();
    assert_eq!(filter.as_deref(), Some("{\"presence\":{}}"));
    let kept = storage.get(module_name(), "key".into()).await.unwrap();
    assert_eq!(kept, Some(vec![0, 255]));
}

#[tokio::test]
async fn a_database_of_version_1_comes_up_with_its_data() {
    check(&[include_str!("version-1.sql")], version_1()).await;
}

#[tokio::test]
async fn a_database_of_version_2_comes_up_with_its_data() {
    let sql = [include_str!("version-1.sql"), include_str!("version-2.sql")];
    check(&sql, version_2()).await;
}

//! A database of version 1, as the first release made it, comes up with its data. The SQL beside this file is never
//! changed: what is in it is out there.

use rusqlite::Connection;

use super::*;

#[tokio::test]
async fn a_database_of_version_1_comes_up_with_its_data() {
    let place = Place::new();
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch(include_str!("version-1.sql")).unwrap();
    connection.close().unwrap();

    let (storage, restored) = place.open();
    let offline = StoredPresence {
        user_id: user(2),
        presence: UserPresence::OFFLINE,
        change: 0,
    };
    let expected = Restored {
        presence: vec![presence(1, 10), offline],
        routed: vec![route("a", 1, 10), route("b", 1, 12)],
        snapshots: vec![(user(1), 5)],
        rooms: vec![room(1)],
        reserved: 1_000,
        modules: vec![module("a", "1"), module("b", "1")],
    };
    assert_eq!(restored, expected);
    let filter = storage.filter(&user(1), 0).await.unwrap();
    assert_eq!(filter.as_deref(), Some("{\"presence\":{}}"));
    let kept = storage.get(module_name(), "key".into()).await.unwrap();
    assert_eq!(kept, Some(vec![0, 255]));
    store(
        &storage,
        Writes {
            presence: vec![presence(3, 3)],
            ..Writes::default()
        },
    )
    .await
    .unwrap();
    storage.close().await.unwrap();
}

//! A disk that is full, and one that is not full any more. `PRAGMA max_page_count` plays the disk.

use super::*;

const FULL: &str = "PRAGMA max_page_count = 1";
const ROOM: &str = "PRAGMA max_page_count = 1000000";

/// More than fits into the free space of a page.
fn many(change: u64) -> Writes {
    Writes {
        presence: numbered((0..200).map(|number| presence(number, change))),
        ..Writes::default()
    }
}

#[tokio::test]
async fn what_does_not_fit_is_kept_and_written_with_the_next_write() {
    let place = Place::new();
    let (storage, _) = place.open();
    sql(&storage, FULL).await;
    let error = store(&storage, many(1)).await.unwrap_err();
    let WriteError::Failed { database, source } = &error else {
        panic!("{error:?}")
    };
    assert!(database.ends_with("presence.db"));
    assert_eq!(source.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull));
    assert!(storage.flush().await.is_err());
    assert_eq!(storage.len_waiting(), 200);
    let newer = Writes {
        presence: numbered([presence(7, 2)]),
        ..Writes::default()
    };
    assert!(store(&storage, newer).await.is_err());
    assert_eq!(storage.len_waiting(), 200, "the newest of each user");

    sql(&storage, ROOM).await;
    storage.flush().await.unwrap();
    assert_eq!(storage.len_waiting(), 0);
    storage.close().await.unwrap();
    let (_, again) = place.open();
    assert_eq!(again.presence.len(), 200);
    assert_eq!(again.presence[7], presence(7, 2));
    assert_eq!(again.presence[8], presence(8, 1));
}

#[tokio::test]
async fn what_was_sent_while_the_disk_was_full_is_not_sent_again() {
    let place = Place::new();
    let (storage, _) = place.open();
    let before = Writes {
        outgoing: vec![outgoing("r.example", 1, 1), outgoing("r.example", 2, 1)],
        destinations: vec![destination("r.example", 3)],
        ..Writes::default()
    };
    store(&storage, before).await.unwrap();
    sql(&storage, FULL).await;
    let first = Writes {
        sent: vec![sent("r.example", 1), sent("r.example", 2)],
        outgoing: vec![outgoing("r.example", 3, 2)],
        destinations: vec![destination("r.example", 4)],
        ..many(1)
    };
    store(&storage, first).await.unwrap_err();
    let second = Writes {
        sent: vec![sent("r.example", 3)],
        outgoing: vec![outgoing("r.example", 2, 3)],
        destinations: vec![destination("r.example", 5)],
        ..Writes::default()
    };
    store(&storage, second).await.unwrap_err();
    assert_eq!(storage.len_waiting(), 200 + 3 + 1);

    sql(&storage, ROOM).await;
    storage.flush().await.unwrap();
    storage.close().await.unwrap();
    let (_, again) = place.open();
    assert_eq!(again.outgoing, [outgoing("r.example", 2, 3)]);
    assert_eq!(again.destinations, [destination("r.example", 5)]);
}

#[tokio::test]
async fn what_does_not_fit_is_written_in_time_without_another_write() {
    let place = Place::new();
    let (storage, _) = place.open();
    sql(&storage, FULL).await;
    store(&storage, many(1)).await.unwrap_err();
    sql(&storage, ROOM).await;
    // Reads go through the same thread, and are no reason to try again: only the time is.
    let written = async {
        while storage.len_waiting() > 0 {
            storage.filter(&user(1), 0).await.unwrap();
        }
    };
    patient(written).await;
    drop(storage);
}

#[tokio::test]
async fn what_a_module_keeps_does_not_keep_presence_from_being_stored() {
    let place = Place::new();
    let (storage, _) = place.open();
    store(&storage, many(1)).await.unwrap();
    sql(&storage, FULL).await;
    let (done, heard) = oneshot::channel();
    let held = hold(&storage).await;
    let put = storage.put(module_name(), "k".into(), vec![7; MAX_VALUE_BYTES]);
    let small = storage.put(module_name(), "small".into(), vec![7]);
    let both = async {
        storage.write(many(2), vec![done]);
        heard.await.unwrap()
    };
    let (large, small, presence_stored, ()) =
        patient(async { tokio::join!(biased; put, small, both, async { drop(held) }) }).await;
    assert!(matches!(large, Err(WriteError::Failed { .. })), "{large:?}");
    small.unwrap();
    presence_stored.unwrap();
    sql(&storage, ROOM).await;
    assert_eq!(storage.get(module_name(), "k".into()).await.unwrap(), None);
    storage
        .put(module_name(), "k".into(), vec![7; MAX_VALUE_BYTES])
        .await
        .unwrap();
    storage.close().await.unwrap();
    let (_, again) = place.open();
    assert!(again.presence.iter().all(|presence| presence.change == 2));
}

#[tokio::test]
async fn a_close_that_cannot_write_says_so_and_unlocks() {
    let place = Place::new();
    let (storage, _) = place.open();
    sql(&storage, FULL).await;
    store(&storage, many(1)).await.unwrap_err();
    let error = patient(storage.close()).await.unwrap_err();
    assert!(matches!(error, WriteError::Failed { .. }), "{error:?}");
    let (_, again) = place.open();
    assert_eq!(again, Restored::default());
}

//! Filters, and what modules keep.

use futures_util::FutureExt;

use super::*;

#[tokio::test]
async fn filters_count_from_0_for_each_user_and_the_same_text_keeps_its_number() {
    let place = Place::new();
    let (storage, _) = place.open();
    let put = async |number, json: &str| storage.put_filter(&user(number), json.to_owned()).await.unwrap();
    assert_eq!(put(1, "{}").await, 0);
    assert_eq!(put(1, "{\"a\":1}").await, 1);
    assert_eq!(put(2, "{\"a\":1}").await, 0);
    assert_eq!(put(1, "{}").await, 0);
    storage.close().await.unwrap();

    let (storage, _) = place.open();
    let filter = async |number, id| storage.filter(&user(number), id).await.unwrap();
    assert_eq!(filter(1, 1).await.as_deref(), Some("{\"a\":1}"));
    assert_eq!(filter(2, 1).await, None);
    assert_eq!(filter(1, u64::MAX).await, None);
    assert_eq!(storage.put_filter(&user(1), "{} ".into()).await.unwrap(), 2);
    storage.close().await.unwrap();
}

#[tokio::test]
async fn a_user_has_a_thousand_filters_at_most() {
    let (storage, _) = Storage::open(&Location::Memory).unwrap();
    for number in 0..MAX_FILTERS {
        assert_eq!(
            storage.put_filter(&user(1), number.to_string()).await.unwrap(),
            number
        );
    }
    let refused = storage.put_filter(&user(1), "one more".into()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "@user0001:example.org has 1000 filters, and may have no more: use one of them"
    );
    assert_eq!(storage.put_filter(&user(1), "7".into()).await.unwrap(), 7);
    assert_eq!(storage.put_filter(&user(2), "7".into()).await.unwrap(), 0);
}

fn keys(found: &[(String, Vec<u8>)]) -> Vec<&str> {
    found.iter().map(|(key, _)| key.as_str()).collect()
}

#[tokio::test]
async fn a_module_finds_what_it_keeps_and_nothing_of_another() {
    let place = Place::new();
    let (storage, _) = place.open();
    let module = module_name();
    let other: Arc<str> = "module2".into();
    let get = async |storage: &Storage, module: &Arc<str>, key: &str| {
        storage.get(Arc::clone(module), key.to_owned()).await.unwrap()
    };
    storage
        .put(Arc::clone(&module), "k".into(), vec![0, 255])
        .await
        .unwrap();
    storage
        .put(Arc::clone(&other), "k".into(), Vec::new())
        .await
        .unwrap();
    storage
        .put(Arc::clone(&module), "k".into(), vec![1])
        .await
        .unwrap();
    storage.close().await.unwrap();

    let (storage, _) = place.open();
    assert_eq!(get(&storage, &module, "k").await, Some(vec![1]));
    assert_eq!(get(&storage, &other, "k").await, Some(vec![]));
    assert!(storage.delete(Arc::clone(&module), "k".into()).await.unwrap());
    assert!(!storage.delete(Arc::clone(&module), "k".into()).await.unwrap());
    assert_eq!(get(&storage, &module, "k").await, None);
    assert_eq!(get(&storage, &other, "k").await, Some(vec![]));
    storage.close().await.unwrap();
}

#[tokio::test]
async fn a_scan_goes_by_the_bytes_of_the_keys() {
    let (storage, _) = Storage::open(&Location::Memory).unwrap();
    // `_` and `%` are no wildcards; U+10FFFF is behind every other character.
    let all = [
        "a",
        "a\0",
        "a%",
        "a/1",
        "a/2",
        "a/é",
        "a/\u{10ffff}",
        "a0",
        "a_",
        "b",
        "é",
    ];
    for key in all.iter().rev() {
        storage
            .put(module_name(), (*key).into(), key.as_bytes().to_vec())
            .await
            .unwrap();
    }
    let scan = async |prefix: &str, after: Option<&str>, limit| {
        let found = storage
            .scan(module_name(), prefix.to_owned(), after.map(str::to_owned), limit)
            .await
            .unwrap();
        assert!(found.iter().all(|(key, value)| key.as_bytes() == value));
        keys(&found).join(" ")
    };
    assert_eq!(scan("", None, 1000).await, all.join(" "));
    assert_eq!(scan("a/", None, 1000).await, "a/1 a/2 a/é a/\u{10ffff}");
    assert_eq!(scan("a/", None, 2).await, "a/1 a/2");
    assert_eq!(scan("a/", Some("a/2"), 2).await, "a/é a/\u{10ffff}");
    assert_eq!(scan("a/", Some("a/\u{10ffff}"), 2).await, "");
    assert_eq!(scan("a/", Some("a"), 1).await, "a/1", "before all of the prefix");
    assert_eq!(scan("a/", Some("b"), 2).await, "", "behind all of the prefix");
    assert_eq!(scan("a/1", None, 9).await, "a/1");
    assert_eq!(scan("zz", None, 9).await, "");
    assert_eq!(scan("", None, 0).await, "");
}

#[tokio::test]
async fn keys_values_and_scans_have_bounds() {
    let (storage, _) = Storage::open(&Location::Memory).unwrap();
    let put = |key: String, value: usize| storage.put(module_name(), key, vec![7; value]);
    put("k".repeat(MAX_KEY_BYTES), MAX_VALUE_BYTES).await.unwrap();
    let long = put("k".repeat(MAX_KEY_BYTES + 1), 1).await.unwrap_err();
    assert_eq!(
        long.to_string(),
        "a key (bytes) of 513 is too large: the limit is 512"
    );
    assert!(matches!(put(String::new(), 1).await, Err(WriteError::EmptyKey)));
    let large = put("k".into(), MAX_VALUE_BYTES + 1).await.unwrap_err();
    assert_eq!(
        large.to_string(),
        "a value (bytes) of 1048577 is too large: the limit is 1048576"
    );
    storage
        .scan(module_name(), String::new(), None, MAX_SCAN)
        .await
        .unwrap();
    let many = storage
        .scan(module_name(), String::new(), None, MAX_SCAN + 1)
        .await
        .unwrap_err();
    assert_eq!(
        many.to_string(),
        "a scan (entries) of 1001 is too large: the limit is 1000"
    );
}

#[tokio::test]
async fn the_data_of_a_module_has_a_bound_that_a_restart_and_a_refusal_do_not_move() {
    let place = Place::new();
    let (storage, _) = place.open();
    let put = async |storage: &Storage, key: &str, value: usize| {
        storage.put(module_name(), key.to_owned(), vec![7; value]).await
    };
    // Keys of 4 bytes: all that is allowed but for 12 bytes.
    for number in 0..64 {
        put(&storage, &format!("k{number:03}"), MAX_VALUE_BYTES - 4)
            .await
            .unwrap();
    }
    put(&storage, "k000", MAX_VALUE_BYTES - 16).await.unwrap();
    let full = |refused: Result<(), WriteError>| {
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the data of one module (bytes) of 67108865 is too large: the limit is 67108864"
        );
    };
    full(put(&storage, "more", 9).await);
    storage.close().await.unwrap();

    let (storage, _) = place.open();
    full(put(&storage, "more", 9).await);
    // A transaction that is taken back takes its count back; what did not fail is stored after all.
    let trigger = "CREATE TEMP TRIGGER fails BEFORE INSERT ON module_data WHEN new.key = 'fail' \
        BEGIN SELECT raise(ABORT, 'no'); END";
    sql(&storage, trigger).await;
    let held = hold(&storage).await;
    let two =
        async { tokio::join!(biased; put(&storage, "a", 1), put(&storage, "fail", 1), async { drop(held) }) };
    let (stored, failed, ()) = patient(two).await;
    stored.unwrap();
    assert!(matches!(failed, Err(WriteError::Failed { .. })), "{failed:?}");
    full(put(&storage, "more", 7).await);
    put(&storage, "more", 6).await.unwrap();
    assert!(storage.delete(module_name(), "more".into()).await.unwrap());
    put(&storage, "m", 9).await.unwrap();
    storage
        .put("other".into(), "more".into(), vec![1; 9])
        .await
        .unwrap();
    storage.close().await.unwrap();
}

#[tokio::test]
async fn requests_beyond_the_bound_wait_for_their_turn() {
    let (storage, _) = Storage::open(&Location::Memory).unwrap();
    let held = Arc::clone(&storage.handle.permits)
        .try_acquire_many_owned(MAX_REQUESTS)
        .unwrap();
    let mut get = std::pin::pin!(storage.get(module_name(), "k".into()));
    assert!((&mut get).now_or_never().is_none());
    drop(held);
    assert_eq!(patient(get).await.unwrap(), None);
    assert_eq!(storage.handle.permits.available_permits(), MAX_REQUESTS as usize);
}

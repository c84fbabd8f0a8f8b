//! A file with a damaged byte is refused, or gives what was written: never anything else, and never a panic.

use std::fs;

use super::*;

/// What a database gives.
#[derive(Debug, PartialEq)]
struct Content {
    restored: Restored,
    filters: Vec<Option<String>>,
    kept: Vec<(String, Vec<u8>)>,
}

async fn content(path: &Path) -> Result<Content, String> {
    let (storage, restored) = open(path).map_err(|error| error.to_string())?;
    let read = async {
        let mut filters = Vec::new();
        for number in 0..3 {
            filters.push(storage.filter(&user(number), 0).await?);
        }
        let mut kept = storage.scan(module_name(), String::new(), None, MAX_SCAN).await?;
        for (key, value) in &mut kept {
            *value = storage.get(module_name(), key.clone()).await?.unwrap_or_default();
        }
        Ok(Content {
            restored,
            filters,
            kept,
        })
    };
    let content = patient(read).await.map_err(|error: WriteError| error.to_string());
    // A damaged file may also fail to be closed in order.
    drop(patient(storage.close()).await);
    content
}

/// A database with something in each table, several pages deep.
async fn original(place: &Place) -> (Content, Vec<u8>) {
    let (storage, _) = place.open();
    let writes = Writes {
        presence: numbered((0..60).map(|number| presence(number, number))),
        routed: (0..60).map(|number| route("a", number, number)).collect(),
        snapshots: (0..3).map(|number| (user(number), number)).collect(),
        rooms: (0..3).map(room).collect(),
        reserved: Some(1_000),
        modules: vec![module("a", "1")],
        sent: Vec::new(),
        outgoing: (0..60)
            .map(|number| outgoing("r.example", number, number))
            .collect(),
        destinations: vec![destination("r.example", 1), destination("s.example", 0)],
    };
    store(&storage, writes).await.unwrap();
    for number in 0..3 {
        storage
            .put_filter(&user(number), "{\"limit\":1}".into())
            .await
            .unwrap();
        let value = vec![number.to_le_bytes()[0]; 3000];
        storage
            .put(module_name(), format!("key{number}"), value)
            .await
            .unwrap();
    }
    storage.close().await.unwrap();
    let content = content(&place.path()).await.unwrap();
    (content, fs::read(place.path()).unwrap())
}

async fn check(original: &Content, bytes: &[u8], what: &str) -> bool {
    let place = Place::new();
    fs::write(place.path(), bytes).unwrap();
    let found = content(&place.path()).await;
    if let Ok(found) = &found {
        assert!(found == original, "{what}: other data than was written");
    }
    found.is_err()
}

#[tokio::test]
async fn a_damaged_byte_is_noticed_or_changes_nothing() {
    let (original, bytes) = original(&Place::new()).await;
    // The whole header, and bytes of all pages; 97 has no factor in common with the size of a page.
    let offsets = (0..100).chain((100..bytes.len()).step_by(97));
    let (mut refused, mut checked) = (0, 0);
    for (offset, mask) in offsets.zip([0x01, 0xff, 0x80].into_iter().cycle()) {
        let mut damaged = bytes.clone();
        damaged[offset] ^= mask;
        let what = format!("byte {offset} of {} xor {mask}", bytes.len());
        refused += usize::from(check(&original, &damaged, &what).await);
        checked += 1;
    }
    assert!(
        refused * 4 > checked,
        "of {checked} damaged files only {refused} were refused"
    );
}

// No sum is wrong then: a row is missing.
#[tokio::test]
async fn a_page_that_forgets_its_last_row_is_noticed() {
    const LEAF: u8 = 10;
    let (original, bytes) = original(&Place::new()).await;
    let mut checked = 0;
    for (page, content) in bytes.chunks(4096).enumerate() {
        // <https://www.sqlite.org/fileformat2.html#b_tree_pages>: the kind of the page, and how many cells it has.
        if content[0] != LEAF || content[3] != 0 || content[4] == 0 {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[page * 4096 + 4] -= 1;
        let what = format!("page {page} with {} rows", content[4]);
        assert!(check(&original, &damaged, &what).await, "{what}");
        checked += 1;
    }
    assert!(checked >= 10, "there are 10 tables, {checked} pages were found");
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_refused() {
    let (original, bytes) = original(&Place::new()).await;
    for length in [1, 50, 100, 4095, 4096, 4097, bytes.len() / 2, bytes.len() - 4096] {
        let what = format!("cut off at {length} of {}", bytes.len());
        assert!(check(&original, &bytes[..length], &what).await, "{what}");
    }
    // What is missing here may be read as zeros, and have been zeros.
    check(&original, &bytes[..bytes.len() - 1], "without the last byte").await;
}

#[tokio::test]
async fn pages_of_zeros_or_of_another_place_are_noticed() {
    let (original, bytes) = original(&Place::new()).await;
    for page in 0..bytes.len() / 4096 {
        let (from, to) = (page * 4096, (page + 1) * 4096);
        let mut zeros = bytes.clone();
        zeros[from..to].fill(0);
        check(&original, &zeros, &format!("page {page} of zeros")).await;
        let mut moved = bytes.clone();
        let other = if page + 1 < bytes.len() / 4096 { to } else { 4096 };
        moved.copy_within(other..other + 4096, from);
        check(&original, &moved, &format!("page {page} of another place")).await;
    }
}

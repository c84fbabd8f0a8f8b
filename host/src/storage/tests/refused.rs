//! What is not opened, and stays as it was.

use std::collections::BTreeMap;
use std::fs;

use insta::{allow_duplicates, assert_snapshot};
use rusqlite::Connection;

use super::*;

/// The text of the refusal, with the directory left out. The files in the directory have not changed.
fn refusal(place: &Place, path: &Path) -> String {
    let before = files(place);
    let error = open(path).expect_err("is refused");
    let mut after = files(place);
    for name in files(place).keys() {
        // The index of a log that is there is made anew from it.
        let is_aside = name.contains(".lock") || name.contains("-shm");
        if is_aside && !before.contains_key(name) {
            after.remove(name);
        }
    }
    assert!(before == after, "{:?} became {:?}", before.keys(), after.keys());
    text(place, &error)
}

fn text(place: &Place, error: &OpenError) -> String {
    let dir = fs::canonicalize(place.dir.path()).unwrap();
    error.to_string().replace(&dir.display().to_string(), "DIR")
}

fn files(place: &Place) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(place.dir.path())
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            let content = fs::read(file.path()).unwrap_or_default();
            (file.file_name().into_string().unwrap(), content)
        })
        .collect()
}

fn make(place: &Place, sql: &str) {
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
}

async fn ours(place: &Place) {
    let (storage, _) = place.open();
    let writes = Writes {
        presence: numbered([presence(1, 1)]),
        modules: vec![module("m", "1")],
        outgoing: vec![outgoing("remote.example", 1, 1)],
        destinations: vec![destination("remote.example", 1)],
        ..Writes::default()
    };
    store(&storage, writes).await.unwrap();
    storage.close().await.unwrap();
}

#[test]
fn a_missing_directory_is_named() {
    let place = Place::new();
    let path = place.dir.path().join("missing/presence.db");
    let text = open(&path).unwrap_err().to_string();
    let text = text.replace(&place.dir.path().display().to_string(), "DIR");
    assert_snapshot!(text, @"no directory `DIR/missing` for the database `DIR/missing/presence.db`: create it, or name another file");
}

#[test]
fn what_is_no_file_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    assert_snapshot!(refusal(&place, &place.path()), @"`DIR/presence.db` is not a regular file: name another one for the database");
    assert!(matches!(
        open(Path::new("/")),
        Err(OpenError::NotAFile { .. } | OpenError::Unwritable { .. })
    ));
    assert!(matches!(open(Path::new("")), Err(OpenError::NotAFile { .. })));
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    // Below a file nothing can be made, not even by root.
    let error = open(&place.path().join("presence.db")).unwrap_err();
    let text = error
        .to_string()
        .replace(&place.dir.path().display().to_string(), "DIR");
    assert_snapshot!(text, @"cannot write `DIR/presence.db/presence.db`: this server's user needs to write the file and its directory");
    // The kernel's own directories take no files, not even from root.
    let error = open(Path::new("/proc/self/presence.db")).unwrap_err();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
}

#[test]
fn what_is_no_database_is_refused() {
    for content in [
        "x".to_owned(),
        "SQLite format 3\0".to_owned(),
        "text\n".repeat(1000),
    ] {
        let place = Place::new();
        fs::write(place.path(), content).unwrap();
        allow_duplicates! { assert_snapshot!(refusal(&place, &place.path()), @"`DIR/presence.db` is not a database: name another file, or move this one away"); }
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let schemas = [
        "CREATE TABLE presence (user_id TEXT)",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 3",
        "PRAGMA journal_mode = WAL; CREATE TABLE t (a)",
    ];
    for schema in schemas {
        let place = Place::new();
        make(&place, schema);
        allow_duplicates! { assert_snapshot!(refusal(&place, &place.path()), @"`DIR/presence.db` is a database of another program: name another file, or move this one away"); }
    }
}

#[test]
fn the_log_of_another_program_is_not_completed() {
    let place = Place::new();
    let (writer, copy) = (Place::new(), place.path());
    let connection = Connection::open(writer.path()).unwrap();
    connection
        .execute_batch("PRAGMA application_id = 7; PRAGMA journal_mode = WAL; CREATE TABLE t (a)")
        .unwrap();
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", writer.path().display());
        fs::copy(from, format!("{}{suffix}", copy.display())).unwrap();
    }
    assert_snapshot!(refusal(&place, &place.path()), @"`DIR/presence.db` is a database of another program: name another file, or move this one away");
}

#[tokio::test]
async fn a_newer_version_is_refused() {
    let place = Place::new();
    ours(&place).await;
    make(&place, "PRAGMA user_version = 99");
    assert_snapshot!(refusal(&place, &place.path()), @"the database `DIR/presence.db` has version 99, this server knows versions up to 2: use the newer server again, or a backup of before it");
}

#[test]
fn a_damaged_database_of_an_older_version_keeps_its_version() {
    let place = Place::new();
    make(&place, include_str!("version-1.sql"));
    make(&place, "UPDATE rooms SET changed = 4");
    assert_snapshot!(refusal(&place, &place.path()), @"the database `DIR/presence.db` is damaged (table `rooms`, row `!room1:example.org`: its sum does not fit it): put a backup in its place, or move it away with the files beside it to begin anew");
    make(&place, "UPDATE rooms SET changed = 3");
    drop(place.open());
}

#[tokio::test]
async fn what_is_in_the_log_of_a_newer_version_stays_there() {
    let (place, writer) = (Place::new(), Place::new());
    ours(&writer).await;
    let connection = Connection::open(writer.path()).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", writer.path().display());
        fs::copy(from, format!("{}{suffix}", place.path().display())).unwrap();
    }
    let text = refusal(&place, &place.path());
    assert!(text.contains("has version 99"), "{text}");
    assert!(
        fs::metadata(format!("{}-wal", place.path().display()))
            .unwrap()
            .len()
            > 0
    );
}

#[tokio::test]
async fn a_row_that_this_server_did_not_write_is_named() {
    let damages = [
        "UPDATE presence SET state = 'away'",
        "UPDATE presence SET user_id = 'nobody'",
        "UPDATE presence SET change = -1",
        "UPDATE presence SET currently_active = 2",
        "UPDATE presence SET status_msg = NULL",
        "UPDATE presence SET change = 2",
        "UPDATE modules SET fingerprint = '2'",
        "INSERT INTO rooms VALUES ('!r:b', x'00', 1, 1)",
        "INSERT INTO snapshots VALUES ('@a:b', 1, 1)",
        "INSERT INTO routed VALUES ('m', '@a:b', 1, 1, 1)",
        "INSERT INTO filters VALUES ('@a:b', 0, x'00', '{}', 1)",
        "INSERT INTO module_data VALUES ('m', 'key', x'00', 1)",
        "INSERT INTO reserved VALUES (0, 9223372036854775807, 1)",
        "INSERT INTO outgoing VALUES ('r.example', '@a:b', 1, 1)",
        "INSERT INTO outgoing VALUES ('r.example', 'nobody', 1, 1)",
        "INSERT INTO outgoing VALUES ('r.example', '@a:b', -1, 1)",
        "INSERT INTO destinations VALUES ('r.example', 1, 1, 1, 1, 1)",
        "INSERT INTO destinations VALUES ('r.example', 1, 1, 1, 4294967296, 1)",
        "UPDATE outgoing SET server = 'other.example'",
        "UPDATE outgoing SET change = 0",
        "UPDATE destinations SET server = 'other.example'",
        "UPDATE destinations SET succeeded_ts = 9",
        "UPDATE destinations SET failed_ts = 9",
        "UPDATE destinations SET retry_ts = 9",
        "UPDATE destinations SET failures = 9",
    ];
    let mut refusals = Vec::new();
    for damage in damages {
        let place = Place::new();
        ours(&place).await;
        make(&place, damage);
        let error = open(&place.path()).unwrap_err();
        let OpenError::CorruptRow {
            table, row, problem, ..
        } = error
        else {
            panic!("{damage}: {error:?}")
        };
        refusals.push(format!("{table}, row {row}: {problem}"));
    }
    assert_snapshot!(refusals.join("\n"), @r"
    presence, row `@user0001:example.org`: `away` is not a presence state
    presence, row `nobody`: `nobody` is not a user id
    presence, row `@user0001:example.org`: -1 is not a position or a time
    presence, row `@user0001:example.org`: 2 is neither true nor false
    presence, row `@user0001:example.org`: its sum does not fit it
    presence, row `@user0001:example.org`: its sum does not fit it
    modules, row `m`: its sum does not fit it
    rooms, row `!r:b`: a digest of 1 bytes
    snapshots, row `@a:b`: its sum does not fit it
    routed, row `m` `@a:b`: its sum does not fit it
    filters, row `@a:b` 0: its sum does not fit it
    module_data, row `m` `key`: its sum does not fit it
    reserved, row 0: its sum does not fit it
    outgoing, row `r.example` `@a:b`: its sum does not fit it
    outgoing, row `r.example` `nobody`: `nobody` is not a user id
    outgoing, row `r.example` `@a:b`: -1 is not a position or a time
    destinations, row `r.example`: its sum does not fit it
    destinations, row `r.example`: 4294967296 is not a count
    outgoing, row `other.example` `@user0001:example.org`: its sum does not fit it
    outgoing, row `remote.example` `@user0001:example.org`: its sum does not fit it
    destinations, row `other.example`: its sum does not fit it
    destinations, row `remote.example`: its sum does not fit it
    destinations, row `remote.example`: its sum does not fit it
    destinations, row `remote.example`: its sum does not fit it
    destinations, row `remote.example`: its sum does not fit it
    ");

    let place = Place::new();
    ours(&place).await;
    make(&place, "UPDATE presence SET change = 2");
    assert_snapshot!(refusal(&place, &place.path()), @"the database `DIR/presence.db` is damaged (table `presence`, row `@user0001:example.org`: its sum does not fit it): put a backup in its place, or move it away with the files beside it to begin anew");
}

#[tokio::test]
async fn a_log_without_its_database_is_kept() {
    let place = Place::new();
    ours(&place).await;
    fs::write(format!("{}-wal", place.path().display()), "log").unwrap();
    fs::remove_file(place.path()).unwrap();
    assert_snapshot!(refusal(&place, &place.path()), @"the database `DIR/presence.db` is damaged (it is empty or missing, and its log `DIR/presence.db-wal` is not): put a backup in its place, or move it away with the files beside it to begin anew");
    fs::write(place.path(), "").unwrap();
    refusal(&place, &place.path());
}

#[tokio::test]
async fn a_database_in_use_is_refused_by_whatever_path() {
    let place = Place::new();
    let (storage, _) = place.open();
    let link = place.dir.path().join("link.db");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    for path in [place.path(), link] {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
        allow_duplicates! { assert_snapshot!(text(&place, &error), @"the database `DIR/presence.db` is in use by another server: stop that one, or give each its own file"); }
    }
    storage.close().await.unwrap();
    drop(place.open());
}

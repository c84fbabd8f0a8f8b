//! From a path to a database that was checked whole, is locked, and may be written.
//!
//! What is not ours, or not as we left it, is refused before anything of it is changed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::checkpoint::{Checkpoints, LONG_LOG};
use super::database::{Database, Lock};
use super::error::OpenError;
use super::records::{
    Restored, StoredDestination, StoredModule, StoredOutgoing, StoredPresence, StoredRoom, StoredRoute,
};
use super::rows::{ReadError, Reserved, Snapshot, read_all};
use super::schema::{self, APPLICATION_ID, STEPS, SchemaError};
use super::{filters, module_data};

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In this file, which is made, with mode 0600, when it is not there. SQLite keeps its log beside it (`-wal`,
    /// `-shm`), and we a lock (`.lock`).
    File(PathBuf),
    /// In memory: nothing outlives the process.
    Memory,
}

/// How long to wait for another program, such as `sqlite3`, that locks the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// To what the log is cut after it was long.
const LOG_BYTES: i64 = LONG_LOG * 4096;
/// After how many pages a transaction itself brings the log into the database, and waits for the disk: only when more come than
/// the thread for it can bring.
const MAX_LOG: i64 = 8 * LONG_LOG;
/// The name of the log is that of the database and this.
const LOG: &str = "-wal";
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

pub(super) fn open(location: &Location) -> Result<(Database, Restored), OpenError> {
    match location {
        Location::File(path) => open_file(path),
        Location::Memory => {
            let path = Path::new("memory");
            let connection = Connection::open_in_memory().map_err(|error| failed(path, error))?;
            finish(path, connection, None)
        }
    }
}

fn open_file(path: &Path) -> Result<(Database, Restored), OpenError> {
    // One lock for one file, by whatever path.
    let path = &resolve(path)?;
    let lock = lock(path)?;
    look_at(path)?;
    finish(path, connect(path)?, Some(lock))
}

/// The path without links, of a file that may not be there yet.
fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    match fs::canonicalize(path) {
        Ok(path) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(unwritable(path, source)),
    }
    let Some(name) = path.file_name() else {
        return Err(OpenError::NotAFile {
            path: path.to_owned(),
        });
    };
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    match fs::canonicalize(directory) {
        Ok(directory) => Ok(directory.join(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::NoDirectory {
            path: path.to_owned(),
            directory: directory.to_owned(),
        }),
        Err(source) => Err(unwritable(path, source)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Held as long as the file is open: also after a `kill -9` the system ends it with the process. The file stays: were
/// it removed, two servers could each lock a file of that name.
fn lock(path: &Path) -> Result<Lock, OpenError> {
    let name = beside(path, ".lock");
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name);
    let file = opened.map_err(|source| unwritable(&name, source))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(unwritable(&name, source)),
    }
}

/// Makes the file when it is not there, and refuses what its header shows not to be ours before SQLite sees it, which
/// would complete what another program has begun.
fn look_at(path: &Path) -> Result<(), OpenError> {
    let not_a_file = || OpenError::NotAFile {
        path: path.to_owned(),
    };
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => {
            let metadata = file.metadata().map_err(|source| unwritable(path, source))?;
            if !metadata.is_file() {
                return Err(not_a_file());
            }
            if metadata.len() == 0 {
                return check_no_log(path);
            }
            check_header(path, file)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            check_no_log(path)?;
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map(drop)
                .map_err(|source| unwritable(path, source))
        }
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(not_a_file()),
        Err(source) => Err(unwritable(path, source)),
    }
}

/// SQLite would remove the log of an empty database, for it is of no use. But the database may have been moved away by
/// mistake.
fn check_no_log(path: &Path) -> Result<(), OpenError> {
    if has_log(path) {
        let log = beside(path, LOG);
        return Err(OpenError::Corrupt {
            path: path.to_owned(),
            problem: format!("it is empty or missing, and its log `{}` is not", log.display()),
        });
    }
    Ok(())
}

fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, LOG)).is_ok_and(|log| log.len() > 0)
}

/// <https://www.sqlite.org/fileformat2.html#the_database_header>
fn check_header(path: &Path, file: File) -> Result<(), OpenError> {
    let mut header = Vec::with_capacity(100);
    file.take(100)
        .read_to_end(&mut header)
        .map_err(|source| unwritable(path, source))?;
    if header.len() < 100 || !header.starts_with(MAGIC) {
        return Err(OpenError::NotADatabase {
            path: path.to_owned(),
        });
    }
    let number = |at| {
        header
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes)
    };
    // 0 where the file's maker has named none: SQLite then tells whether there is something in it.
    if !matches!(number(68), Some(0 | APPLICATION_ID)) {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    Ok(())
}

fn finish(
    path: &Path,
    mut connection: Connection,
    lock: Option<Lock>,
) -> Result<(Database, Restored), OpenError> {
    let sqlite = |error| failed(path, error);
    // Until all is checked, what is in the log stays there.
    let keep_log = lock.is_some() && has_log(path);
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_log)
        .and_then(|_| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false))
        .and_then(|_| connection.busy_timeout(BUSY_TIMEOUT))
        .and_then(|()| connection.pragma_update(None, "cell_size_check", true))
        .map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);

    check_pages(path, &connection)?;
    let read = |connection: &Connection| {
        let restored = restore(connection)?;
        filters::check_all(connection)?;
        Ok((restored, module_data::check_all(connection)?))
    };
    let (restored, sizes) =
        schema::migrate(&mut connection, STEPS, read).map_err(|error| refuse_schema(path, error))?;

    if lock.is_some() {
        // After the first transaction, so that a file that is ours says so without its log.
        let mode: String = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
            .map_err(sqlite)?;
        if mode != "wal" {
            return Err(OpenError::NoLog {
                path: path.to_owned(),
                mode,
            });
        }
        connection
            .pragma_update(None, "synchronous", "NORMAL")
            .and_then(|()| {
                connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))
            })
            .and_then(|()| {
                connection.pragma_update_and_check(None, "wal_autocheckpoint", MAX_LOG, |_| Ok(()))
            })
            .map_err(sqlite)?;
    }
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(sqlite)?;
    let checkpoints = lock.is_some().then(|| checkpoints(path)).transpose()?;
    Ok((
        Database::new(path, connection, sizes, checkpoints, lock),
        restored,
    ))
}

fn checkpoints(path: &Path) -> Result<Checkpoints, OpenError> {
    let connection = connect(path)?;
    // The connection that writes brings the log home when it is closed. What is read opens the log: how many files are open
    // does not change later.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .and_then(|_| connection.query_row("PRAGMA schema_version", [], |_| Ok(())))
        .map_err(|error| failed(path, error))?;
    Checkpoints::start(path, connection).map_err(|source| OpenError::Thread { source })
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|error| failed(path, error))
}

/// The shape of all pages. What is in them is checked by the sums of the rows.
fn check_pages(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| failed(path, error))?;
    if found == "ok" {
        return Ok(());
    }
    Err(OpenError::Corrupt {
        path: path.to_owned(),
        problem: found.lines().collect::<Vec<_>>().join(" "),
    })
}

fn restore(connection: &Connection) -> Result<Restored, ReadError> {
    let snapshots: Vec<Snapshot> = read_all(connection)?;
    let reserved: Vec<Reserved> = read_all(connection)?;
    Ok(Restored {
        presence: read_all::<StoredPresence>(connection)?,
        routed: read_all::<StoredRoute>(connection)?,
        snapshots: snapshots
            .into_iter()
            .map(|Snapshot(user, position)| (user, position))
            .collect(),
        rooms: read_all::<StoredRoom>(connection)?,
        reserved: reserved.first().map_or(0, |reserved| reserved.0),
        modules: read_all::<StoredModule>(connection)?,
        outgoing: read_all::<StoredOutgoing>(connection)?,
        destinations: read_all::<StoredDestination>(connection)?,
    })
}

fn unwritable(path: &Path, source: io::Error) -> OpenError {
    OpenError::Unwritable {
        path: path.to_owned(),
        source,
    }
}

fn failed(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Corrupt {
            path,
            problem: source.to_string(),
        },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            unwritable(&path, io::Error::other(source))
        }
        Some(_) | None => OpenError::Failed { path, source },
    }
}

fn refuse_schema(path: &Path, error: SchemaError) -> OpenError {
    let owned = path.to_owned();
    match error {
        SchemaError::Foreign => OpenError::Foreign { path: owned },
        SchemaError::Newer { found, known } => OpenError::Newer {
            path: owned,
            found,
            known,
        },
        SchemaError::Corrupt(problem) => OpenError::Corrupt { path: owned, problem },
        SchemaError::Step { from, to, source } => OpenError::Migrate {
            path: owned,
            from,
            to,
            source,
        },
        SchemaError::Content(error) => refuse_rows(path, error),
        SchemaError::Sqlite(source) => failed(path, source),
    }
}

fn refuse_rows(path: &Path, error: ReadError) -> OpenError {
    match error {
        ReadError::Sqlite(source) => failed(path, source),
        ReadError::Row { table, row, problem } => OpenError::CorruptRow {
            path: path.to_owned(),
            table,
            row,
            problem: problem.to_string(),
        },
    }
}

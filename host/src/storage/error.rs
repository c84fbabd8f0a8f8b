//! Why a database could not be opened, or a call not be answered.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use presence_router_api::UserId;
use rusqlite::ErrorCode;
use thiserror::Error;

/// Why [`Storage::open`](super::Storage::open) refused. The database is as it was, except for what SQLite itself
/// completes of a write that a crash has cut off.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory that is to hold the database is not there.
    #[error(
        "no directory `{}` for the database `{}`: create it, or name another file",
        directory.display(),
        path.display()
    )]
    NoDirectory {
        /// The database.
        path: PathBuf,
        /// What is missing.
        directory: PathBuf,
    },
    /// The path names something else than a regular file.
    #[error("`{}` is not a regular file: name another one for the database", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// The file cannot be made, read or written.
    #[error("cannot write `{}`: this server's user needs to write the file and its directory", path.display())]
    Unwritable {
        /// The file: the database, or one beside it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another server has the database open.
    #[error(
        "the database `{}` is in use by another server: stop that one, or give each its own file",
        path.display()
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The file is no SQLite database.
    #[error("`{}` is not a database: name another file, or move this one away", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error(
        "`{}` is a database of another program: name another file, or move this one away",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The database was written by a later version of this server.
    #[error(
        "the database `{}` has version {found}, this server knows versions up to {known}: \
         use the newer server again, or a backup of before it",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest version that this server knows.
        known: u32,
    },
    /// The database is damaged.
    #[error(
        "the database `{}` is damaged ({problem}): put a backup in its place, or move it away with the files \
         beside it to begin anew",
        path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// How it shows.
        problem: String,
    },
    /// A row of the database is damaged.
    #[error(
        "the database `{}` is damaged (table `{table}`, row {row}: {problem}): put a backup in its place, or move \
         it away with the files beside it to begin anew",
        path.display()
    )]
    CorruptRow {
        /// The database.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The key of the row.
        row: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The database could not be brought to the version of this server. It is left at its own.
    #[error(
        "cannot bring the database `{}` from version {from} to {to}: it is left as it was; mend the cause and \
         start again",
        path.display()
    )]
    Migrate {
        /// The database.
        path: PathBuf,
        /// Its version.
        from: u32,
        /// The version that it was to get.
        to: u32,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file system cannot hold a write-ahead log.
    #[error(
        "the database `{}` cannot have a write-ahead log here (journal mode `{mode}`): put it on a local disk",
        path.display()
    )]
    NoLog {
        /// The database.
        path: PathBuf,
        /// What SQLite uses instead.
        mode: String,
    },
    /// Something else went wrong, such as an I/O error.
    #[error("cannot open the database `{}`", path.display())]
    Failed {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The system gave no thread.
    #[error("cannot start the thread of the database: raise the limit of processes for this server's user")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
}

/// Why a call was not answered as hoped. All who waited for one transaction get clones of one error.
#[derive(Debug, Clone, Error)]
pub enum WriteError {
    /// The storage was closed, or is being closed.
    #[error("the database is closed: the server is stopping")]
    Closed,
    /// The disk is full, an I/O error, or another program locks the database.
    #[error("cannot use the database `{database}`: see to its disk, it is tried again")]
    Failed {
        /// The path of the database.
        database: Arc<str>,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// More than one may ask for, or keep.
    #[error("{what} of {size} is too large: the limit is {limit}")]
    TooLarge {
        /// Of what there is too much, and in which unit.
        what: Bounded,
        /// How much it is.
        size: u64,
        /// How much it may be.
        limit: u64,
    },
    /// A key without a character.
    #[error("the key is empty: a key has 1 to 512 bytes")]
    EmptyKey,
    /// The user has as many filters as one may have.
    #[error("{user} has {limit} filters, and may have no more: use one of them")]
    TooMany {
        /// Whose filters they are.
        user: UserId,
        /// How many there may be.
        limit: u64,
    },
    /// A stored row is damaged.
    #[error("the database is damaged (table `{table}`, row {row}): put a backup in its place")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The key of the row.
        row: String,
    },
}

impl WriteError {
    /// Whether less in the transaction could have made it pass, as when the disk is nearly full. Where the database is
    /// locked or the disk fails, it could not, and each attempt may take long.
    pub(super) fn may_lie_in_a_row(&self) -> bool {
        match self {
            Self::Failed { source, .. } => !matches!(
                source.sqlite_error_code(),
                Some(
                    ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::SystemIoFailure
                )
            ),
            _ => false,
        }
    }
}

/// What has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    /// A key, in bytes.
    Key,
    /// A value, in bytes.
    Value,
    /// All keys and values of a module, in bytes.
    ModuleData,
    /// The entries that one scan asks for.
    Scan,
}

impl fmt::Display for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "a key (bytes)",
            Self::Value => "a value (bytes)",
            Self::ModuleData => "the data of one module (bytes)",
            Self::Scan => "a scan (entries)",
        })
    }
}

//! A record as a row of its table, and back. A row that is read is checked whole: nothing that this server could not
//! have written gets past here.

use std::sync::Arc;

use presence_router_api::{PresenceState, UserId};
use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Connection, Row, Statement, params};
use thiserror::Error;

use super::records::{StoredModule, StoredPresence, StoredRoom, StoredRoute};
use super::sum::Sum;
use crate::presence::UserPresence;

/// What is stored as a row of its own table.
pub(super) trait Record: Sized {
    /// The table.
    const TABLE: &'static str;
    /// How many columns, from the first, are its key.
    const KEYS: usize = 1;
    /// Puts a row in the place of the one with the same key.
    const PUT: &'static str;
    /// All rows, by their key.
    const ALL: &'static str;

    fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<usize>;

    /// Reads the row. What it has in common with the row before it may share its memory.
    fn read(row: &Row<'_>, before: Option<&Self>) -> Result<Self, RowError>;
}

/// What is wrong with a row.
#[derive(Debug, Error)]
pub(super) enum RowError {
    #[error("a column has another type")]
    Type(#[from] FromSqlError),
    #[error("a column cannot be read")]
    Column(#[from] rusqlite::Error),
    #[error("`{0}` is not a user id")]
    UserId(String),
    #[error("`{0}` is not a presence state")]
    State(String),
    #[error("{0} is not a position or a time")]
    Number(i64),
    #[error("{0} is not a count")]
    Count(i64),
    #[error("{0} is neither true nor false")]
    Flag(i64),
    #[error("a digest of {0} bytes")]
    Digest(usize),
    #[error("its sum does not fit it")]
    Sum,
}

/// Why a table could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    Sqlite(rusqlite::Error),
    Row {
        table: &'static str,
        row: String,
        problem: RowError,
    },
}

/// Puts `records`, the newest in the place of older ones.
pub(super) fn put_all<'a, R: Record + 'a>(
    connection: &Connection,
    records: impl IntoIterator<Item = &'a R>,
) -> rusqlite::Result<()> {
    let mut records = records.into_iter().peekable();
    if records.peek().is_none() {
        return Ok(());
    }
    let mut put = connection.prepare_cached(R::PUT)?;
    records.try_for_each(|record| record.put(&mut put).map(drop))
}

/// All records of the table.
pub(super) fn read_all<R: Record>(connection: &Connection) -> Result<Vec<R>, ReadError> {
    let mut all = Vec::new();
    each_row(connection, R::TABLE, R::KEYS, R::ALL, |row| {
        let record = R::read(row, all.last())?;
        all.push(record);
        Ok(())
    })?;
    Ok(all)
}

/// Calls `read` for each row; the first `keys` columns name the row in an error.
pub(super) fn each_row(
    connection: &Connection,
    table: &'static str,
    keys: usize,
    all: &str,
    mut read: impl FnMut(&Row<'_>) -> Result<(), RowError>,
) -> Result<(), ReadError> {
    let mut statement = connection.prepare(all).map_err(ReadError::Sqlite)?;
    let mut rows = statement.query([]).map_err(ReadError::Sqlite)?;
    while let Some(row) = rows.next().map_err(ReadError::Sqlite)? {
        read(row).map_err(|problem| ReadError::Row {
            table,
            row: name(row, keys),
            problem,
        })?;
    }
    Ok(())
}

/// The key of a row for people to read, whatever it holds.
fn name(row: &Row<'_>, keys: usize) -> String {
    let key = |column| match row.get_ref(column) {
        Ok(ValueRef::Integer(number)) => number.to_string(),
        Ok(value) => match value.as_bytes() {
            Ok(bytes) => format!("`{}`", String::from_utf8_lossy(bytes)),
            Err(_) => "unreadable".to_owned(),
        },
        Err(_) => "unreadable".to_owned(),
    };
    let named: Vec<_> = (0..keys).map(key).collect();
    named.join(" ").chars().take(300).collect()
}

/// `i64::MAX` for what is beyond: one strange number must not keep all others from being stored.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn read_number(row: &Row<'_>, column: usize) -> Result<u64, RowError> {
    let number = row.get_ref(column)?.as_i64()?;
    u64::try_from(number).map_err(|_| RowError::Number(number))
}

pub(super) fn read_user(row: &Row<'_>, column: usize) -> Result<UserId, RowError> {
    let text = row.get_ref(column)?.as_str()?;
    UserId::parse(text).map_err(|_| RowError::UserId(text.to_owned()))
}

pub(super) fn check_sum(row: &Row<'_>, column: usize, sum: i64) -> Result<(), RowError> {
    if row.get_ref(column)?.as_i64()? == sum {
        Ok(())
    } else {
        Err(RowError::Sum)
    }
}

impl StoredPresence {
    fn sum(&self) -> i64 {
        Sum::of(Self::TABLE)
            .text(self.user_id.as_str())
            .text(self.presence.state.as_str())
            .number(number(self.presence.last_active_ts))
            .number(number(self.presence.last_federation_update_ts))
            .number(number(self.presence.last_user_sync_ts))
            .optional(self.presence.status_msg.as_deref())
            .number(i64::from(self.presence.currently_active))
            .number(number(self.change))
            .finish()
    }
}

impl Record for StoredPresence {
    const TABLE: &'static str = "presence";
    const PUT: &'static str = "INSERT OR REPLACE INTO presence VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    const ALL: &'static str = "SELECT user_id, state, last_active_ts, last_federation_update_ts, \
        last_user_sync_ts, status_msg, currently_active, change, sum FROM presence ORDER BY user_id";

    fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<usize> {
        put.execute(params![
            self.user_id.as_str(),
            self.presence.state.as_str(),
            number(self.presence.last_active_ts),
            number(self.presence.last_federation_update_ts),
            number(self.presence.last_user_sync_ts),
            self.presence.status_msg.as_deref(),
            self.presence.currently_active,
            number(self.change),
            self.sum(),
        ])
    }

    fn read(row: &Row<'_>, _: Option<&Self>) -> Result<Self, RowError> {
        let state = match row.get_ref(1)?.as_str()? {
            "offline" => PresenceState::Offline,
            "unavailable" => PresenceState::Unavailable,
            "online" => PresenceState::Online,
            "busy" => PresenceState::Busy,
            other => return Err(RowError::State(other.to_owned())),
        };
        let record = Self {
            user_id: read_user(row, 0)?,
            presence: UserPresence {
                state,
                last_active_ts: read_number(row, 2)?,
                last_federation_update_ts: read_number(row, 3)?,
                last_user_sync_ts: read_number(row, 4)?,
                status_msg: row.get_ref(5)?.as_str_or_null()?.map(Arc::from),
                currently_active: match row.get_ref(6)?.as_i64()? {
                    0 => false,
                    1 => true,
                    other => return Err(RowError::Flag(other)),
                },
            },
            change: read_number(row, 7)?,
        };
        check_sum(row, 8, record.sum())?;
        Ok(record)
    }
}

impl StoredRoute {
    fn sum(&self) -> i64 {
        Sum::of(Self::TABLE)
            .text(&self.module)
            .text(self.user_id.as_str())
            .number(number(self.change))
            .number(number(self.position))
            .finish()
    }
}

impl Record for StoredRoute {
    const TABLE: &'static str = "routed";
    const KEYS: usize = 2;
    const PUT: &'static str = "INSERT OR REPLACE INTO routed VALUES (?1, ?2, ?3, ?4, ?5)";
    const ALL: &'static str =
        "SELECT module, user_id, change, position, sum FROM routed ORDER BY module, user_id";

    fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<usize> {
        put.execute(params![
            &*self.module,
            self.user_id.as_str(),
            number(self.change),
            number(self.position),
            self.sum()
        ])
    }

    fn read(row: &Row<'_>, before: Option<&Self>) -> Result<Self, RowError> {
        let module = row.get_ref(0)?.as_str()?;
        let record = Self {
            module: match before {
                Some(before) if &*before.module == module => Arc::clone(&before.module),
                _ => Arc::from(module),
            },
            user_id: read_user(row, 1)?,
            change: read_number(row, 2)?,
            position: read_number(row, 3)?,
        };
        check_sum(row, 4, record.sum())?;
        Ok(record)
    }
}

/// A user, and the position of their last full snapshot.
pub(super) struct Snapshot(pub(super) UserId, pub(super) u64);

impl Snapshot {
    fn sum(&self) -> i64 {
        Sum::of(Self::TABLE)
            .text(self.0.as_str())
            .number(number(self.1))
            .finish()
    }
}

impl Record for Snapshot {
    const TABLE: &'static str = "snapshots";
    const PUT: &'static str = "INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3)";
    const ALL: &'static str = "SELECT user_id, position, sum FROM snapshots ORDER BY user_id";

    fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<usize> {
        put.execute(params![self.0.as_str(), number(self.1), self.sum()])
    }

    fn read(row: &Row<'_>, _: Option<&Self>) -> Result<Self, RowError> {
        let record = Self(read_user(row, 0)?, read_number(row, 1)?);
        check_sum(row, 2, record.sum())?;
        Ok(record)
    }
}

impl StoredRoom {
    fn sum(&self) -> i64 {
        Sum::of(Self::TABLE)
            .text(&self.room_id)
            .bytes(&self.digest)
            .number(number(self.changed))
            .finish()
    }
}

impl Record for StoredRoom {
    const TABLE: &'static str = "rooms";
    const PUT: &'static str = "INSERT OR REPLACE INTO rooms VALUES (?1, ?2, ?3, ?4)";
    const ALL: &'static str = "SELECT room_id, digest, changed, sum FROM rooms ORDER BY room_id";

    fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<usize> {
        put.execute(params![
            self.room_id,
            self.digest.as_slice(),
            number(self.changed),
            self.sum()
        ])
    }

    fn read(row: &Row<'_>, _: Option<&Self>) -> Result<Self, RowError> {
        let digest = row.get_ref(1)?.as_blob()?;
        let record = Self {
            room_id: row.get_ref(0)?.as_str()?.to_owned(),
            digest: digest.try_into().map_err(|_| RowError::Digest(digest.len()))?,
            changed: read_number(row, 2)?,
        };
        check_sum(row, 3, record.sum())?;
        Ok(record)
    }
}

impl StoredModule {
    fn sum(&self) -> i64 {
        Sum::of(Self::TABLE)
            .text(&self.name)
            .text(&self.fingerprint)
            .number(number(self.since))
            .finish()
    }
}

impl Record for StoredModule {
    const TABLE: &'static str = "modules";
    const PUT: &'static str = "INSERT OR REPLACE INTO modules VALUES (?1, ?2, ?3, ?4)";
    const ALL: &'static str = "SELECT name, fingerprint, since, sum FROM modules ORDER BY name";

    fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<usize> {
        put.execute(params![
            &*self.name,
            self.fingerprint,
            number(self.since),
            self.sum()
        ])
    }

    fn read(row: &Row<'_>, _: Option<&Self>) -> Result<Self, RowError> {
        let record = Self {
            name: Arc::from(row.get_ref(0)?.as_str()?),
            fingerprint: row.get_ref(1)?.as_str()?.to_owned(),
            since: read_number(row, 2)?,
        };
        check_sum(row, 3, record.sum())?;
        Ok(record)
    }
}

/// Positions up to this one may be in use.
pub(super) struct Reserved(pub(super) u64);

impl Reserved {
    fn sum(&self) -> i64 {
        Sum::of(Self::TABLE).number(number(self.0)).finish()
    }
}

impl Record for Reserved {
    const TABLE: &'static str = "reserved";
    const PUT: &'static str = "INSERT INTO reserved VALUES (0, ?1, ?2) \
        ON CONFLICT (id) DO UPDATE SET position = excluded.position, sum = excluded.sum \
        WHERE excluded.position > position";
    const ALL: &'static str = "SELECT id, position, sum FROM reserved";

    fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<usize> {
        put.execute(params![number(self.0), self.sum()])
    }

    fn read(row: &Row<'_>, _: Option<&Self>) -> Result<Self, RowError> {
        let record = Self(read_number(row, 1)?);
        check_sum(row, 2, record.sum())?;
        Ok(record)
    }
}

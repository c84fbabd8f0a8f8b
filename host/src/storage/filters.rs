//! The filters that users have stored. Knows no filter's meaning: they are text.

use presence_router_api::UserId;
use rusqlite::{Connection, OptionalExtension, Row};
use sha2::{Digest, Sha256};

use super::error::WriteError;
use super::request::{Failure, Tables};
use super::rows::{ReadError, RowError, check_sum, each_row};
use super::sum::Sum;

/// How many filters a user may have. Who has more is not served by more: clients use a handful.
pub const MAX_FILTERS: u64 = 1000;

const TABLE: &str = "filters";

/// The number of the filter, which counts from 0 for each user, as Synapse's do. The same text has the same number.
pub(super) fn put(tables: &mut Tables<'_>, user: &UserId, json: &str) -> Result<u64, Failure> {
    let digest: [u8; 32] = Sha256::digest(json).into();
    let connection = tables.connection;
    let stored: Option<i64> = connection
        .prepare_cached("SELECT id FROM filters WHERE user_id = ?1 AND digest = ?2")?
        .query_row((user.as_str(), &digest), |row| row.get(0))
        .optional()?;
    if let Some(id) = stored {
        return Ok(id.cast_unsigned());
    }
    let id: i64 = connection
        .prepare_cached("SELECT coalesce(max(id) + 1, 0) FROM filters WHERE user_id = ?1")?
        .query_row([user.as_str()], |row| row.get(0))?;
    if id.cast_unsigned() >= MAX_FILTERS {
        return Err(Failure::Refused(WriteError::TooMany {
            user: user.clone(),
            limit: MAX_FILTERS,
        }));
    }
    let sum = sum(user.as_str(), id, &digest, json);
    connection
        .prepare_cached("INSERT INTO filters VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((user.as_str(), id, &digest, json, sum))?;
    Ok(id.cast_unsigned())
}

/// The text of a filter.
pub(super) fn get(tables: &mut Tables<'_>, user: &UserId, id: u64) -> Result<Option<String>, Failure> {
    let Ok(id) = i64::try_from(id) else {
        return Ok(None);
    };
    let mut statement = tables.connection.prepare_cached(
        "SELECT user_id, id, digest, json, sum FROM filters WHERE user_id = ?1 AND id = ?2",
    )?;
    let mut rows = statement.query((user.as_str(), id))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    match read(row) {
        Ok(json) => Ok(Some(json)),
        Err(problem) => Err(Failure::row(TABLE, format!("`{user}` {id}"), &problem)),
    }
}

/// Checks all rows: a damaged key would not be found any more when it is asked for.
pub(super) fn check_all(connection: &Connection) -> Result<(), ReadError> {
    let all = "SELECT user_id, id, digest, json, sum FROM filters";
    each_row(connection, TABLE, 2, all, |row| read(row).map(drop))
}

fn read(row: &Row<'_>) -> Result<String, RowError> {
    let (user, id) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_i64()?);
    let (digest, json) = (row.get_ref(2)?.as_blob()?, row.get_ref(3)?.as_str()?);
    check_sum(row, 4, sum(user, id, digest, json))?;
    Ok(json.to_owned())
}

fn sum(user: &str, id: i64, digest: &[u8], json: &str) -> i64 {
    Sum::of(TABLE)
        .text(user)
        .number(id)
        .bytes(digest)
        .text(json)
        .finish()
}

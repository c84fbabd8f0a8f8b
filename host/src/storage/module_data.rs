//! What modules keep: values by key, each module's apart. Knows no module's meaning: they are bytes.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::error::{Bounded, WriteError};
use super::request::{Failure, Tables};
use super::rows::{ReadError, RowError, check_sum, each_row};
use super::sum::Sum;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// All keys and values of a module, in bytes.
pub const MAX_MODULE_BYTES: u64 = 64 * 1024 * 1024;
/// The most entries that one scan gives.
pub const MAX_SCAN: u32 = 1000;

const TABLE: &str = "module_data";
const SCAN_AFTER: &str =
    "SELECT module, key, value, sum FROM module_data WHERE module = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
const SCAN_FROM: &str =
    "SELECT module, key, value, sum FROM module_data WHERE module = ?1 AND key >= ?2 ORDER BY key LIMIT ?3";

/// Whether a module may have such a key.
pub(super) fn check_key(key: &str) -> Result<(), WriteError> {
    if key.is_empty() {
        return Err(WriteError::EmptyKey);
    }
    check(Bounded::Key, key.len() as u64, MAX_KEY_BYTES as u64)
}

/// Whether a module may have such a value.
pub(super) fn check_value(value: &[u8]) -> Result<(), WriteError> {
    check(Bounded::Value, value.len() as u64, MAX_VALUE_BYTES as u64)
}

/// Whether one scan may ask for so many.
pub(super) fn check_limit(limit: u32) -> Result<(), WriteError> {
    check(Bounded::Scan, limit.into(), MAX_SCAN.into())
}

fn check(what: Bounded, size: u64, limit: u64) -> Result<(), WriteError> {
    if size > limit {
        return Err(WriteError::TooLarge { what, size, limit });
    }
    Ok(())
}

pub(super) fn get(tables: &mut Tables<'_>, module: &str, key: &str) -> Result<Option<Vec<u8>>, Failure> {
    let mut statement = tables
        .connection
        .prepare_cached("SELECT module, key, value, sum FROM module_data WHERE module = ?1 AND key = ?2")?;
    let mut rows = statement.query((module, key))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    read(row)
        .map(|(_, value)| Some(value.to_owned()))
        .map_err(|problem| damaged(module, key, &problem))
}

pub(super) fn put(
    tables: &mut Tables<'_>,
    module: &Arc<str>,
    key: &str,
    value: &[u8],
) -> Result<(), Failure> {
    let before = stored_size(tables, module, key)?.unwrap_or(0);
    let size = size(tables, module)?.saturating_sub(before) + entry_size(key, value.len() as u64);
    check(Bounded::ModuleData, size, MAX_MODULE_BYTES).map_err(Failure::Refused)?;
    tables
        .connection
        .prepare_cached("INSERT OR REPLACE INTO module_data VALUES (?1, ?2, ?3, ?4)")?
        .execute((&**module, key, value, sum(module, key, value)))?;
    tables.sizes.insert(Arc::clone(module), size);
    Ok(())
}

/// Whether there was such a key.
pub(super) fn delete(tables: &mut Tables<'_>, module: &Arc<str>, key: &str) -> Result<bool, Failure> {
    let Some(stored) = stored_size(tables, module, key)? else {
        return Ok(false);
    };
    let size = size(tables, module)?.saturating_sub(stored);
    tables
        .connection
        .prepare_cached("DELETE FROM module_data WHERE module = ?1 AND key = ?2")?
        .execute((&**module, key))?;
    tables.sizes.insert(Arc::clone(module), size);
    Ok(true)
}

/// Keys that begin with `prefix`, in the order of their bytes, after `after`.
pub(super) fn scan(
    tables: &mut Tables<'_>,
    module: &str,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    // Both are lower bounds: the greater one counts.
    let (scan, bound) = match after.filter(|after| *after >= prefix) {
        Some(after) => (SCAN_AFTER, after),
        None => (SCAN_FROM, prefix),
    };
    let mut statement = tables.connection.prepare_cached(scan)?;
    let mut rows = statement.query((module, bound, limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, value) = read(row).map_err(|problem| {
            let key = row.get_ref(1).ok().and_then(|key| key.as_str().ok());
            damaged(module, key.unwrap_or("unreadable"), &problem)
        })?;
        // Keys with one prefix stand together.
        if !key.starts_with(prefix) {
            break;
        }
        found.push((key.to_owned(), value.to_owned()));
    }
    Ok(found)
}

/// Checks all rows, for a damaged key would not be found any more when it is asked for, and counts the bytes of each
/// module.
pub(super) fn check_all(connection: &Connection) -> Result<HashMap<Arc<str>, u64>, ReadError> {
    let mut sizes: HashMap<Arc<str>, u64> = HashMap::new();
    let all = "SELECT module, key, value, sum FROM module_data";
    each_row(connection, TABLE, 2, all, |row| {
        let (key, value) = read(row)?;
        let module = row.get_ref(0)?.as_str()?;
        let size = entry_size(key, value.len() as u64);
        match sizes.get_mut(module) {
            Some(sum) => *sum += size,
            None => drop(sizes.insert(module.into(), size)),
        }
        Ok(())
    })?;
    Ok(sizes)
}

fn read<'a>(row: &'a Row<'_>) -> Result<(&'a str, &'a [u8]), RowError> {
    let (module, key) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
    let value = row.get_ref(2)?.as_blob()?;
    check_sum(row, 3, sum(module, key, value))?;
    Ok((key, value))
}

fn sum(module: &str, key: &str, value: &[u8]) -> i64 {
    Sum::of(TABLE).text(module).text(key).bytes(value).finish()
}

fn damaged(module: &str, key: &str, problem: &RowError) -> Failure {
    Failure::row(TABLE, format!("`{module}` `{key}`"), problem)
}

fn entry_size(key: &str, value: u64) -> u64 {
    key.len() as u64 + value
}

/// The bytes of an entry that is stored.
fn stored_size(tables: &Tables<'_>, module: &str, key: &str) -> rusqlite::Result<Option<u64>> {
    tables
        .connection
        .prepare_cached("SELECT octet_length(value) FROM module_data WHERE module = ?1 AND key = ?2")?
        .query_row((module, key), |row| row.get(0).map(i64::cast_unsigned))
        .optional()
        .map(|value| value.map(|value| entry_size(key, value)))
}

/// The bytes of all entries of a module.
fn size(tables: &Tables<'_>, module: &str) -> rusqlite::Result<u64> {
    if let Some(size) = tables.sizes.get(module) {
        return Ok(*size);
    }
    tables
        .connection
        .prepare_cached(
            "SELECT coalesce(sum(octet_length(key) + octet_length(value)), 0) FROM module_data WHERE module = ?1",
        )?
        .query_row([module], |row| row.get(0).map(i64::cast_unsigned))
}

//! The versions of the database, and the steps between them.

use rusqlite::{Connection, TransactionBehavior};

use super::rows::ReadError;

/// Says whose file it is: "PRES" in ASCII, in the header of the file.
pub(super) const APPLICATION_ID: i32 = 0x5052_4553;

/// The SQL that leads from each version to the next; the first from an empty file to version 1. A step that was
/// released is never changed.
pub(super) const STEPS: &[&str] = &[include_str!("schema/1.sql"), include_str!("schema/2.sql")];

/// Why the database has not got the version that the steps lead to.
#[derive(Debug)]
pub(super) enum SchemaError {
    /// Another program's database.
    Foreign,
    /// A later version than the steps lead to.
    Newer { found: u32, known: u32 },
    /// It says that it is ours, and is not as we make it.
    Corrupt(String),
    /// A step failed. None was taken.
    Step {
        from: u32,
        to: u32,
        source: rusqlite::Error,
    },
    /// What is in the tables is not as we left it, or cannot be read.
    Content(ReadError),
    /// It cannot be read.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for SchemaError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Brings the database to the version that `steps` lead to, and gives what `check` finds in its tables then. All in one
/// transaction: what `check` refuses stays at the version that it had, so that the server of before still opens it.
pub(super) fn migrate<T>(
    connection: &mut Connection,
    steps: &[&str],
    check: impl FnOnce(&Connection) -> Result<T, ReadError>,
) -> Result<T, SchemaError> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = application == 0 && found == 0 && tables == 0;
    if application != APPLICATION_ID && !is_new {
        return Err(SchemaError::Foreign);
    }

    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let version = u32::try_from(found).map_err(|_| SchemaError::Corrupt(format!("version {found}")))?;
    if version > known {
        return Err(SchemaError::Newer {
            found: version,
            known,
        });
    }
    if version == 0 && !is_new {
        return Err(SchemaError::Corrupt("version 0".to_owned()));
    }
    if version == known {
        compare(connection, steps)?;
        return check(connection).map_err(SchemaError::Content);
    }
    let failed = |source| SchemaError::Step {
        from: version,
        to: known,
        source,
    };
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    take(&transaction, steps.iter().skip(version as usize), known).map_err(failed)?;
    compare(&transaction, steps)?;
    let checked = check(&transaction).map_err(SchemaError::Content)?;
    transaction.commit().map_err(failed)?;
    Ok(checked)
}

fn take<'a>(
    connection: &Connection,
    mut steps: impl Iterator<Item = &'a &'a str>,
    version: u32,
) -> rusqlite::Result<()> {
    steps.try_for_each(|step| connection.execute_batch(step))?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", version)
}

/// Each table is as the steps make it. What somebody has added of their own is let be.
fn compare(connection: &Connection, steps: &[&str]) -> Result<(), SchemaError> {
    let fresh = Connection::open_in_memory()?;
    for step in steps {
        fresh.execute_batch(step)?;
    }
    let found = tables(connection)?;
    match tables(&fresh)?.into_iter().find(|table| !found.contains(table)) {
        Some((name, _)) => Err(SchemaError::Corrupt(format!(
            "table `{name}` is missing or changed"
        ))),
        None => Ok(()),
    }
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    connection
        .prepare("SELECT name, sql FROM sqlite_schema")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), SchemaError> {
        super::migrate(connection, steps, |_| Ok(()))
    }

    fn steps(second: &str) -> [&str; 2] {
        [
            "CREATE TABLE t (a TEXT) STRICT; INSERT INTO t VALUES ('kept');",
            second,
        ]
    }

    fn version(connection: &Connection) -> i64 {
        connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn an_older_version_is_brought_up_and_keeps_its_data() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = steps("ALTER TABLE t ADD COLUMN b INTEGER NOT NULL DEFAULT 7;");
        migrate(&mut connection, &steps[..1]).unwrap();
        assert_eq!(version(&connection), 1);
        migrate(&mut connection, &steps).unwrap();
        assert_eq!(version(&connection), 2);
        let row: (String, i64) = connection
            .query_row("SELECT a, b FROM t", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(row, ("kept".to_owned(), 7));
        migrate(&mut connection, &steps).unwrap();
        let older = migrate(&mut connection, &steps[..1]);
        assert!(
            matches!(older, Err(SchemaError::Newer { found: 2, known: 1 })),
            "{older:?}"
        );
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_that_was_there() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = steps("ALTER TABLE t ADD COLUMN b INTEGER; INSERT INTO missing VALUES (1);");
        migrate(&mut connection, &steps[..1]).unwrap();
        let failed = migrate(&mut connection, &steps);
        assert!(
            matches!(failed, Err(SchemaError::Step { from: 1, to: 2, .. })),
            "{failed:?}"
        );
        assert_eq!(version(&connection), 1);
        migrate(&mut connection, &steps[..1]).unwrap();
    }

    #[test]
    fn what_is_refused_keeps_the_version_that_it_had() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = steps("ALTER TABLE t ADD COLUMN b INTEGER;");
        migrate(&mut connection, &steps[..1]).unwrap();
        let refused = super::migrate(&mut connection, &steps, |connection| {
            assert_eq!(version(connection), 2, "what is checked is what will be served");
            Err::<(), _>(ReadError::Sqlite(rusqlite::Error::InvalidQuery))
        });
        assert!(matches!(refused, Err(SchemaError::Content(_))), "{refused:?}");
        assert_eq!(version(&connection), 1);

        connection
            .execute_batch("DROP TABLE t; CREATE TABLE t (a INTEGER) STRICT")
            .unwrap();
        let refused = migrate(&mut connection, &steps);
        assert!(matches!(refused, Err(SchemaError::Corrupt(_))), "{refused:?}");
        assert_eq!(version(&connection), 1);
    }

    #[test]
    fn what_says_that_it_is_ours_and_is_not_is_refused() {
        let check = |sql: &str| {
            let mut connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(sql).unwrap();
            migrate(&mut connection, &["CREATE TABLE t (a TEXT) STRICT"])
        };
        let ours = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;");
        assert!(matches!(
            check(&format!(
                "{ours} CREATE TABLE t (a TEXT) STRICT; CREATE TABLE own (b)"
            )),
            Ok(())
        ));
        for corrupt in [
            format!("{ours} CREATE TABLE t (a INTEGER) STRICT"),
            ours.clone(),
            ours.replace("user_version = 1", "user_version = 0"),
            ours.replace("user_version = 1", "user_version = -1"),
        ] {
            let refused = check(&corrupt);
            assert!(
                matches!(refused, Err(SchemaError::Corrupt(_))),
                "{corrupt}: {refused:?}"
            );
        }
        for foreign in [
            "CREATE TABLE t (a TEXT) STRICT",
            "PRAGMA user_version = 1",
            "PRAGMA application_id = 7",
        ] {
            let refused = check(foreign);
            assert!(
                matches!(refused, Err(SchemaError::Foreign)),
                "{foreign}: {refused:?}"
            );
        }
    }
}

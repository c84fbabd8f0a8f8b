//! `database`: where that is kept which outlives a restart.

use std::path::PathBuf;

use crate::config::known_keys;
use crate::config::reader::{Field, Reader, Section};

/// SQLite's name for a database that is gone when the process ends.
const IN_MEMORY: &str = ":memory:";
/// The file's name when the config says none.
const DEFAULT_FILE: &str = "presence.db";

/// The section `database`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// `args: {database: ":memory:"}`: nothing outlives the process.
    Memory,
    /// `args: {database: FILE}`. Default: `presence.db` beside the first config file.
    File(PathBuf),
}

pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Database {
    let section = field.and_then(|field| reader.section(&field, &known_keys::DATABASE));
    let arguments = section.and_then(|section| read_arguments(reader, &section));
    let written = arguments.and_then(|arguments| arguments.get("database"));
    written
        .and_then(|field| read_place(reader, &field))
        .unwrap_or_else(|| Database::File(reader.main_directory().join(DEFAULT_FILE)))
}

fn read_arguments<'v>(reader: &mut Reader<'_>, section: &Section<'v>) -> Option<Section<'v>> {
    if let Some(field) = section.get("name") {
        let name = reader.text(&field)?;
        // The arguments of another database would be refused one by one: this is the one thing to tell.
        if name != "sqlite3" {
            let message = format!("{name:?} is not supported; write sqlite3, and the file under \"args\"");
            return reader.refuse(&field, message);
        }
    }
    reader.section(&section.get("args")?, &known_keys::DATABASE_ARGS)
}

fn read_place(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Database> {
    if reader.text(field)? == IN_MEMORY {
        return Some(Database::Memory);
    }
    reader.file_path(field).map(Database::File)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::config::checks;

    fn database(yaml: &str) -> Database {
        checks::config(&format!("server_name: a\n{yaml}")).database
    }

    fn check(yaml: &str) -> String {
        checks::check(&format!("server_name: a\ndatabase: {yaml}"))
    }

    #[test]
    fn the_file_is_beside_the_config_that_names_it() {
        let beside = Database::File("conf/presence.db".into());
        assert_eq!(database(""), beside);
        assert_eq!(database("database: {}"), beside);
        assert_eq!(database("database: {name: sqlite3, args: {}}"), beside);
        assert_eq!(
            database("database: {args: {database: data/p.db}}"),
            Database::File("conf/data/p.db".into())
        );
        assert_eq!(
            database("database: {name: sqlite3, args: {database: /var/lib/p.db}}"),
            Database::File("/var/lib/p.db".into())
        );
        assert_eq!(
            database("database: {args: {database: ':memory:'}}"),
            Database::Memory
        );
        let place = |files: &[(&str, &str)]| checks::load_texts(files).unwrap().0.database;
        let second = "database: {args: {database: p.db}}";
        assert_eq!(
            place(&[("a/1.yaml", "server_name: a"), ("b/2.yaml", second)]),
            Database::File("b/p.db".into())
        );
        assert_eq!(
            place(&[("a/1.yaml", "server_name: a"), ("b/2.yaml", "log: {}")]),
            Database::File("a/presence.db".into())
        );
        assert_eq!(
            place(&[("h.yaml", "server_name: a")]),
            Database::File("presence.db".into())
        );
    }

    #[test]
    fn other_databases_are_refused_whole() {
        assert_snapshot!(check("{name: psycopg2, args: {user: synapse, password: SECRET, cp_min: 5}}"), @r#"database.name: "psycopg2" is not supported; write sqlite3, and the file under "args" (homeserver.yaml:2)"#);
        assert_snapshot!(check("{name: 3}"), @"database.name: expected a string, found an integer; put it in quotes (homeserver.yaml:2)");
        assert_snapshot!(check("{args: {database: '', cp_min: 5}}"), @r#"
        database.args.cp_min: unknown key "cp_min"; known here: database (homeserver.yaml:2)
        database.args.database: expected a path, found an empty string (homeserver.yaml:2)
        "#);
        assert_snapshot!(check("{args: {database: 5}, path: x}"), @r#"
        database.path: unknown key "path"; it belongs in an entry of "listeners" (homeserver.yaml:2)
        database.args.database: expected a string, found an integer; put it in quotes (homeserver.yaml:2)
        "#);
        assert_snapshot!(check("presence.db"), @"database: expected a mapping, found a string (homeserver.yaml:2)");
        assert_snapshot!(check("{args: presence.db}"), @"database.args: expected a mapping, found a string (homeserver.yaml:2)");
    }
}

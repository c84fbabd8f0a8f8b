//! `admin_socket`: where an operator's commands reach a running server. Read by the server with all else, and by the commands
//! alone.

use std::path::PathBuf;

use serde_yaml::{Mapping, Value};

use crate::config::error::ConfigErrors;
use crate::config::key_path::KeyPath;
use crate::config::listeners::read_socket_path;
use crate::config::reader::{Field, Reader};
use crate::config::{Parsed, known_keys, read_and_parse};

const KEY: &str = "admin_socket";

/// What the files say of `admin_socket`. Other keys may be wrong: an operator who wants to roll a module back is not to
/// mend the config first.
pub fn admin_socket(files: &[PathBuf]) -> Result<Option<PathBuf>, ConfigErrors> {
    read_and_parse(files)?.admin_socket()
}

impl Parsed {
    fn admin_socket(&self) -> Result<Option<PathBuf>, ConfigErrors> {
        let value = self.root.get(KEY).cloned().unwrap_or_default();
        let root = Value::Mapping(Mapping::from_iter([(KEY.into(), value)]));
        let mut reader = Reader::new(&self.origins);
        let section = reader.section(&Field::new(&root, KeyPath::root()), &known_keys::ROOT);
        let socket = read(&mut reader, section.and_then(|section| section.get(KEY)));
        ConfigErrors::of(reader.finish()).map_or(Ok(socket), Err)
    }
}

pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Option<PathBuf> {
    read_socket_path(reader, &field?)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use crate::config::checks::{check, config, parse_texts};

    fn alone(files: &[(&str, &str)]) -> String {
        match parse_texts(files).and_then(|parsed| parsed.admin_socket()) {
            Ok(socket) => format!("{socket:?}"),
            Err(errors) => errors.to_string(),
        }
    }

    #[test]
    fn the_socket_is_beside_the_config_that_names_it() {
        let socket = |yaml: &str| config(&format!("server_name: a\n{yaml}")).admin_socket;
        assert_eq!(socket(""), None);
        assert_eq!(socket("admin_socket:"), None);
        assert_eq!(socket("admin_socket: a.sock"), Some("conf/a.sock".into()));
        assert_eq!(socket("admin_socket: /run/a.sock"), Some("/run/a.sock".into()));
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused() {
        let long = "x".repeat(120);
        assert_snapshot!(check(&format!("server_name: a\nadmin_socket: /{long}")), @"admin_socket: 121 bytes long with its directory; the path of a Unix socket may have 107 (homeserver.yaml:2)");
        assert_snapshot!(check("server_name: a\nadmin_socket: ''"), @"admin_socket: expected a path, found an empty string (homeserver.yaml:2)");
    }

    #[test]
    fn commands_find_it_in_a_config_that_is_wrong_otherwise() {
        let wrong = "presence: {idle_timeout: soon}\nlisteners: 5\nnonsense: 1\n3: 4\nadmin_socket: a.sock";
        assert_snapshot!(alone(&[("c/1.yaml", wrong)]), @r#"Some("c/a.sock")"#);
        assert_snapshot!(alone(&[("c/1.yaml", wrong), ("d/2.yaml", "admin_socket: b.sock")]), @r#"Some("d/b.sock")"#);
        assert_snapshot!(alone(&[("c/1.yaml", "server_name: a")]), @"None");
        assert_snapshot!(alone(&[("c/1.yaml", "a: 1\nadmin_socket: [a]")]), @"admin_socket: expected a string, found a list (c/1.yaml:2)");
    }
}

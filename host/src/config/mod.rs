//! The configuration: YAML files become plain, checked data, or errors that point at file and line.
//!
//! Owns the names of the keys, their defaults, and the merging of several files. It opens no socket and
//! loads no module: whether a module's own `config` is right, only the module knows, and what it says
//! is brought into the same form by [`module_config_error`].
//!
//! A load runs in steps, each of which reports all that it finds: read the files (`source`), note where
//! each key stands (`events`, `node`), merge, then read section by section (`reader`).

#![forbid(unsafe_code)]

mod directory;
mod docs;
mod duration;
mod error;
mod events;
mod json;
mod key_path;
mod known_keys;
mod listeners;
mod log;
mod module;
mod node;
mod origins;
mod presence;
mod reader;
mod source;

#[cfg(test)]
mod checks;

use std::path::PathBuf;

use presence_router_api::is_server_name;

pub use crate::config::directory::{Directory, StaticUser};
pub use crate::config::docs::reference;
pub use crate::config::error::{ConfigError, ConfigErrors};
pub use crate::config::listeners::{Bind, Listener, Resource};
pub use crate::config::log::{Log, LogFormat};
pub use crate::config::module::Module;
pub use crate::config::origins::{Origin, Origins, module_config_error};
pub use crate::config::presence::{Presence, Tracking};

use crate::config::key_path::KeyPath;
use crate::config::reader::{Field, Reader, Section};
use crate::config::source::Source;

/// What the config files say, with the defaults filled in.
///
/// Wherever a value is a duration it is written as in Synapse: an integer and one of the units `ms`,
/// `s`, `m`, `h`, `d` (24 h), `w` (7 d), `y` (365 d), as in `30s`; or an integer of milliseconds. A path
/// that is not absolute starts at the directory of the file in which its key stands. A key without a
/// value counts as left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `server_name`: the name behind the `:` of the local users' ids. Required.
    pub server_name: String,
    /// `listeners`: where requests are taken. Default: one on 127.0.0.1:8008 for `client` and `health`.
    pub listeners: Vec<Listener>,
    /// `presence`: timeouts, limits, and the module that routes. Default: see each key.
    pub presence: Presence,
    /// `module_path`: the directories in which a module given by its name is searched, in this order.
    /// Default: none.
    pub module_path: Vec<PathBuf>,
    /// `directory`: users and rooms when there is no homeserver to ask. Default: nobody.
    pub directory: Directory,
    /// `log`: what is logged, and how. Default: `info`, as text.
    pub log: Log,
}

/// Reads `files`, merges them key by key (mappings are united, of everything else the later file wins),
/// and checks the outcome.
pub fn load(files: &[PathBuf]) -> Result<(Config, Origins), ConfigErrors> {
    let mut sources = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        match source::read(file) {
            Ok(source) => sources.push(source),
            Err(error) => errors.push(error),
        }
    }
    if files.is_empty() {
        errors.push(ConfigError::new("no config file was given; name one with -c"));
    }
    // Files that could be read are parsed even when another could not, so that one run tells of both.
    let parsed = parse(&sources, errors)?;
    parsed.check()
}

/// The merged files, of which only the syntax is known to be right.
struct Parsed {
    root: serde_yaml::Value,
    origins: Origins,
}

/// `errors` are those that are known already.
fn parse(sources: &[Source], mut errors: Vec<ConfigError>) -> Result<Parsed, ConfigErrors> {
    let mut root = serde_yaml::Value::Null;
    let mut origins = Origins::default();
    for source in sources {
        match source.parse(origins.next_file()) {
            Ok((value, tree)) => {
                source::merge(&mut root, value);
                origins.add(source.file.clone(), tree);
            }
            Err(more) => errors.extend(more),
        }
    }
    ConfigErrors::of(errors).map_or(Ok(Parsed { root, origins }), Err)
}

impl Parsed {
    fn check(self) -> Result<(Config, Origins), ConfigErrors> {
        let mut reader = Reader::new(&self.origins);
        let config = read(&mut reader, &self.root);
        match ConfigErrors::of(reader.finish()) {
            None => Ok((config, self.origins)),
            Some(errors) => Err(errors),
        }
    }
}

/// The sections one after the other. What is wrong is kept by the reader, and a default stands in for it.
fn read(reader: &mut Reader<'_>, root: &serde_yaml::Value) -> Config {
    let root = Field::new(root, KeyPath::root());
    let root = reader.section(&root, &known_keys::ROOT);
    let get = |key| root.as_ref().and_then(|root| root.get(key));

    let server_name = root.as_ref().and_then(|root| read_server_name(reader, root));
    Config {
        listeners: listeners::read(reader, get("listeners")),
        presence: presence::read(reader, get("presence")),
        module_path: read_module_path(reader, get("module_path")),
        directory: directory::read(reader, get("directory"), server_name.as_deref()),
        log: log::read(reader, get("log")),
        server_name: server_name.unwrap_or_default(),
    }
}

fn read_server_name(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<String> {
    let Some(field) = root.get("server_name") else {
        let path = root.path.key("server_name");
        reader.error(&path, "missing; add a line such as \"server_name: example.org\"");
        return None;
    };
    let name = reader.text(&field)?;
    if is_server_name(name) {
        return Some(name.to_owned());
    }
    let message = format!(
        "{name:?} is not a server name; write a DNS name or an IP address, with a port if need be, such as \
         \"example.org\" or \"example.org:8448\""
    );
    reader.refuse(&field, message)
}

fn read_module_path(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Vec<PathBuf> {
    let Some(directories) = field.and_then(|field| reader.list(&field)) else {
        return Vec::new();
    };
    directories
        .iter()
        .filter_map(|directory| reader.file_path(directory))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::checks::{check, check_files, config};
    use super::*;

    #[test]
    fn a_server_name_is_all_that_is_needed() {
        let config = config("server_name: example.org");
        assert_snapshot!(format!("{config:#?}"), @r#"
        Config {
            server_name: "example.org",
            listeners: [
                Listener {
                    bind: Tcp {
                        addresses: [
                            127.0.0.1,
                        ],
                        port: 8008,
                    },
                    resources: {
                        Client,
                        Health,
                    },
                },
            ],
            presence: Presence {
                enabled: Enabled,
                last_active_granularity: 60s,
                idle_timeout: 300s,
                sync_online_timeout: 30s,
                max_status_msg_bytes: 2048,
                presence_router: None,
            },
            module_path: [],
            directory: Directory {
                users: {},
                rooms: {},
            },
            log: Log {
                level: "info",
                format: Text,
            },
        }
        "#);
    }

    #[test]
    fn the_server_name_is_required_and_checked() {
        assert_snapshot!(check("log: {}"), @r#"server_name: missing; add a line such as "server_name: example.org" (homeserver.yaml)"#);
        assert_snapshot!(check("server_name:"), @r#"server_name: missing; add a line such as "server_name: example.org" (homeserver.yaml:1)"#);
        assert_snapshot!(check("server_name: https://example.org"), @r#"server_name: "https://example.org" is not a server name; write a DNS name or an IP address, with a port if need be, such as "example.org" or "example.org:8448" (homeserver.yaml:1)"#);
        assert_snapshot!(check("server_name: [example.org]"), @"server_name: expected a string, found a list (homeserver.yaml:1)");
    }

    #[test]
    fn unknown_keys_are_errors_that_say_what_was_meant() {
        assert_snapshot!(check("server_name: a\npresnce: {}"), @r#"presnce: unknown key "presnce"; did you mean "presence"? (homeserver.yaml:2)"#);
        assert_snapshot!(check("server_name: a\npresence:\n  idle-timeout: 5m"), @r#"presence.idle-timeout: unknown key "idle-timeout"; did you mean "idle_timeout"? (homeserver.yaml:3)"#);
        assert_snapshot!(check("server_name: a\nsigning_key_path: x"), @r#"signing_key_path: unknown key "signing_key_path"; known here: server_name, listeners, presence, module_path, directory, log (homeserver.yaml:2)"#);
        assert_snapshot!(check("server_name: a\nmodule_path: []\n5: x"), @"5: expected a string as the key, found an integer; put it in quotes (homeserver.yaml:3)");
    }

    #[test]
    fn a_known_key_in_the_wrong_place_is_told_where_it_belongs() {
        assert_snapshot!(check("server_name: a\npresence_router: {module: x}"), @r#"presence_router: unknown key "presence_router"; it belongs under "presence" (homeserver.yaml:2)"#);
        assert_snapshot!(check("server_name: a\nport: 8008"), @r#"port: unknown key "port"; it belongs in an entry of "listeners" (homeserver.yaml:2)"#);
        assert_snapshot!(check("server_name: a\npresence: {server_name: x}"), @r#"presence.server_name: unknown key "server_name"; it belongs at the top level (homeserver.yaml:2)"#);
        assert_snapshot!(check("server_name: a\nidle_timeot: 5m"), @r#"idle_timeot: unknown key "idle_timeot"; did you mean "idle_timeout", which belongs under "presence"? (homeserver.yaml:2)"#);
        assert_snapshot!(check("server_name: a\ndirectory: {users: {'@a:a': {access_tokens: [x]}}}"), @r#"directory.users: unknown key "users"; it belongs under "directory.static" (homeserver.yaml:2)"#);
    }

    #[test]
    fn all_errors_are_told_at_once_in_the_order_of_the_lines() {
        assert_snapshot!(
            check("log: {level: 3, formt: json}\npresnce: {}\npresence:\n  idle_timeout: 5 min\nserver_name: a b"),
            @r#"
        log.formt: unknown key "formt"; did you mean "format"? (homeserver.yaml:1)
        log.level: expected a string, found an integer; put it in quotes (homeserver.yaml:1)
        presnce: unknown key "presnce"; did you mean "presence"? (homeserver.yaml:2)
        presence.idle_timeout: "5 min" is not a duration; write an integer with a unit (ms, s, m, h, d, w, y) such as 30s or 5m, or an integer of milliseconds (homeserver.yaml:4)
        server_name: "a b" is not a server name; write a DNS name or an IP address, with a port if need be, such as "example.org" or "example.org:8448" (homeserver.yaml:5)
        "#
        );
    }

    #[test]
    fn files_merge_key_by_key_and_the_later_wins() {
        let first =
            "server_name: a\npresence:\n  idle_timeout: 1m\n  sync_online_timeout: 10s\nmodule_path: [x, y]";
        let second = "presence:\n  idle_timeout: 2m\nmodule_path: [z]";
        let (config, origins) =
            checks::load_texts(&[("base/a.yaml", first), ("over/b.yaml", second)]).unwrap();
        assert_eq!(config.presence.idle_timeout.as_secs(), 120);
        assert_eq!(config.presence.sync_online_timeout.as_secs(), 10);
        assert_eq!(config.module_path, [PathBuf::from("over/z")]);
        let origin = |key| origins.locate(key).unwrap().to_string();
        assert_eq!(origin("presence.idle_timeout"), "over/b.yaml:2");
        assert_eq!(origin("presence.sync_online_timeout"), "base/a.yaml:4");
        assert_eq!(origin("server_name"), "base/a.yaml:1");
        assert_snapshot!(check_files(&[("a.yaml", first), ("b.yaml", "presence: 5"), ("c.yaml", "log: []")]), @"
        presence: expected a mapping, found an integer (b.yaml:1)
        log: expected a mapping, found a list (c.yaml:1)
        ");
    }

    #[test]
    fn the_same_over_real_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let good = file(
            "good.yaml",
            b"\xef\xbb\xbfserver_name: a\r\nmodule_path: [modules]\r\n",
        );
        let (config, _) = load(std::slice::from_ref(&good)).unwrap();
        assert_eq!(config.module_path, [directory.path().join("modules")]);

        let bad = [
            good,
            file("latin1.yaml", b"server_name: a\n# caf\xe9\n"),
            file("empty.yaml", b"# nothing\n"),
            file("blank.yaml", b""),
            file("broken.yaml", b"a: [1\n"),
            directory.path().to_owned(),
            directory.path().join("absent.yaml"),
        ];
        let errors = load(&bad).unwrap_err().to_string();
        let errors = errors.replace(&format!("{}/", directory.path().display()), "");
        let errors = errors.replace(&directory.path().display().to_string(), "DIRECTORY");
        assert_snapshot!(errors, @"
        not UTF-8; save it with that encoding (latin1.yaml:2)
        this is a directory; name the file in it (DIRECTORY)
        no such file; check the path given with -c (absent.yaml)
        the file is empty; fill it, or leave it out (empty.yaml)
        the file is empty; fill it, or leave it out (blank.yaml)
        not valid YAML: while parsing a flow sequence, expected ',' or ']' (broken.yaml:2:1)
        ");
        assert_snapshot!(load(&[]).unwrap_err(), @"no config file was given; name one with -c");
    }

    #[test]
    fn errors_are_data_for_json() {
        let errors =
            checks::load_texts(&[("homeserver.yaml", "server_name: a\nlog: {level: 3}")]).unwrap_err();
        assert_snapshot!(serde_json::to_string(&errors).unwrap(), @r#"[{"file":"homeserver.yaml","line":2,"key":"log.level","message":"expected a string, found an integer; put it in quotes"}]"#);
    }

    fn yaml_like() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "server_name: a\n",
                "presence:",
                "presence_router:",
                "config:",
                "listeners:",
                "directory:",
                "static:",
                "users:",
                "rooms:",
                "log:",
                "\n",
                "\n  ",
                "\n    ",
                "- ",
                "{",
                "}",
                "[",
                "]",
                ",",
                ": ",
                "&a ",
                "*a",
                "<<: ",
                "!t ",
                "!!int ",
                "\"",
                "'",
                "|\n",
                ">-\n",
                "? ",
                "---\n",
                "...\n",
                "#",
                "\r\n",
                "\t",
                "5m",
                "0x1",
                ".nan",
                "~",
                "@a:a",
                "%YAML 1.2\n",
            ])
            .prop_map(str::to_owned),
            "\\PC{0,6}",
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), yaml_like()], key in "\\PC{0,20}") {
            let parsed = checks::load_texts(&[("a.yaml", &text), ("b.yaml", "server_name: example.org")]);
            match parsed {
                Ok((_, origins)) => { origins.locate(&key); }
                Err(errors) => prop_assert!(!errors.to_string().is_empty()),
            }
        }
    }
}

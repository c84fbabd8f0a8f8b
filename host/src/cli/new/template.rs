//! What stands in the files of a new crate. Knows no file system: paths and texts come out.

use std::path::Path;

use serde_json::Value;

use crate::cli::new::Api;
use crate::cli::new::name::CrateName;

/// Where each file goes, and its text, in which `{{key}}` stands for a value. They do not end in `.rs` or `.toml`, so that
/// nobody takes them for files of this crate: Cargo would not pack a directory with a `Cargo.toml`.
const FILES: [(&str, &str); 8] = [
    ("Cargo.toml", include_str!("files/Cargo.toml.in")),
    ("src/lib.rs", include_str!("files/lib.rs.in")),
    ("tests/routing.rs", include_str!("files/routing.rs.in")),
    ("homeserver.yaml", include_str!("files/homeserver.yaml.in")),
    ("verify.yaml", include_str!("files/verify.yaml.in")),
    ("README.md", include_str!("files/README.md.in")),
    (".gitignore", include_str!("files/gitignore.in")),
    (".github/workflows/ci.yml", include_str!("files/ci.yml.in")),
];

/// What `export_router!` makes beside the router.
const EXPORTED: &str = "PresenceRouterLibrary";

/// A crate that is to be written.
#[derive(Debug)]
pub(super) struct Crate {
    name: String,
    library: String,
    api: String,
    files: Vec<(&'static str, String)>,
}

impl Crate {
    pub(super) fn new(name: &CrateName, api: &Api) -> Self {
        let library = name.library();
        let router = router(name);
        let (dependency, note, shown) = match api {
            Api::Version(version) => (format!("version = {}", quoted(version)), "", version.clone()),
            Api::Path(path) => (
                format!("path = {}", quoted(path)),
                "# A directory of this machine. Where others build it, CI too, put the version instead of both paths.\n",
                format!("of {path}"),
            ),
        };
        let value = |key: &str| match key {
            "name" => name.as_str(),
            "library" => &library,
            "router" => &router,
            "api" => &dependency,
            "api_note" => note,
            "host_version" => env!("CARGO_PKG_VERSION"),
            unknown => unreachable!("the templates have no value {unknown:?}, as a test makes sure"),
        };
        let files = FILES
            .iter()
            .map(|(path, text)| (*path, filled(text, value)))
            .collect();
        Self {
            name: name.as_str().to_owned(),
            library,
            api: shown,
            files,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The file that is loaded.
    pub(super) fn library(&self) -> String {
        format!("lib{}.so", self.library)
    }

    /// What it is built with, for people.
    pub(super) fn api(&self) -> &str {
        &self.api
    }

    /// Each file, by its path in the crate's directory.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.files.iter().map(|(path, text)| (*path, text.as_str()))
    }

    /// What to do with it, in its directory.
    pub(super) fn next(&self) -> [String; 3] {
        [
            "cargo test".to_owned(),
            "cargo build --release".to_owned(),
            format!(
                "presence-router verify target/release/{} --config verify.yaml --level strict",
                self.library()
            ),
        ]
    }
}

/// The router's type: the crate's name, unless the code of the crate has that for something else.
fn router(name: &CrateName) -> String {
    let mut router = name.as_type();
    while is_taken(&router) {
        router.push_str("Router");
    }
    router
}

fn is_taken(word: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut code = FILES
        .iter()
        .filter(|(path, _)| Path::new(path).extension() == Some("rs".as_ref()));
    word == EXPORTED
        || code.any(|(_, text)| {
            text.split(|character| !is_part(character))
                .any(|found| found == word)
        })
}

/// The text with each `{{key}}` filled in. What is filled in is not looked at again.
fn filled<'a>(text: &str, value: impl Fn(&str) -> &'a str) -> String {
    let mut parts = text.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (key, rest) = part.split_once("}}").unwrap_or((part, ""));
        filled.push_str(value(key));
        filled.push_str(rest);
    }
    filled
}

/// As TOML reads it: JSON's escapes are among TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, api: &Api) -> Crate {
        Crate::new(&name.parse().expect("a name"), api)
    }

    fn file<'a>(made: &'a Crate, path: &str) -> &'a str {
        let found = made.files().find(|(found, _)| *found == path);
        found.expect("a file of the crate").1
    }

    #[test]
    fn every_value_is_filled_in() {
        let made = made("support-team", &Api::Version("0.1".to_owned()));
        for (path, text) in made.files() {
            assert!(!text.contains("{{") && !text.contains("}}"), "{path}:\n{text}");
            assert!(text.ends_with('\n'), "{path}");
        }
        insta::assert_snapshot!(file(&made, "Cargo.toml"));
    }

    #[test]
    fn a_path_is_written_as_toml_reads_it() {
        let made = made("a", &Api::Path(r#"/srv/{{name}} "x"\api"#.to_owned()));
        let manifest = file(&made, "Cargo.toml");
        let line = r#"presence-router-api = { path = "/srv/{{name}} \"x\"\\api" }"#;
        assert!(manifest.lines().any(|found| found == line), "{manifest}");
    }

    #[test]
    fn the_router_is_of_the_crate_s_name_unless_that_is_taken() {
        let cases = [
            ("support-team", "SupportTeam"),
            ("config", "ConfigRouter"),
            ("user-id", "UserIdRouter"),
            ("presence-router-library", "PresenceRouterLibraryRouter"),
            ("string", "String"),
        ];
        for (name, expected) in cases {
            let made = made(name, &Api::Version("0.1".to_owned()));
            let line = format!("export_router!({expected});");
            assert!(file(&made, "src/lib.rs").contains(&line), "{name}");
        }
    }
}

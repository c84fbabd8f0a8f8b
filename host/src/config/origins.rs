//! Where a key of the merged config stands, for errors that are found after the config was read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::error::ConfigError;
use crate::config::key_path::is_bare;
use crate::config::node::{Child, Node, Place};

/// Where the keys of the config stand. Knows no values.
#[derive(Clone)]
pub struct Origins {
    files: Vec<PathBuf>,
    root: Arc<Node>,
}

/// A line of a config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, as its path was given.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
}

/// An entry for what a module says of its own config.
///
/// `key` is where the config names the module, such as `modules[0]` (see
/// [`Config::all_modules`](super::Config::all_modules)). `path` is the module's: relative to its config, such as
/// `blacklisted_users[1]`, or empty.
pub fn module_config_error(origins: &Origins, key: &str, path: &str, message: &str) -> ConfigError {
    let config = format!("{key}.config");
    let relative = path.trim_start_matches('.');
    let key = match relative {
        "" => config,
        _ if relative.starts_with('[') => format!("{config}{relative}"),
        _ => format!("{config}.{relative}"),
    };
    origins.place(ConfigError::new(message).for_key(key.clone()), &key)
}

impl Origins {
    /// The line of the key at `key_path`, or of the nearest key around it that exists; `None` when not
    /// even its first key does. Of several files, the one that won.
    ///
    /// Keys are joined by `.`, and a list's entry is `[N]`, counted from 0. A key that is not made of
    /// letters, digits, `_` and `-` alone stands in double quotes with JSON's escapes:
    /// `directory.static.users."@alice:example.org".access_tokens[0]`. Without quotes such a key is found
    /// too: of several that fit, the longest.
    pub fn locate(&self, key_path: &str) -> Option<Origin> {
        let place = self.place_of(key_path)?;
        Some(Origin {
            file: self.files.get(place.file)?.clone(),
            line: place.line,
        })
    }

    /// The files, in the order in which they were given.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub(super) fn next_file(&self) -> usize {
        self.files.len()
    }

    pub(super) fn add(&mut self, file: PathBuf, tree: Arc<Node>) {
        self.root = if self.files.is_empty() {
            tree
        } else {
            Node::merge(&self.root, &tree)
        };
        self.files.push(file);
    }

    /// The directory of the file in which the key stands.
    pub(super) fn directory_of(&self, key_path: &str) -> PathBuf {
        let file = self
            .place_of(key_path)
            .and_then(|place| self.files.get(place.file));
        let parent = file.and_then(|file| file.parent()).unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            parent.to_owned()
        }
    }

    /// `error`, with the place of the key; with the first file when there is none, as for a key that
    /// is missing.
    pub(super) fn place(&self, error: ConfigError, key_path: &str) -> ConfigError {
        match (self.locate(key_path), self.files.first()) {
            (Some(origin), _) => error.in_file(&origin.file).at_line(origin.line),
            (None, Some(file)) => error.in_file(file),
            (None, None) => error,
        }
    }

    /// Where an error stands among others: by file, then by line.
    pub(super) fn order(&self, error: &ConfigError) -> (usize, Option<usize>) {
        let file = self
            .files
            .iter()
            .position(|file| Some(file) == error.file.as_ref());
        (file.unwrap_or_default(), error.line)
    }

    /// The place of the key at `key_path` itself; `None` when it is not there.
    pub(super) fn place_of_key(&self, key_path: &str) -> Option<Place> {
        let (place, rest) = self.nearest(key_path);
        place.filter(|_| rest.is_empty())
    }

    fn place_of(&self, key_path: &str) -> Option<Place> {
        self.nearest(key_path).0
    }

    /// The place of the key, or of the nearest around it, and what of the path leads on from there.
    fn nearest<'p>(&self, key_path: &'p str) -> (Option<Place>, &'p str) {
        let mut node = &self.root;
        let mut rest = key_path;
        let mut found = None;
        while !rest.is_empty() {
            let Some((child, behind)) = step(node, rest) else {
                break;
            };
            found = Some(child.place);
            node = &child.node;
            rest = behind;
        }
        (found, rest)
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            root: Arc::new(Node::Scalar),
        }
    }
}

/// Shows the files alone: a key may be a secret that stands in the wrong place.
impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origins")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Goes one key or entry down, and says what of the path is left.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(&'n Child, &'p str)> {
    match node {
        Node::Scalar => None,
        Node::Sequence(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            Some((items.get(index.parse::<usize>().ok()?)?, rest))
        }
        Node::Mapping(entries) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            if path.starts_with('"') {
                let mut strings = serde_json::Deserializer::from_str(path).into_iter::<String>();
                let key = strings.next()?.ok()?;
                return Some((entries.get(&key)?, path.get(strings.byte_offset()..)?));
            }
            let (word, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
            if let Some(child) = entries.get(word).filter(|_| is_bare(word)) {
                return Some((child, rest));
            }
            let fits = |key: &&String| {
                let rest = path.strip_prefix(key.as_str());
                !key.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            let key = entries.keys().filter(fits).max_by_key(|key| key.len())?;
            Some((entries.get(key)?, path.get(key.len()..)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;
    use crate::config::checks::load_texts;
    use crate::config::key_path::KeyPath;

    /// The line of each of `keys` in this text, which may hold any keys: only the tree is built.
    fn check(yaml: &str, keys: &[&str]) -> String {
        let mut origins = Origins::default();
        origins.add("f".into(), crate::config::events::build(yaml, 0).unwrap());
        let line = |key: &&str| match origins.locate(key) {
            Some(origin) => format!("{key} {}", origin.line),
            None => format!("{key} nowhere"),
        };
        keys.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn keys_and_entries_are_found_and_otherwise_what_is_around_them() {
        let yaml = "a:\n  b:\n  - x\n  - c: 1\n    d: [1,\n      2]\n  -\n    - y\n# comment\nz: |\n  text\n  more\nlast:\n";
        assert_snapshot!(
            check(yaml, &[
                "a", "a.b", "a.b[0]", "a.b[1]", "a.b[1].c", "a.b[1].d", "a.b[1].d[1]", "a.b[2][0]", "z", "last",
                "a.b[9]", "a.nope.b", "a.b.nope", "nope", "", "a.b[x]", "a.b[", "a.\"", ".a.b",
            ]),
            @r#"
        a 1
        a.b 2
        a.b[0] 3
        a.b[1] 4
        a.b[1].c 4
        a.b[1].d 5
        a.b[1].d[1] 6
        a.b[2][0] 8
        z 10
        last 13
        a.b[9] 2
        a.nope.b 1
        a.b.nope 2
        nope nowhere
         nowhere
        a.b[x] 2
        a.b[ 2
        a." 1
        .a.b 2
        "#
        );
    }

    #[test]
    fn any_key_can_be_named_in_quotes_and_most_without() {
        let yaml = "users:\r\n  '@a:b.c':\r\n    t: [x]\r\n  \"q\\\"\": 1\r\n  '@a:b': 2\r\n  x: 3\r\n  x.y: 4\r\n  5: 6\r\n";
        assert_snapshot!(
            check(yaml, &[
                "users.\"@a:b.c\".t[0]", "users.@a:b.c.t[0]", "users.@a:b", "users.\"q\\\"\"", "users.x.y",
                "users.\"x.y\"", "users.5",
            ]),
            @r#"
        users."@a:b.c".t[0] 3
        users.@a:b.c.t[0] 3
        users.@a:b 5
        users."q\"" 4
        users.x.y 6
        users."x.y" 7
        users.5 8
        "#
        );
    }

    #[test]
    fn aliases_point_at_their_anchor_and_flow_style_works() {
        let yaml = "base: &b\n  k: 1\n  l: [1]\nuse:\n  one: *b\n  two:\n    <<: *b\n    k: 2\nflow: {a: {b: [1, {c: 2}]},\n  d: 4}\n";
        assert_snapshot!(
            check(yaml, &["use.one", "use.one.k", "use.two.k", "use.two.l[0]", "flow.a.b[1].c", "flow.d"]),
            @"
        use.one 5
        use.one.k 2
        use.two.k 8
        use.two.l[0] 3
        flow.a.b[1].c 9
        flow.d 10
        "
        );
    }

    #[test]
    fn what_a_module_says_is_placed() {
        let yaml = "server_name: a\npresence:\n  presence_router:\n    module: m\n    config:\n      blocked:\n      - a\n      - b\nmodules:\n- module: n\n- module: o\n  config:\n    blocked: [a,\n      b]\n";
        let (_, origins) = load_texts(&[("homeserver.yaml", yaml)]).unwrap();
        let of = |key, path| module_config_error(&origins, key, path, "\"b\" is not a user id").to_string();
        let check = |path| of("presence.presence_router", path);
        assert_snapshot!(of("modules[1]", "blocked[1]"), @r#"modules[1].config.blocked[1]: "b" is not a user id (homeserver.yaml:14)"#);
        assert_snapshot!(of("modules[0]", "blocked[1]"), @r#"modules[0].config.blocked[1]: "b" is not a user id (homeserver.yaml:10)"#);
        assert_snapshot!(of("modules[1]", "[0]"), @r#"modules[1].config[0]: "b" is not a user id (homeserver.yaml:12)"#);
        assert_snapshot!(check("blocked[1]"), @r#"presence.presence_router.config.blocked[1]: "b" is not a user id (homeserver.yaml:8)"#);
        assert_snapshot!(check(""), @r#"presence.presence_router.config: "b" is not a user id (homeserver.yaml:5)"#);
        assert_snapshot!(check("missing"), @r#"presence.presence_router.config.missing: "b" is not a user id (homeserver.yaml:5)"#);
        assert_snapshot!(check("."), @r#"presence.presence_router.config: "b" is not a user id (homeserver.yaml:5)"#);
    }

    proptest! {
        #[test]
        fn every_key_is_found_by_its_written_path(keys in prop::collection::btree_set("\\PC{0,5}|[a.\\[\"]{1,3}", 1..6)) {
            let yaml = keys.iter().fold(String::new(), |yaml, key| {
                yaml + &serde_json::Value::from(key.as_str()).to_string() + ": [0]\n"
            });
            prop_assume!(!keys.contains("<<"));
            let mut origins = Origins::default();
            origins.add("f".into(), crate::config::events::build(&yaml, 0).unwrap());
            for (number, key) in keys.iter().enumerate() {
                let path = KeyPath::root().key(key).index(0).to_string();
                prop_assert_eq!(origins.locate(&path).map(|origin| origin.line), Some(number + 1));
            }
        }
    }
}

//! Builds the tree of places from the marked events of `saphyr-parser`, and finds what only the events
//! show: errors of syntax, keys that stand twice, a second document.
//!
//! `serde_yaml` decides the values, but keeps no positions; this is the other half. Both have to accept
//! a file: `saphyr-parser` keeps to YAML 1.2, and refuses some layouts that older parsers let pass, such
//! as a flow list whose lines stand left of the block around it.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;

use saphyr_parser::{Event, Parser};

use crate::config::error::ConfigError;
use crate::config::key_path::KeyPath;
use crate::config::node::{Child, Node, Place};

/// As deep as `serde_yaml` goes. Dropping and merging the tree recurse, so it must have a bound.
const MAX_DEPTH: usize = 128;

/// The tree of the text, which is file number `file`. An error that stops the parser comes last.
pub(super) fn build(text: &str, file: usize) -> Result<Arc<Node>, Vec<ConfigError>> {
    let mut builder = Builder::new(file);
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let marker = error.marker();
                builder.errors.push(
                    ConfigError::new(format!("not valid YAML: {}", error.info()))
                        .at_line(marker.line())
                        .at_column(marker.col() + 1),
                );
                break;
            }
        };
        if builder.take(event, span.start.line()).is_break() {
            break;
        }
    }
    builder.finish()
}

struct Builder {
    file: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Finished>,
    documents: usize,
    root: Arc<Node>,
    errors: Vec<ConfigError>,
}

/// A list or mapping whose end has not come yet.
struct Open {
    anchor: usize,
    line: usize,
    kind: Kind,
}

enum Kind {
    Sequence(Vec<Child>),
    Mapping {
        entries: BTreeMap<String, Child>,
        next: Next,
    },
}

/// What a mapping waits for.
enum Next {
    Key,
    /// The text is `None` for a key that is itself a list or a mapping.
    Value {
        key: Option<String>,
        line: usize,
    },
}

#[derive(Clone)]
struct Finished {
    node: Arc<Node>,
    /// For scalars, which may turn out to be keys.
    text: Option<String>,
}

impl Builder {
    fn new(file: usize) -> Self {
        Self {
            file,
            open: Vec::new(),
            anchors: HashMap::new(),
            documents: 0,
            root: Arc::new(Node::Scalar),
            errors: Vec::new(),
        }
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> ControlFlow<()> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message =
                        "a second document starts here; a config file holds one, so remove the \"---\"";
                    self.errors.push(ConfigError::new(message).at_line(line));
                    return Break(());
                }
            }
            Event::Scalar(text, _, anchor, _) => {
                self.finished(
                    Finished {
                        node: Arc::new(Node::Scalar),
                        text: Some(text.into_owned()),
                    },
                    anchor,
                    line,
                );
            }
            // An alias inside of what it names is refused by `serde_yaml`.
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let finished = known.unwrap_or_else(|| Finished {
                    node: Arc::new(Node::Scalar),
                    text: None,
                });
                self.finished(finished, 0, line);
            }
            Event::SequenceStart(anchor, _) => {
                return self.start(Open {
                    anchor,
                    line,
                    kind: Kind::Sequence(Vec::new()),
                });
            }
            Event::MappingStart(anchor, _) => {
                let kind = Kind::Mapping {
                    entries: BTreeMap::new(),
                    next: Next::Key,
                };
                return self.start(Open { anchor, line, kind });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { anchor, line, kind }) = self.open.pop() {
                    let node = match kind {
                        Kind::Sequence(items) => Node::Sequence(items),
                        Kind::Mapping { entries, .. } => Node::mapping(entries),
                    };
                    self.finished(
                        Finished {
                            node: Arc::new(node),
                            text: None,
                        },
                        anchor,
                        line,
                    );
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Continue(())
    }

    fn start(&mut self, open: Open) -> ControlFlow<()> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep; make it flatter");
            self.errors.push(ConfigError::new(message).at_line(open.line));
            return Break(());
        }
        self.open.push(open);
        Continue(())
    }

    /// Puts a finished node where it belongs: as a key, behind a key, into a list, or as the root.
    fn finished(&mut self, finished: Finished, anchor: usize, line: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, finished.clone());
        }
        let place = Place {
            file: self.file,
            line,
        };
        let mut twice = None;
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = finished.node,
            Some(Kind::Sequence(items)) => items.push(Child {
                place,
                node: finished.node,
            }),
            Some(Kind::Mapping { entries, next }) => match std::mem::replace(next, Next::Key) {
                Next::Key => {
                    twice = finished
                        .text
                        .as_ref()
                        .and_then(|key| entries.get(key))
                        .map(|first| first.place.line);
                    *next = Next::Value {
                        key: finished.text,
                        line,
                    };
                }
                Next::Value { key: Some(key), line } => {
                    entries.insert(
                        key,
                        Child {
                            place: Place { line, ..place },
                            node: finished.node,
                        },
                    );
                }
                Next::Value { key: None, .. } => {}
            },
        }
        if let Some(first) = twice {
            let path = self.path().without_secrets();
            let message = format!("the same key is already on line {first}; remove one of the two");
            self.errors
                .push(ConfigError::new(message).for_key(path.to_string()).at_line(line));
        }
    }

    /// The path of the innermost key or entry that is not finished.
    fn path(&self) -> KeyPath {
        self.open
            .iter()
            .fold(KeyPath::root(), |path, open| match &open.kind {
                Kind::Sequence(items) => path.index(items.len()),
                Kind::Mapping {
                    next: Next::Value { key: Some(key), .. },
                    ..
                } => path.key(key),
                Kind::Mapping { .. } => path,
            })
    }

    fn finish(self) -> Result<Arc<Node>, Vec<ConfigError>> {
        if self.errors.is_empty() {
            Ok(self.root)
        } else {
            Err(self.errors)
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use crate::config::checks::check;

    #[test]
    fn errors_of_syntax_come_with_line_and_column() {
        assert_snapshot!(check("server_name: a\npresence: b: c"), @"not valid YAML: mapping values are not allowed in this context (homeserver.yaml:2:12)");
        assert_snapshot!(check("server_name: a\nlisteners: [1, 2\nlog: {}\n"), @"not valid YAML: illegal placement of ':' indicator (homeserver.yaml:3:4)");
        assert_snapshot!(check("server_name: a\npresence:\n\tenabled: true\n"), @"not valid YAML: tabs disallowed within this context (block indentation) (homeserver.yaml:3:2)");
        assert_snapshot!(check("server_name: \"a\nb: c"), @"not valid YAML: invalid indentation in quoted scalar (homeserver.yaml:1:14)");
        assert_snapshot!(check("server_name: *missing"), @"not valid YAML: while parsing node, found unknown anchor (homeserver.yaml:1:14)");
        assert_snapshot!(check("server_name: a\npresence:\n  a: [1,\n 2]"), @"not valid YAML: invalid indentation (homeserver.yaml:4:2)");
        assert_snapshot!(check(&"[".repeat(200)), @"nested more than 128 levels deep; make it flatter (homeserver.yaml:1)");
    }

    #[test]
    fn keys_that_stand_twice_are_all_told() {
        assert_snapshot!(
            check("server_name: a\nserver_name: a\nlisteners:\n- port: 1\n- {port: 1, \"port\": 2}\n"),
            @"
        server_name: the same key is already on line 1; remove one of the two (homeserver.yaml:2)
        listeners[1].port: the same key is already on line 5; remove one of the two (homeserver.yaml:5)
        "
        );
    }

    #[test]
    fn a_file_holds_one_document() {
        assert_snapshot!(check("---\nserver_name: a\n...\n"), @"fine");
        assert_snapshot!(check("server_name: a\n---\nlog: {}"), @r#"a second document starts here; a config file holds one, so remove the "---" (homeserver.yaml:2)"#);
    }
}

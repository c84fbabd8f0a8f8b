//! Where each key and each list entry stands: a tree of the shape of the YAML, with places and no values.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A line of one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the files, in the order they were given.
    pub(super) file: usize,
    /// Counted from 1.
    pub(super) line: usize,
}

/// What stands behind a key. Shared, because an alias repeats what its anchor holds: a tree of copies
/// could be made to grow without bound.
#[derive(Debug)]
pub(super) enum Node {
    Scalar,
    Sequence(Vec<Child>),
    Mapping(BTreeMap<String, Child>),
}

#[derive(Debug, Clone)]
pub(super) struct Child {
    pub(super) place: Place,
    pub(super) node: Arc<Node>,
}

impl Node {
    /// As [`super::source::merge`] does with the values.
    pub(super) fn merge(base: &Arc<Self>, over: &Arc<Self>) -> Arc<Self> {
        let (Self::Mapping(base), Self::Mapping(over)) = (&**base, &**over) else {
            return Arc::clone(over);
        };
        let mut merged = base.clone();
        for (key, child) in over {
            let node = match base.get(key) {
                Some(earlier) => Self::merge(&earlier.node, &child.node),
                None => Arc::clone(&child.node),
            };
            merged.insert(
                key.clone(),
                Child {
                    place: child.place,
                    node,
                },
            );
        }
        Arc::new(Self::Mapping(merged))
    }

    /// A mapping in which `<<` has been replaced by what it brings in; keys of its own win.
    pub(super) fn mapping(mut entries: BTreeMap<String, Child>) -> Self {
        let Some(merge) = entries.remove("<<") else {
            return Self::Mapping(entries);
        };
        let mut bring_in = |node: &Self| {
            if let Self::Mapping(more) = node {
                for (key, child) in more {
                    entries.entry(key.clone()).or_insert_with(|| child.clone());
                }
            }
        };
        match &*merge.node {
            Self::Sequence(items) => items.iter().for_each(|item| bring_in(&item.node)),
            node => bring_in(node),
        }
        Self::Mapping(entries)
    }
}

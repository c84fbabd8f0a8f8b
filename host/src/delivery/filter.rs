//! Which presence events a client wants in its `/sync`.
//!
//! Owns the meaning of the part on presence of a Matrix [filter]. Must not know how a filter is written.
//!
//! [filter]: https://spec.matrix.org/v1.16/client-server-api/#filtering

use std::collections::HashSet;

use presence_router_api::UserId;

/// The type of every presence event.
const EVENT_TYPE: &str = "m.presence";

/// A client's wish. The default wants everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresenceFilter {
    /// The event types wanted, in which `*` stands for any text. None: all; an empty list: nothing.
    pub types: Option<Vec<Box<str>>>,
    /// The event types not wanted, with the same wildcard. Wins over `types`.
    pub not_types: Vec<Box<str>>,
    /// The users of whom to tell. None: all; an empty set: nobody.
    pub senders: Option<HashSet<UserId>>,
    /// The users of whom not to tell. Wins over `senders`.
    pub not_senders: HashSet<UserId>,
}

impl PresenceFilter {
    /// Whether it wants everything, whoever it is of.
    pub fn admits_all(&self) -> bool {
        let Self {
            types,
            not_types,
            senders,
            not_senders,
        } = self;
        types.is_none() && not_types.is_empty() && senders.is_none() && not_senders.is_empty()
    }

    /// Whether an event that tells of `sender` is wanted.
    pub fn admits(&self, sender: &str) -> bool {
        let names_presence =
            |patterns: &[Box<str>]| patterns.iter().any(|pattern| matches(pattern, EVENT_TYPE));
        !self.not_senders.contains(sender)
            && self
                .senders
                .as_ref()
                .is_none_or(|senders| senders.contains(sender))
            && !names_presence(&self.not_types)
            && self.types.as_ref().is_none_or(|types| names_presence(types))
    }
}

/// Whether `text` is of the form `pattern`, in which each `*` stands for any text, none included.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place for each piece is as good as any later one: it leaves the most for the others.
    for piece in middle.split('*') {
        let Some(at) = text.find(piece) else {
            return false;
        };
        text = text.get(at + piece.len()..).unwrap_or_default();
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for pattern in [
            "m.presence",
            "*",
            "**",
            "m.*",
            "*presence",
            "m*e",
            "*.*",
            "m.presence*",
            "m*p*s*ce",
        ] {
            assert!(matches(pattern, EVENT_TYPE), "{pattern}");
        }
        for pattern in [
            "",
            "m",
            "m.presenc",
            "M.presence",
            "m.room*",
            "*x*",
            "m.presence*e",
            "m*m*",
        ] {
            assert!(!matches(pattern, EVENT_TYPE), "{pattern}");
        }
    }

    #[test]
    fn an_empty_list_lets_nothing_through_and_not_wins() {
        let alice: UserId = "@alice:example.org".parse().expect("a user id");
        let everything = PresenceFilter::default();
        assert!(everything.admits("@alice:example.org"));
        for nothing in [
            PresenceFilter {
                types: Some(vec![]),
                ..everything.clone()
            },
            PresenceFilter {
                types: Some(vec!["m.room.*".into()]),
                ..everything.clone()
            },
            PresenceFilter {
                senders: Some(HashSet::new()),
                ..everything.clone()
            },
            PresenceFilter {
                types: Some(vec!["m.presence".into()]),
                not_types: vec!["*".into()],
                ..everything.clone()
            },
            PresenceFilter {
                senders: Some(HashSet::from([alice.clone()])),
                not_senders: HashSet::from([alice.clone()]),
                ..everything.clone()
            },
        ] {
            assert!(!nothing.admits("@alice:example.org"), "{nothing:?}");
        }
        let only_alice = PresenceFilter {
            senders: Some(HashSet::from([alice])),
            ..everything
        };
        assert!(only_alice.admits("@alice:example.org") && !only_alice.admits("@bob:example.org"));
    }

    /// The plain definition, which may take long.
    fn matches_by_trying(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| matches_by_trying(rest, &text[skip..])),
            Some((first, rest)) => text.first() == Some(first) && matches_by_trying(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_it_is_defined_as(pattern in "[ab*ü]{0,7}", text in "[abü]{0,7}") {
            let (p, t): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), matches_by_trying(&p, &t));
        }
    }
}

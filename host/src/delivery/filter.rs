//! Which presence events a client wants in its `/sync`.
//!
//! Owns the meaning of the part on presence of a Matrix [filter]. Must not know how a filter is written.
//!
//! [filter]: https://spec.matrix.org/v1.16/client-server-api/#filtering

use std::collections::HashSet;
use std::sync::Arc;

use presence_router_api::UserId;

/// The type of every presence event.
const EVENT_TYPE: &str = "m.presence";

/// A client's wish. The default wants everything. Clones are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresenceFilter(Option<Arc<Wish>>);

/// What is left of a wish that is not for everything.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    /// Of these users; `None` is of all.
    Of {
        senders: Option<HashSet<UserId>>,
        not_senders: HashSet<UserId>,
    },
}

impl PresenceFilter {
    /// Of events of these types, in which `*` stands for any text; an empty list is for nothing, and `None` for all. Of these
    /// users likewise. What is in `not_types` or `not_senders` is not wanted, whatever the others say.
    pub fn new(
        types: Option<&[Box<str>]>,
        not_types: &[Box<str>],
        senders: Option<HashSet<UserId>>,
        not_senders: HashSet<UserId>,
    ) -> Self {
        let names_presence =
            |patterns: &[Box<str>]| patterns.iter().any(|pattern| matches(pattern, EVENT_TYPE));
        // All events are of the same type, so that this is said of all of them.
        let wish = if names_presence(not_types) || !types.is_none_or(names_presence) {
            Wish::Nothing
        } else if senders.is_none() && not_senders.is_empty() {
            return Self(None);
        } else {
            Wish::Of { senders, not_senders }
        };
        Self(Some(Arc::new(wish)))
    }

    /// Whether it wants everything, whoever it is of.
    pub fn admits_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether an event that tells of `sender` is wanted.
    pub fn admits(&self, sender: &str) -> bool {
        match self.0.as_deref() {
            None => true,
            Some(Wish::Nothing) => false,
            Some(Wish::Of { senders, not_senders }) => {
                !not_senders.contains(sender)
                    && senders.as_ref().is_none_or(|senders| senders.contains(sender))
            }
        }
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
        let nobody = HashSet::new;
        let alice = || HashSet::from(["@alice:example.org".parse().expect("a user id")]);
        let types = |types: &[&str]| -> Vec<Box<str>> { types.iter().map(|text| (*text).into()).collect() };
        let of_types = |wanted: &[&str], not: &[&str]| {
            PresenceFilter::new(Some(&types(wanted)), &types(not), None, nobody())
        };
        let of = |senders, not_senders| PresenceFilter::new(None, &[], senders, not_senders);
        for everything in [
            PresenceFilter::default(),
            PresenceFilter::new(None, &[], None, nobody()),
            of_types(&["a", "m.*"], &["m.room.*"]),
        ] {
            assert!(everything.admits_all(), "{everything:?}");
            assert!(everything.admits("@alice:example.org"), "{everything:?}");
        }
        for nothing in [
            of_types(&[], &[]),
            of_types(&["m.room.*"], &[]),
            of_types(&["m.presence"], &["*"]),
            of(Some(nobody()), nobody()),
            of(Some(alice()), alice()),
        ] {
            assert!(!nothing.admits_all(), "{nothing:?}");
            assert!(!nothing.admits("@alice:example.org"), "{nothing:?}");
        }
        let only_alice = of(Some(alice()), nobody());
        assert!(only_alice.admits("@alice:example.org") && !only_alice.admits("@bob:example.org"));
        let all_but_alice = of(None, alice());
        assert!(!all_but_alice.admits("@alice:example.org") && all_but_alice.admits("@bob:example.org"));
        assert!(!only_alice.admits_all() && !all_but_alice.admits_all());
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

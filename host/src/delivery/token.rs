//! The `since` token: how far one sync stream has read.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The most modules that a token tells apart.
const MAX_BEHIND: usize = 64;

/// How far a client has read, as positions: `s{stream}_{routed}_{fetched}` on the wire, and `_{module}.{routed}.{fetched}` for
/// each module that is not as far as the others, with `.all` behind it when all that it shows is wanted.
///
/// Positions count upwards over restarts, so a token of before a restart is still in order.
/// `docs/decisions/sync-by-position.md` says what each is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncToken {
    /// Changes of people who share a room, and of the user themselves, were read up to here.
    pub stream: u64,
    /// How far all modules were read but those below.
    common: Cursor,
    /// The modules that were read up to elsewhere.
    behind: Vec<(ModuleTag, Cursor)>,
}

/// Names a module in tokens: a number made of its name, so that it stays the same whatever else is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleTag(u32);

/// How far what one module shows was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// What it routed was read up to here. Behind `stream` when it owes an answer.
    pub routed: u64,
    /// Changes up to here were read by asking it; what it routes of those later is not news. 0 when it never answered.
    pub fetched: u64,
    /// What it is to be asked for when it owes an answer.
    pub owes: Owes,
}

/// What a module that owes an answer is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owes {
    /// What it routed since `routed`.
    #[default]
    News,
    /// All that it shows, and what it routed since.
    All,
}

impl ModuleTag {
    /// The tag of a module's name (FNV-1a, 32 bits).
    pub const fn of(name: &str) -> Self {
        let (bytes, mut index, mut hash) = (name.as_bytes(), 0, 0x811c_9dc5_u32);
        while index < bytes.len() {
            hash = (hash ^ bytes[index] as u32).wrapping_mul(0x0100_0193);
            index += 1;
        }
        Self(hash)
    }
}

impl Cursor {
    /// Everything was read up to a position, by asking.
    pub fn asked_at(position: u64) -> Self {
        Self {
            routed: position,
            fetched: position,
            owes: Owes::News,
        }
    }

    /// It was asked at a position, and gave no answer: of what it routed before, nothing was told.
    pub fn never_answered(asked_at: u64) -> Self {
        Self {
            routed: asked_at,
            fetched: 0,
            owes: Owes::All,
        }
    }

    /// Whether it is of a module that has never answered.
    pub fn was_never_answered(&self) -> bool {
        self.fetched == 0 && self.owes == Owes::All
    }
}

impl SyncToken {
    /// A token that has read each module up to its cursor. Without modules, `otherwise` is what a module that comes later
    /// finds.
    pub fn new(stream: u64, modules: &[(ModuleTag, Cursor)], otherwise: Cursor) -> Self {
        let furthest = modules
            .iter()
            .map(|(_, cursor)| *cursor)
            .filter(|cursor| cursor.owes == Owes::News)
            .max_by_key(|cursor| (cursor.routed, cursor.fetched));
        let common = furthest.unwrap_or(otherwise);
        Self {
            stream,
            common,
            behind: modules
                .iter()
                .copied()
                .filter(|(_, cursor)| *cursor != common)
                .collect(),
        }
    }

    /// How far a module was read.
    pub fn cursor(&self, module: ModuleTag) -> Cursor {
        self.behind
            .iter()
            .find(|(tag, _)| *tag == module)
            .map_or(self.common, |(_, cursor)| *cursor)
    }

    /// How far modules were read that the token does not name.
    pub fn common(&self) -> Cursor {
        self.common
    }

    /// Whether all that there is up to a position was read, of rooms and of each module, and nothing is owed.
    pub fn has_read(&self, position: u64) -> bool {
        let has_read = |cursor: &Cursor| {
            cursor.routed == position && cursor.fetched <= position && cursor.owes == Owes::News
        };
        self.stream == position
            && has_read(&self.common)
            && self.behind.iter().all(|(_, cursor)| has_read(cursor))
    }

    /// The furthest position in it.
    pub fn furthest(&self) -> u64 {
        let cursors = self.behind.iter().map(|(_, cursor)| cursor).chain([&self.common]);
        let furthest = cursors.map(|cursor| cursor.routed.max(cursor.fetched));
        furthest.chain([self.stream]).max().unwrap_or_default()
    }
}

/// A text that is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this server")]
pub struct InvalidSyncToken;

impl From<ParseIntError> for InvalidSyncToken {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor { routed, fetched, .. } = self.common;
        write!(f, "s{}_{routed}_{fetched}", self.stream)?;
        for (ModuleTag(tag), cursor) in &self.behind {
            write!(f, "_{tag:08x}.{}.{}", cursor.routed, cursor.fetched)?;
            if cursor.owes == Owes::All {
                f.write_str(".all")?;
            }
        }
        Ok(())
    }
}

impl FromStr for SyncToken {
    type Err = InvalidSyncToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.strip_prefix('s').ok_or(InvalidSyncToken)?.split('_');
        let mut next = || parts.next().ok_or(InvalidSyncToken).and_then(position);
        let (stream, routed, fetched) = (next()?, next()?, next()?);
        let behind = parts
            .map(behind)
            .take(MAX_BEHIND + 1)
            .collect::<Result<Vec<_>, _>>()?;
        if behind.len() > MAX_BEHIND {
            return Err(InvalidSyncToken);
        }
        Ok(Self {
            stream,
            common: Cursor {
                routed,
                fetched,
                owes: Owes::News,
            },
            behind,
        })
    }
}

fn behind(text: &str) -> Result<(ModuleTag, Cursor), InvalidSyncToken> {
    let mut parts = text.split('.');
    let mut next = || parts.next().ok_or(InvalidSyncToken);
    let tag = next()?;
    if tag.len() != 8 || tag.starts_with('+') {
        return Err(InvalidSyncToken);
    }
    let tag = ModuleTag(u32::from_str_radix(tag, 16)?);
    let (routed, fetched) = (position(next()?)?, position(next()?)?);
    let owes = match (parts.next(), parts.next()) {
        (None, None) => Owes::News,
        (Some("all"), None) => Owes::All,
        _ => return Err(InvalidSyncToken),
    };
    let cursor = Cursor {
        routed,
        fetched,
        owes,
    };
    Ok((tag, cursor))
}

fn position(text: &str) -> Result<u64, InvalidSyncToken> {
    // `u64::from_str` would take a `+`.
    if text.starts_with('+') {
        return Err(InvalidSyncToken);
    }
    Ok(text.parse()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_texts_are_no_tokens() {
        let long = format!("s1_2_3{}", "_00000000.1.1".repeat(MAX_BEHIND + 1));
        for text in [
            "",
            "s",
            "s1",
            "s1_2",
            "s1_2_",
            "s1_2_3_4",
            "1_2_3",
            "s-1_2_3",
            "s+1_2_3",
            "s1_2_x",
            "s1_2_99999999999999999999",
            "s1_2_3_0000000a",
            "s1_2_3_0000000a.1",
            "s1_2_3_0000000a.1.2.some",
            "s1_2_3_0000000a.1.2.all.all",
            "s1_2_3_a.1.2",
            "s1_2_3_+000000a.1.2",
            "s1_2_3_0000000a.1.+2",
            &long,
        ] {
            assert_eq!(text.parse::<SyncToken>(), Err(InvalidSyncToken), "{text}");
        }
    }

    #[test]
    fn modules_that_are_as_far_as_the_others_take_no_room() {
        let (one, two) = (ModuleTag::of("one"), ModuleTag::of("two"));
        let cursor = Cursor::asked_at(7);
        let token = SyncToken::new(9, &[(one, cursor), (two, cursor)], Cursor::default());
        assert_eq!(token.to_string(), "s9_7_7");
        let late = Cursor {
            owes: Owes::All,
            ..Cursor::asked_at(3)
        };
        let token = SyncToken::new(9, &[(one, late), (two, cursor)], Cursor::default());
        assert_eq!((token.cursor(one), token.cursor(two)), (late, cursor));
        assert_eq!(token.cursor(ModuleTag::of("three")), cursor);
        assert!(token.to_string().ends_with(".3.3.all"), "{token}");
    }

    #[test]
    fn the_furthest_position_counts_all() {
        let module = ModuleTag::of("one");
        let cursor = Cursor {
            owes: Owes::All,
            ..Cursor::asked_at(12)
        };
        let token = SyncToken::new(9, &[(module, cursor)], Cursor::default());
        assert_eq!(token.furthest(), 12);
    }

    fn cursor() -> impl Strategy<Value = Cursor> {
        let owes = prop_oneof![Just(Owes::News), Just(Owes::All)];
        (any::<u64>(), any::<u64>(), owes).prop_map(|(routed, fetched, owes)| Cursor {
            routed,
            fetched,
            owes,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            stream: u64,
            cursors in proptest::collection::btree_map("[a-z]{1,5}", cursor(), 0..5),
        ) {
            let cursors: Vec<_> = cursors.into_iter().map(|(name, cursor)| (ModuleTag::of(&name), cursor)).collect();
            let token = SyncToken::new(stream, &cursors, Cursor::default());
            prop_assert_eq!(token.to_string().parse(), Ok(token.clone()));
            for (tag, cursor) in cursors {
                prop_assert_eq!(token.cursor(tag), cursor);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "s?[0-9_.a-f+]{0,60}") {
            let _ = text.parse::<SyncToken>();
        }
    }
}

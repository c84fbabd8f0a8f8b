//! The `since` token: how far one sync stream has read.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// How far a client has read, as three positions; `s{stream}_{routed}_{fetched}` on the wire.
///
/// Positions count upwards over restarts (they start from the clock), so a token of before a restart is still in order.
/// `docs/decisions/sync-by-position.md` says why there are three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncToken {
    /// Changes of people who share a room, and of the user themselves, were read up to here.
    pub stream: u64,
    /// What the modules routed was read up to here. Behind `stream` when a module owes an answer.
    pub routed: u64,
    /// Changes up to here were read by asking the modules; what they route of those later is not news.
    pub fetched: u64,
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
        write!(f, "s{}_{}_{}", self.stream, self.routed, self.fetched)
    }
}

impl FromStr for SyncToken {
    type Err = InvalidSyncToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.strip_prefix('s').ok_or(InvalidSyncToken)?.split('_');
        let mut next = || -> Result<u64, InvalidSyncToken> {
            let part = parts.next().ok_or(InvalidSyncToken)?;
            // `u64::from_str` would take a `+`.
            if part.starts_with('+') {
                Err(InvalidSyncToken)
            } else {
                Ok(part.parse()?)
            }
        };
        let token = Self {
            stream: next()?,
            routed: next()?,
            fetched: next()?,
        };
        if parts.next().is_some() {
            Err(InvalidSyncToken)
        } else {
            Ok(token)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_texts_are_no_tokens() {
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
        ] {
            assert_eq!(text.parse::<SyncToken>(), Err(InvalidSyncToken), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(stream: u64, routed: u64, fetched: u64) {
            let token = SyncToken { stream, routed, fetched };
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }
    }
}

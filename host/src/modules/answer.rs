//! Checks what a module answered, and turns it into what the host routes.
//!
//! A wrong answer is rejected as a whole; nothing in it can make the host panic or read out of bounds.

use std::sync::Arc;

use presence_router_api::abi::router::{InterestedAnswer, RoutesAnswer, SpanAudience};
use presence_router_api::{InterestedUsers, InvalidUserId, UserId, UserPresenceState};

use crate::modules::audience::{Audience, AudienceError, Audiences};

/// How many entries an answer may have, in each of its lists: a batch has at most 4,096 states, so this
/// allows each of them 4,096 audiences.
const MAX_ENTRIES: usize = 4_096 * 4_096;

/// Where a batch goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Routed {
    /// Which states go to which audience.
    pub pieces: Vec<Piece>,
    /// States that were not in the batch; they are numbered from the batch's length on.
    pub states: Vec<UserPresenceState>,
}

/// Some states for one audience.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Numbers of states, each below the batch's length plus that of [`Routed::states`].
    pub updates: Vec<u32>,
    /// Who receives them.
    pub audience: Arc<Audience>,
}

impl Routed {
    /// The numbers of the states that go to one user, without duplicates.
    pub fn part_of(&self, user: &UserId) -> Vec<u32> {
        let pieces = self.pieces.iter().filter(|piece| piece.audience.contains(user));
        let mut updates: Vec<u32> = pieces.flat_map(|piece| piece.updates.iter().copied()).collect();
        updates.sort_unstable();
        updates.dedup();
        updates
    }
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongAnswer {
    /// The end of a span is before its start or behind the list's end.
    #[error("span {span} ends at {end}, out of the range from {start} to {len}")]
    SpanOutOfRange {
        /// Which span.
        span: usize,
        /// Where it starts.
        start: usize,
        /// Where it says that it ends.
        end: usize,
        /// How long the list is.
        len: usize,
    },
    /// A number names no state.
    #[error("an update has the number {number}, of {count} states")]
    UpdateOutOfRange {
        /// The number.
        number: u32,
        /// How many states there are: the batch's and the answer's own.
        count: usize,
    },
    /// A handle names no audience.
    #[error("no audience is registered under the handle {0}")]
    UnknownAudience(u64),
    /// A list of users is out of range.
    #[error("list {0} of users is out of range")]
    ListOutOfRange(u32),
    /// A list of users holds one who is none.
    #[error("list {list} of users: {reason}")]
    BadList {
        /// Which list.
        list: u32,
        /// Why.
        reason: AudienceError,
    },
    /// A user id is none.
    #[error(transparent)]
    BadUserId(#[from] InvalidUserId),
    /// A list is longer than any answer needs.
    #[error("the answer has {0} entries, {MAX_ENTRIES} are allowed")]
    TooLarge(usize),
}

/// Checks the answer to `get_users_for_states` for a batch of `batch_len` states.
pub(super) fn check_routes(
    answer: RoutesAnswer,
    batch_len: usize,
    audiences: &Audiences,
) -> Result<Routed, WrongAnswer> {
    let longest = answer
        .updates
        .len()
        .max(answer.spans.len())
        .max(answer.listed_users.len());
    if longest > MAX_ENTRIES {
        return Err(WrongAnswer::TooLarge(longest));
    }
    let count = batch_len + answer.states.len();
    for state in &answer.states {
        UserId::parse(state.user_id())?;
    }
    let mut pieces = Vec::with_capacity(answer.spans.len());
    let mut start = 0;
    for (span, description) in answer.spans.iter().enumerate() {
        let end = description.end as usize;
        let out_of_range = || WrongAnswer::SpanOutOfRange {
            span,
            start,
            end,
            len: answer.updates.len(),
        };
        let updates = answer.updates.get(start..end).ok_or_else(out_of_range)?;
        if let Some(number) = updates.iter().find(|number| **number as usize >= count) {
            return Err(WrongAnswer::UpdateOutOfRange {
                number: *number,
                count,
            });
        }
        let audience = match description.audience {
            SpanAudience::Registered(handle) => audiences
                .get(handle)
                .ok_or(WrongAnswer::UnknownAudience(handle))?,
            SpanAudience::Listed(list) => listed(&answer, list, audiences)?,
        };
        pieces.push(Piece {
            updates: updates.to_vec(),
            audience,
        });
        start = end;
    }
    Ok(Routed {
        pieces,
        states: answer.states.into_vec(),
    })
}

fn listed(answer: &RoutesAnswer, list: u32, audiences: &Audiences) -> Result<Arc<Audience>, WrongAnswer> {
    let index = list as usize;
    let start = index
        .checked_sub(1)
        .map_or(Some(0), |before| answer.listed_ends.get(before).copied());
    let users = start
        .zip(answer.listed_ends.get(index).copied())
        .and_then(|(start, end)| answer.listed_users.get(start as usize..end as usize))
        .ok_or(WrongAnswer::ListOutOfRange(list))?;
    audiences
        .listed(users.iter())
        .map_err(|reason| WrongAnswer::BadList { list, reason })
}

/// Checks the answer to `get_interested_users`.
pub(super) fn check_interested(answer: InterestedAnswer) -> Result<InterestedUsers, WrongAnswer> {
    match answer {
        InterestedAnswer::All => Ok(InterestedUsers::All),
        InterestedAnswer::Users(users) if users.len() > MAX_ENTRIES => {
            Err(WrongAnswer::TooLarge(users.len()))
        }
        InterestedAnswer::Users(users) => Ok(InterestedUsers::Users(
            users.iter().map(UserId::parse).collect::<Result<_, _>>()?,
        )),
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::abi::router::Span;
    use proptest::prelude::*;

    use super::*;

    fn registered(updates: &[u32], ends: &[u32], handle: u64) -> RoutesAnswer {
        RoutesAnswer {
            updates: updates.into(),
            spans: ends
                .iter()
                .map(|end| Span {
                    end: *end,
                    audience: SpanAudience::Registered(handle),
                })
                .collect(),
            ..RoutesAnswer::default()
        }
    }

    #[test]
    fn a_valid_answer_becomes_pieces() {
        let audiences = Audiences::default();
        let handle = audiences.register(["@b:x", "@a:x"].iter()).expect("registers");
        let routed = check_routes(registered(&[0, 2, 1], &[2, 3], handle), 3, &audiences).expect("valid");
        assert_eq!(routed.pieces[0].updates, [0, 2]);
        assert_eq!(routed.pieces[1].updates, [1]);
        let user = UserId::parse("@a:x").expect("valid");
        assert_eq!(routed.part_of(&user), [0, 1, 2]);
    }

    #[test]
    fn each_wrong_answer_is_rejected_and_named() {
        let audiences = Audiences::default();
        let handle = audiences.register(["@a:x"].iter()).expect("registers");
        let check = |answer| {
            check_routes(answer, 2, &audiences)
                .expect_err("wrong")
                .to_string()
        };
        insta::assert_snapshot!(check(registered(&[0, 2], &[2], handle)), @"an update has the number 2, of 2 states");
        insta::assert_snapshot!(check(registered(&[0], &[2], handle)), @"span 0 ends at 2, out of the range from 0 to 1");
        insta::assert_snapshot!(check(registered(&[0, 1], &[2, 1], handle)), @"span 1 ends at 1, out of the range from 2 to 2");
        insta::assert_snapshot!(
            check(registered(&[0], &[1], 0)),
            @"no audience is registered under the handle 0"
        );
        let mut answer = registered(&[0], &[1], handle);
        answer.spans[0].audience = SpanAudience::Listed(0);
        insta::assert_snapshot!(check(answer.clone()), @"list 0 of users is out of range");
        answer.listed_users.push("bob".into());
        answer.listed_ends.push(1);
        insta::assert_snapshot!(
            check(answer),
            @r#"list 0 of users: user 0 of the audience: "bob" is not a user id: it does not start with '@', as in "@alice:example.org""#
        );
    }

    proptest! {
        #[test]
        fn no_answer_panics(
            updates in prop::collection::vec(0u32..6, 0..6),
            spans in prop::collection::vec((0u32..8, any::<bool>(), 0u32..4), 0..6),
            users in prop::collection::vec("@?[ab]:?x?", 0..4),
            ends in prop::collection::vec(0u32..6, 0..4),
        ) {
            let audiences = Audiences::default();
            let handle = audiences.register(["@a:x"].iter()).expect("registers");
            let answer = RoutesAnswer {
                updates: updates.into(),
                spans: spans.into_iter().map(|(end, listed, number)| Span {
                    end,
                    audience: if listed {
                        SpanAudience::Listed(number)
                    } else {
                        SpanAudience::Registered(handle + u64::from(number))
                    },
                }).collect(),
                listed_users: users.into_iter().map(Into::into).collect(),
                listed_ends: ends.into(),
                ..RoutesAnswer::default()
            };
            if let Ok(routed) = check_routes(answer, 4, &audiences) {
                prop_assert!(routed.pieces.iter().all(|piece| piece.updates.iter().all(|number| *number < 4)));
            }
        }
    }
}

//! The states that a router is asked to route.

use std::fmt;
use std::iter::Enumerate;
use std::ops::Deref;
use std::slice;

use crate::abi::router::StateBatch;
use crate::abi::state::UserPresenceState;
use crate::user_id::UserId;

/// A batch of changed states, at most one a user, in the order in which they changed.
///
/// The host sends at most 4,096 states at once. It shares the batch rather than copying it: cloning a
/// `StateUpdates` is cheap.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use presence_router_api::testing::state_updates;
///
/// let updates = state_updates(["@alice:example.org", "@bob:example.org"]);
/// assert_eq!(updates.len(), 2);
/// for update in &updates {
///     println!("{} is {}", update.user_id(), update.state);
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StateUpdates {
    batch: StateBatch,
    only_for: Option<UserId>,
}

impl StateUpdates {
    pub(crate) fn new(batch: StateBatch, only_for: Option<UserId>) -> Self {
        Self { batch, only_for }
    }

    /// The single recipient whose part of the answer is wanted, when there is one.
    ///
    /// The host sets it when one user, whom [`get_interested_users`] calls interested in everybody,
    /// catches up: it uses that user's part of the answer only. A router may ignore it; one that looks at it
    /// need not work out everybody else's part. That user's part must be the same with it and without.
    ///
    /// [`get_interested_users`]: crate::PresenceRouter::get_interested_users
    pub fn only_for(&self) -> Option<&UserId> {
        self.only_for.as_ref()
    }

    pub(crate) fn batch(&self) -> &StateBatch {
        &self.batch
    }

    /// How many states there are.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The states, each with its number in the batch.
    pub fn iter(&self) -> Updates<'_> {
        Updates {
            batch: &self.batch,
            states: self.batch.iter().enumerate(),
        }
    }
}

impl<'a> IntoIterator for &'a StateUpdates {
    type Item = Update<'a>;
    type IntoIter = Updates<'a>;

    fn into_iter(self) -> Updates<'a> {
        self.iter()
    }
}

/// The states of a batch, in their order; made by [`StateUpdates::iter`].
#[derive(Clone)]
pub struct Updates<'a> {
    batch: &'a StateBatch,
    states: Enumerate<slice::Iter<'a, UserPresenceState>>,
}

impl<'a> Iterator for Updates<'a> {
    type Item = Update<'a>;

    fn next(&mut self) -> Option<Update<'a>> {
        let (index, state) = self.states.next()?;
        Some(Update {
            index: to_u32(index),
            state,
            batch: self.batch,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.states.size_hint()
    }
}

impl ExactSizeIterator for Updates<'_> {}

impl fmt::Debug for Updates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Updates({} left)", self.len())
    }
}

/// One state of a batch. Dereferences to the [`UserPresenceState`].
#[derive(Clone, Copy)]
pub struct Update<'a> {
    index: u32,
    state: &'a UserPresenceState,
    batch: &'a StateBatch,
}

impl<'a> Update<'a> {
    /// The number of the state in its batch, counted from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Whose presence this is: a user id, local or remote, such as `@alice:example.org`.
    pub fn user_id(&self) -> &'a str {
        self.state.user_id()
    }

    /// The whole state, for as long as the batch lives.
    pub fn as_state(&self) -> &'a UserPresenceState {
        self.state
    }

    pub(crate) fn batch(&self) -> &'a StateBatch {
        self.batch
    }
}

impl Deref for Update<'_> {
    type Target = UserPresenceState;

    fn deref(&self) -> &UserPresenceState {
        self.state
    }
}

impl fmt::Debug for Update<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update")
            .field("index", &self.index)
            .field("state", self.state)
            .finish_non_exhaustive()
    }
}

/// Whether two handles share one batch.
pub(crate) fn is_same_batch(one: &StateBatch, other: &StateBatch) -> bool {
    std::ptr::eq(&raw const **one, &raw const **other)
}

pub(crate) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).expect("no batch and no answer has 2^32 entries, they would not fit into memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::state_updates;

    #[test]
    fn the_states_come_in_their_order_with_their_numbers() {
        let updates = state_updates(["@a:x", "@b:x", "@c:x"]);
        let seen: Vec<_> = updates
            .iter()
            .map(|update| (update.index(), update.user_id()))
            .collect();
        assert_eq!(seen, [(0, "@a:x"), (1, "@b:x"), (2, "@c:x")]);
        assert_eq!(updates.iter().len(), 3);
        assert_eq!(
            updates
                .iter()
                .skip(1)
                .map(|update| update.index())
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(!updates.is_empty());
        assert!(state_updates::<&str>([]).is_empty());
    }

    #[test]
    fn a_clone_shares_the_batch_and_another_batch_with_the_same_states_does_not() {
        let updates = state_updates(["@a:x"]);
        assert!(is_same_batch(&updates.batch, &updates.clone().batch));
        assert!(!is_same_batch(&updates.batch, &state_updates(["@a:x"]).batch));
    }
}

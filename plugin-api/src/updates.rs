//! The states that a router is asked to route.

use std::ops::Deref;

use crate::abi::router::StateBatch;
use crate::abi::state::UserPresenceState;
use crate::user_id::UserId;

/// A batch of changed states, at most one a user, in the order in which they changed.
///
/// The host shares the batch rather than copying it: cloning a `StateUpdates` is cheap.
///
/// ```
/// use presence_router_api::testing::state_updates;
///
/// let updates = state_updates(["@alice:example.org", "@bob:example.org"]);
/// assert_eq!(updates.len(), 2);
/// for update in updates.iter() {
///     println!("{} is {}", update.user_id(), update.state);
/// }
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
    /// need not work out everybody else's part.
    ///
    /// [`get_interested_users`]: crate::PresenceRouter::get_interested_users
    pub fn only_for(&self) -> Option<&UserId> {
        self.only_for.as_ref()
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
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Update<'_>> + Clone {
        self.batch.iter().enumerate().map(|(index, state)| Update {
            index: to_index(index),
            state,
        })
    }
}

/// One state of a batch. Dereferences to the [`UserPresenceState`].
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    index: u32,
    state: &'a UserPresenceState,
}

impl Update<'_> {
    /// The number of the state in its batch.
    pub fn index(&self) -> u32 {
        self.index
    }
}

impl Deref for Update<'_> {
    type Target = UserPresenceState;

    fn deref(&self) -> &UserPresenceState {
        self.state
    }
}

pub(crate) fn to_index(index: usize) -> u32 {
    u32::try_from(index).expect("the host sends at most 4096 states a batch")
}

//! The answer to `get_users_for_states`, and the audiences that it names.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use abi_stable::std_types::{RString, RVec};

use crate::abi::host::{HostApi_TO, HostApiBox};
use crate::abi::router::{RoutesAnswer, Span, SpanAudience, StateBatch};
use crate::abi::state::UserPresenceState;
use crate::updates::{Update, is_same_batch, to_u32};
use crate::user_id::UserId;

/// How many updates there is room for before they are counted: as many as a host sends at once.
const MAX_RESERVED: usize = 4_096;

/// A list of users that the host keeps, so that naming them in an answer costs nothing.
///
/// Made by [`ModuleApi::register_audience`](crate::ModuleApi::register_audience), usually once, in `new`.
/// Users may be local or remote. The list never changes: for other users register another audience. Clones share the
/// list; when the last one is dropped the host forgets it (answers that name it already still count). It belongs to
/// the instance that registered it: the host rejects an answer that names another instance's.
#[derive(Clone)]
pub struct Audience(Arc<RegisteredAudience>);

struct RegisteredAudience {
    handle: u64,
    api: Arc<HostApiBox>,
}

impl Audience {
    pub(crate) fn new(handle: u64, api: Arc<HostApiBox>) -> Self {
        Self(Arc::new(RegisteredAudience { handle, api }))
    }
}

impl Drop for RegisteredAudience {
    fn drop(&mut self) {
        HostApi_TO::release_audience(&self.api, self.handle);
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audience({})", self.0.handle)
    }
}

/// Where the states of a batch go: the answer to
/// [`get_users_for_states`](crate::PresenceRouter::get_users_for_states).
///
/// What is not named goes nowhere beyond the people who share a room. Naming the same pair of state
/// and user twice is harmless; the host removes duplicates.
///
/// The updates are meant to be those of the batch that the router is asked about. An [`Update`] of another batch, such
/// as one that the router has kept, is sent as what it is: its state goes along as by [`send_state`](Self::send_state),
/// at the cost of a copy.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use presence_router_api::testing::{FakeHost, state_updates};
/// use presence_router_api::{Routes, UserId};
///
/// let host = FakeHost::new("example.org");
/// let staff = host.api().register_audience([UserId::parse("@carol:example.org")?])?;
///
/// let updates = state_updates(["@alice:example.org", "@bob:example.org"]);
/// let mut routes = Routes::new();
/// for update in updates.iter().filter(|update| update.user_id() != "@bob:example.org") {
///     routes.send(update, &staff);
/// }
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Routes {
    /// All of the answer but `updates`.
    answer: RoutesAnswer,
    /// Until the answer leaves, added states are numbered from `u32::MAX` downwards: they come behind the batch, whose
    /// length is only known then.
    updates: Vec<u32>,
    /// The batch in which the other numbers count: that of the first update named.
    batch: Option<StateBatch>,
    /// Keeps what the answer names registered until it leaves.
    audiences: Vec<Audience>,
}

impl Routes {
    /// An answer that routes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a state of the batch to an audience.
    pub fn send(&mut self, update: Update<'_>, to: &Audience) {
        self.send_all([update], to);
    }

    /// Sends several states of the batch to an audience. No updates, no effect.
    pub fn send_all<'a>(&mut self, updates: impl IntoIterator<Item = Update<'a>>, to: &Audience) {
        let start = self.updates.len();
        let updates = updates.into_iter();
        let (least, most) = updates.size_hint();
        self.updates.reserve(most.unwrap_or(least).min(MAX_RESERVED));
        // The batch is looked at once, not for each update: this loop is most of what an answer costs.
        let (batch, states) = (&mut self.batch, &mut self.answer.states);
        let mut own: *const StateBatch = std::ptr::null();
        self.updates.extend(updates.map(|update| {
            if std::ptr::eq(own, update.batch()) {
                return update.index();
            }
            let Some(index) = own_number(batch, update) else {
                return add(states, update.as_state().clone());
            };
            own = update.batch();
            index
        }));
        if self.updates.len() > start {
            self.keep(to);
            self.close_span(SpanAudience::Registered(to.0.handle));
        }
    }

    /// Sends states of the batch to users, local or remote, who are no registered audience. The list crosses with the
    /// answer: for users who stay the same, a registered [`Audience`] costs less.
    pub fn send_to_users<'a, 'u>(
        &mut self,
        updates: impl IntoIterator<Item = Update<'a>>,
        users: impl IntoIterator<Item = &'u UserId>,
    ) {
        let updates: Vec<u32> = updates.into_iter().map(|update| self.number(update)).collect();
        self.send_numbers_to_users(&updates, users.into_iter().map(UserId::as_str));
    }

    /// Sends a state that was not in the batch, such as a user's state that a newcomer to the audience
    /// has not seen.
    ///
    /// It says whose presence the audience is to see; what that user is stays the host's to say. The host passes over a
    /// state that is not the user's newest any more, and a user of whom it knows nothing. The `user_id` must be a user
    /// id, else the host rejects the whole answer.
    pub fn send_state(&mut self, state: UserPresenceState, to: &Audience) {
        let number = add(&mut self.answer.states, state);
        self.updates.push(number);
        self.keep(to);
        self.close_span(SpanAudience::Registered(to.0.handle));
    }

    /// Folds the form that Synapse's modules answer in, a map of user to states. Users with the same
    /// states become one list. Costs a hash of each user's list, so prefer [`send_all`](Self::send_all) where you can.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use std::collections::HashMap;
    /// use presence_router_api::testing::state_updates;
    /// use presence_router_api::{Routes, UserId};
    ///
    /// let updates = state_updates(["@alice:example.org"]);
    /// let mut destinations = HashMap::new();
    /// destinations.insert(UserId::parse("@carol:example.org")?, updates.iter().collect());
    /// let routes = Routes::from_map(destinations);
    /// # }
    /// # Ok::<(), presence_router_api::InvalidUserId>(())
    /// ```
    pub fn from_map<'a>(map: impl IntoIterator<Item = (UserId, Vec<Update<'a>>)>) -> Self {
        let mut routes = Self::new();
        let mut numbers: HashMap<*const UserPresenceState, u32> = HashMap::new();
        let mut users_of: HashMap<Vec<u32>, Vec<UserId>> = HashMap::new();
        for (user, updates) in map {
            let mut updates: Vec<u32> = updates
                .into_iter()
                .map(|update| {
                    own_number(&mut routes.batch, update).unwrap_or_else(|| {
                        // One number for each state of another batch, too: same states, same list.
                        *numbers
                            .entry(update.as_state())
                            .or_insert_with(|| add(&mut routes.answer.states, update.as_state().clone()))
                    })
                })
                .collect();
            updates.sort_unstable();
            updates.dedup();
            users_of.entry(updates).or_default().push(user);
        }
        for (updates, users) in users_of {
            routes.send_numbers_to_users(&updates, users.iter().map(UserId::as_str));
        }
        routes
    }

    /// The number that stands for an update until the answer leaves.
    fn number(&mut self, update: Update<'_>) -> u32 {
        own_number(&mut self.batch, update)
            .unwrap_or_else(|| add(&mut self.answer.states, update.as_state().clone()))
    }

    fn send_numbers_to_users<'u>(&mut self, updates: &[u32], users: impl Iterator<Item = &'u str>) {
        if updates.is_empty() {
            return;
        }
        let start = self.answer.listed_users.len();
        self.answer.listed_users.extend(users.map(RString::from));
        if self.answer.listed_users.len() == start {
            return;
        }
        self.updates.extend(updates.iter().copied());
        let list = to_u32(self.answer.listed_ends.len());
        self.answer
            .listed_ends
            .push(to_u32(self.answer.listed_users.len()));
        self.close_span(SpanAudience::Listed(list));
    }

    fn keep(&mut self, audience: &Audience) {
        if self
            .audiences
            .last()
            .is_none_or(|last| last.0.handle != audience.0.handle)
        {
            self.audiences.push(audience.clone());
        }
    }

    fn close_span(&mut self, audience: SpanAudience) {
        let end = to_u32(self.updates.len());
        match self.answer.spans.last_mut() {
            Some(last) if last.audience == audience => last.end = end,
            _ => self.answer.spans.push(Span { end, audience }),
        }
    }

    /// The answer to a call about `batch`.
    pub(crate) fn into_answer(mut self, batch: &StateBatch) -> RoutesAnswer {
        if let Some(other) = self.batch.take().filter(|named| !is_same_batch(named, batch)) {
            self.add_all_of(&other);
        }
        let added = to_u32(self.answer.states.len());
        if added > 0 {
            let batch_len = to_u32(batch.len());
            for number in &mut self.updates {
                let position = u32::MAX - *number;
                if position < added {
                    *number = batch_len.saturating_add(position);
                }
            }
        }
        self.answer.updates = self.updates.into();
        self.answer
    }

    /// The numbers turn out to count in a batch that the call is not about: its states go along.
    fn add_all_of(&mut self, other: &StateBatch) {
        let highest_not_added = u32::MAX - to_u32(self.answer.states.len());
        let mut updates = std::mem::take(&mut self.updates);
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        for number in updates.iter_mut().filter(|number| **number <= highest_not_added) {
            let state = &other[*number as usize];
            *number = *numbers
                .entry(*number)
                .or_insert_with(|| add(&mut self.answer.states, state.clone()));
        }
        self.updates = updates;
    }
}

/// The number of an update of the batch in which numbers count; the first update says which batch that is.
fn own_number(batch: &mut Option<StateBatch>, update: Update<'_>) -> Option<u32> {
    let batch = batch.get_or_insert_with(|| update.batch().clone());
    is_same_batch(batch, update.batch()).then(|| update.index())
}

/// The number of a state that goes along with the answer.
fn add(states: &mut RVec<UserPresenceState>, state: UserPresenceState) -> u32 {
    let number = u32::MAX - to_u32(states.len());
    states.push(state);
    number
}

#[cfg(test)]
mod tests;

//! The answer to `get_users_for_states`, and the audiences that it names.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use abi_stable::std_types::RString;

use crate::abi::host::{HostApi_TO, HostApiBox};
use crate::abi::router::{RoutesAnswer, Span, SpanAudience};
use crate::abi::state::UserPresenceState;
use crate::updates::{Update, to_index};
use crate::user_id::UserId;

/// A list of users that the host keeps, so that naming them in an answer costs nothing.
///
/// Made by [`ModuleApi::register_audience`](crate::ModuleApi::register_audience), usually once, in `new`.
/// Users may be local or remote. Clones share the list; when the last one is dropped the host forgets it
/// (answers that name it already still count).
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
/// ```
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
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Routes {
    answer: RoutesAnswer,
    /// Added states are numbered behind the batch, whose length is only known when the answer leaves.
    added: Vec<(usize, u32)>,
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

    /// Sends several states of the batch to an audience.
    pub fn send_all<'a>(&mut self, updates: impl IntoIterator<Item = Update<'a>>, to: &Audience) {
        let start = self.answer.updates.len();
        self.answer
            .updates
            .extend(updates.into_iter().map(|update| update.index()));
        if self.answer.updates.len() > start {
            self.keep(to);
            self.close_span(SpanAudience::Registered(to.0.handle));
        }
    }

    /// Sends states of the batch to users who are no registered audience. The list crosses with the
    /// answer: for users who stay the same, a registered [`Audience`] costs less.
    pub fn send_to_users<'a, 'u>(
        &mut self,
        updates: impl IntoIterator<Item = Update<'a>>,
        users: impl IntoIterator<Item = &'u UserId>,
    ) {
        let updates: Vec<u32> = updates.into_iter().map(|update| update.index()).collect();
        self.send_numbers_to_users(&updates, users.into_iter().map(UserId::as_str));
    }

    /// Sends a state that was not in the batch, such as a user's state that a newcomer to the audience
    /// has not seen.
    pub fn send_state(&mut self, state: UserPresenceState, to: &Audience) {
        self.added
            .push((self.answer.updates.len(), to_index(self.answer.states.len())));
        self.answer.updates.push(0);
        self.answer.states.push(state);
        self.keep(to);
        self.close_span(SpanAudience::Registered(to.0.handle));
    }

    /// Folds the form that Synapse's modules answer in, a map of user to states. Users with the same
    /// states become one list.
    pub fn from_map<'a>(map: impl IntoIterator<Item = (UserId, Vec<Update<'a>>)>) -> Self {
        let mut users_of: HashMap<Vec<u32>, Vec<UserId>> = HashMap::new();
        for (user, updates) in map {
            let mut updates: Vec<u32> = updates.iter().map(Update::index).collect();
            updates.sort_unstable();
            updates.dedup();
            users_of.entry(updates).or_default().push(user);
        }
        let mut routes = Self::new();
        for (updates, users) in users_of {
            routes.send_numbers_to_users(&updates, users.iter().map(UserId::as_str));
        }
        routes
    }

    fn send_numbers_to_users<'u>(&mut self, updates: &[u32], users: impl Iterator<Item = &'u str>) {
        if updates.is_empty() {
            return;
        }
        self.answer.updates.extend(updates.iter().copied());
        self.answer.listed_users.extend(users.map(RString::from));
        let list = to_index(self.answer.listed_ends.len());
        self.answer
            .listed_ends
            .push(to_index(self.answer.listed_users.len()));
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
        let end = to_index(self.answer.updates.len());
        match self.answer.spans.last_mut() {
            Some(last) if last.audience == audience => last.end = end,
            _ => self.answer.spans.push(Span { end, audience }),
        }
    }

    /// The answer for a batch of so many states.
    pub(crate) fn into_answer(mut self, batch_len: usize) -> RoutesAnswer {
        let batch_len = to_index(batch_len);
        for (position, state) in self.added {
            if let Some(number) = self.answer.updates.get_mut(position) {
                *number = batch_len.saturating_add(state);
            }
        }
        self.answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeHost, state_updates};

    fn user(name: &str) -> UserId {
        UserId::parse(format!("@{name}:example.org")).expect("a test's user id is valid")
    }

    #[test]
    fn neighbouring_sends_to_one_audience_become_one_span() {
        let host = FakeHost::new("example.org");
        let audience = host.api().register_audience([user("a")]).expect("registers");
        let updates = state_updates(["@x:example.org", "@y:example.org"]);
        let mut routes = Routes::new();
        for update in updates.iter() {
            routes.send(update, &audience);
        }
        let answer = routes.into_answer(2);
        assert_eq!(answer.updates.as_slice(), [0, 1]);
        assert_eq!(answer.spans.len(), 1);
        assert_eq!(answer.spans[0].end, 2);
    }

    #[test]
    fn added_states_are_numbered_behind_the_batch() {
        let host = FakeHost::new("example.org");
        let audience = host.api().register_audience([user("a")]).expect("registers");
        let updates = state_updates(["@x:example.org", "@y:example.org"]);
        let mut routes = Routes::new();
        routes.send_state(UserPresenceState::offline("@z:example.org"), &audience);
        routes.send_all(updates.iter(), &audience);
        let answer = routes.into_answer(2);
        assert_eq!(answer.updates.as_slice(), [2, 0, 1]);
        assert_eq!(answer.states.len(), 1);
    }

    #[test]
    fn a_map_is_folded_so_that_users_with_the_same_states_share_a_list() {
        let updates = state_updates(["@x:example.org", "@y:example.org"]);
        let both: Vec<_> = updates.iter().collect();
        let routes = Routes::from_map([
            (user("a"), both.clone()),
            (user("b"), both.clone()),
            (user("c"), both[..1].to_vec()),
            (user("d"), Vec::new()),
        ]);
        let answer = routes.into_answer(2);
        assert_eq!(answer.listed_ends.len(), 2);
        assert_eq!(answer.listed_users.len(), 3);
        assert_eq!(answer.updates.len(), 3);
    }

    #[test]
    fn sending_nothing_leaves_no_span() {
        let host = FakeHost::new("example.org");
        let audience = host.api().register_audience([user("a")]).expect("registers");
        let mut routes = Routes::new();
        routes.send_all([], &audience);
        routes.send_to_users([], [&user("a")]);
        assert_eq!(routes.into_answer(0), RoutesAnswer::default());
    }
}

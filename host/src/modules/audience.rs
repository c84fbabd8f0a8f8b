//! The lists of users that a module has registered, and the lists that came with its answers.
//!
//! Knows handles and user ids, not who is local or listening. A released list is forgotten only when the
//! calls are over that were running then, as their answers may still name it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use presence_router_api::{InvalidUserId, UserId};

/// How many audiences one module instance may have registered at once.
pub(super) const MAX_AUDIENCES: usize = 65_536;
/// How many users one audience may hold.
pub(super) const MAX_AUDIENCE_USERS: usize = 1_000_000;
/// How many lists that came with answers are kept; the oldest gives way.
const MAX_LISTED: usize = 4_096;

/// The number of an audience, never used twice in a process, over all modules and generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AudienceId(u64);

impl AudienceId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The handle that stands for it on the boundary.
    pub(super) fn handle(self) -> u64 {
        self.0
    }
}

/// A list of users, sorted and without duplicates.
#[derive(Debug, PartialEq, Eq)]
pub struct Audience {
    id: AudienceId,
    users: Box<[UserId]>,
}

impl Audience {
    /// An audience with a new number.
    pub fn new(mut users: Vec<UserId>) -> Self {
        users.sort_unstable();
        users.dedup();
        Self {
            id: AudienceId::next(),
            users: users.into(),
        }
    }

    /// Its number.
    pub fn id(&self) -> AudienceId {
        self.id
    }

    /// Its users.
    pub fn users(&self) -> &[UserId] {
        &self.users
    }

    /// Whether a user is in it.
    pub fn contains(&self, user: &UserId) -> bool {
        self.users.binary_search(user).is_ok()
    }
}

/// Why a list of users was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AudienceError {
    /// One of the users is none.
    #[error("user {index} of the audience: {reason}")]
    BadUserId {
        /// Which one, counted from 0.
        index: usize,
        /// Why.
        reason: InvalidUserId,
    },
    /// The list is longer than a million users.
    #[error("the audience has {0} users, {MAX_AUDIENCE_USERS} are allowed; split it")]
    TooLarge(usize),
    /// There are as many as an instance may have already.
    #[error("{MAX_AUDIENCES} audiences are registered; drop those that are not needed any more")]
    TooMany,
}

/// The audiences of one module instance.
#[derive(Debug, Default)]
pub struct Audiences(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    registered: HashMap<u64, Arc<Audience>>,
    listed: HashMap<Vec<UserId>, Arc<Audience>>,
    listed_order: VecDeque<Vec<UserId>>,
    /// The numbers of the calls that are running, and that of the next one.
    calls: BTreeSet<u64>,
    next_call: u64,
    /// Released handles, each with the number of the first call that cannot name it.
    released: VecDeque<(u64, u64)>,
    forgotten: Vec<AudienceId>,
}

impl Audiences {
    /// Keeps a list of users and names it by the handle that is returned.
    pub fn register<S: AsRef<str>>(
        &self,
        users: impl ExactSizeIterator<Item = S>,
    ) -> Result<u64, AudienceError> {
        if users.len() > MAX_AUDIENCE_USERS {
            return Err(AudienceError::TooLarge(users.len()));
        }
        let users = parse_users(users)?;
        let mut state = self.0.lock();
        if state.registered.len() >= MAX_AUDIENCES {
            return Err(AudienceError::TooMany);
        }
        let audience = Arc::new(Audience::new(users));
        let handle = audience.id().handle();
        state.registered.insert(handle, audience);
        Ok(handle)
    }

    /// The module needs the handle no more. An unknown one is ignored.
    pub fn release(&self, handle: u64) {
        let mut state = self.0.lock();
        let next_call = state.next_call;
        state.released.push_back((next_call, handle));
        state.forget_released();
    }

    /// The audience behind a handle.
    pub fn get(&self, handle: u64) -> Option<Arc<Audience>> {
        self.0.lock().registered.get(&handle).cloned()
    }

    /// The audience of a list that came with an answer. The same list gives the same audience, as long as it
    /// is kept.
    pub fn listed<S: AsRef<str>>(
        &self,
        users: impl Iterator<Item = S>,
    ) -> Result<Arc<Audience>, AudienceError> {
        let mut users = parse_users(users)?;
        users.sort_unstable();
        users.dedup();
        let mut state = self.0.lock();
        if let Some(audience) = state.listed.get(&users) {
            return Ok(Arc::clone(audience));
        }
        if state.listed.len() >= MAX_LISTED {
            let oldest = state.listed_order.pop_front();
            if let Some(audience) = oldest.and_then(|users| state.listed.remove(&users)) {
                state.forgotten.push(audience.id());
            }
        }
        let audience = Arc::new(Audience::new(users.clone()));
        state.listed.insert(users.clone(), Arc::clone(&audience));
        state.listed_order.push_back(users);
        Ok(audience)
    }

    /// Marks a call as running until the guard is dropped: until then nothing that it may name is forgotten.
    pub fn call(&self) -> CallGuard<'_> {
        let mut state = self.0.lock();
        let number = state.next_call;
        state.next_call += 1;
        state.calls.insert(number);
        drop(state);
        CallGuard {
            audiences: self,
            number,
        }
    }

    /// The audiences forgotten since the last time.
    pub fn take_forgotten(&self) -> Vec<AudienceId> {
        std::mem::take(&mut self.0.lock().forgotten)
    }
}

impl State {
    fn forget_released(&mut self) {
        let oldest_call = self.calls.first().copied().unwrap_or(self.next_call);
        while let Some((_, handle)) = self.released.pop_front_if(|(call, _)| *call <= oldest_call) {
            if let Some(audience) = self.registered.remove(&handle) {
                self.forgotten.push(audience.id());
            }
        }
    }
}

/// A running call; see [`Audiences::call`].
#[derive(Debug)]
pub struct CallGuard<'a> {
    audiences: &'a Audiences,
    number: u64,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.audiences.0.lock();
        state.calls.remove(&self.number);
        state.forget_released();
    }
}

fn parse_users<S: AsRef<str>>(users: impl Iterator<Item = S>) -> Result<Vec<UserId>, AudienceError> {
    users
        .enumerate()
        .map(|(index, user)| UserId::parse(user).map_err(|reason| AudienceError::BadUserId { index, reason }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_user_id_is_refused_with_its_place() {
        let error = Audiences::default()
            .register(["@a:b", "bob"].iter())
            .expect_err("bob is no user id");
        assert!(
            error.to_string().starts_with("user 1 of the audience: \"bob\""),
            "{error}"
        );
    }

    #[test]
    fn a_handle_released_during_a_call_still_counts_until_its_end() {
        let audiences = Audiences::default();
        let handle = audiences.register(["@a:b"].iter()).expect("registers");
        let call = audiences.call();
        audiences.release(handle);
        assert!(audiences.get(handle).is_some());
        assert_eq!(audiences.take_forgotten().len(), 0);
        drop(call);
        assert!(audiences.get(handle).is_none());
        assert_eq!(audiences.take_forgotten().len(), 1);
    }

    #[test]
    fn calls_that_follow_upon_each_other_without_a_gap_do_not_keep_what_was_released() {
        let audiences = Audiences::default();
        let handle = audiences.register(["@a:b"].iter()).expect("registers");
        let first = audiences.call();
        audiences.release(handle);
        let second = audiences.call();
        drop(first);
        assert!(audiences.get(handle).is_none());
        assert_eq!(audiences.take_forgotten().len(), 1);
        drop(second);
    }

    #[test]
    fn the_same_list_is_the_same_audience_whatever_its_order() {
        let audiences = Audiences::default();
        let first = audiences.listed(["@a:b", "@c:d"].iter()).expect("valid");
        let again = audiences.listed(["@c:d", "@a:b", "@a:b"].iter()).expect("valid");
        assert_eq!(first.id(), again.id());
        assert_eq!(first.users().len(), 2);
    }

    #[test]
    fn the_oldest_list_gives_way_and_is_reported() {
        let audiences = Audiences::default();
        let first = audiences.listed(["@first:b"].iter()).expect("valid");
        for number in 0..MAX_LISTED {
            audiences.listed([format!("@u{number}:b")].iter()).expect("valid");
        }
        assert_eq!(audiences.take_forgotten(), [first.id()]);
    }
}

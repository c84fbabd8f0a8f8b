//! What the server offers to its modules beyond what the loader itself has: presence, rooms, what is stored. The server's
//! other areas implement it; this one knows none of them.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use presence_router_api::abi::{Failure, FailureKind};
use presence_router_api::{PresenceUpdate, UserId, UserPresenceState};

/// An answer that comes when it is there. It is awaited on the host's runtime, for a bounded time, and to its end also when
/// the module has lost interest.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, ServiceError>> + Send>>;

/// What the server offers to its modules. What a module gives has been checked for its form and its length; whether a user or
/// a room exists has not. No method may wait before it returns its future.
pub trait Services: Send + Sync + 'static {
    /// Has users receive the states of all online local users whom they may see.
    fn send_local_online_presence_to(&self, users: Vec<UserId>) -> Answer<()>;

    /// Sets users' presence, local or remote, in this order.
    fn set_presence_for_users(&self, updates: Vec<PresenceUpdate>) -> Answer<()>;

    /// One state for each user, in this order; offline for one of whom nothing is known.
    fn current_state_for_users(&self, users: Vec<UserId>) -> Answer<Vec<UserPresenceState>>;

    /// Who is in a room, sorted; nobody in a room that is not known.
    fn users_in_room(&self, room_id: String) -> Answer<Vec<UserId>>;

    /// The ids of the rooms that a user is in, sorted.
    fn rooms_for_user(&self, user_id: UserId) -> Answer<Vec<String>>;

    /// The names of the servers that have users in a room, sorted.
    fn hosts_in_room(&self, room_id: String) -> Answer<Vec<String>>;

    /// What a module instance has stored under a key.
    fn get(&self, module: Arc<str>, key: String) -> Answer<Option<Vec<u8>>>;

    /// Stores a value. Answered when it survives a crash.
    fn put(&self, module: Arc<str>, key: String, value: Vec<u8>) -> Answer<()>;

    /// Forgets a key; whether there was one. Answered when that survives a crash.
    fn delete(&self, module: Arc<str>, key: String) -> Answer<bool>;

    /// The first `limit` keys, with their values, that begin with `prefix` and are greater than `after`, by the order of their
    /// bytes.
    fn scan(
        &self,
        module: Arc<str>,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<(String, Vec<u8>)>>;
}

/// Why the server did not do what a module asked for. The texts say why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// It is not to be done.
    #[error("{0}")]
    Refused(String),
    /// It is larger than is allowed.
    #[error("{0}")]
    TooLarge(String),
    /// It cannot be done now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Refused(text) => Self::error(text),
            ServiceError::TooLarge(text) => Self::new(FailureKind::TOO_LARGE, text),
            ServiceError::Unavailable(text) => Self::new(FailureKind::UNAVAILABLE, text),
        }
    }
}

/// A server that offers nothing: for what runs modules without one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NoServices;

fn none<T: Send + 'static>() -> Answer<T> {
    Box::pin(ready(Err(ServiceError::Unavailable(
        "this server does not offer it to its modules".to_owned(),
    ))))
}

impl Services for NoServices {
    fn send_local_online_presence_to(&self, _: Vec<UserId>) -> Answer<()> {
        none()
    }

    fn set_presence_for_users(&self, _: Vec<PresenceUpdate>) -> Answer<()> {
        none()
    }

    fn current_state_for_users(&self, _: Vec<UserId>) -> Answer<Vec<UserPresenceState>> {
        none()
    }

    fn users_in_room(&self, _: String) -> Answer<Vec<UserId>> {
        none()
    }

    fn rooms_for_user(&self, _: UserId) -> Answer<Vec<String>> {
        none()
    }

    fn hosts_in_room(&self, _: String) -> Answer<Vec<String>> {
        none()
    }

    fn get(&self, _: Arc<str>, _: String) -> Answer<Option<Vec<u8>>> {
        none()
    }

    fn put(&self, _: Arc<str>, _: String, _: Vec<u8>) -> Answer<()> {
        none()
    }

    fn delete(&self, _: Arc<str>, _: String) -> Answer<bool> {
        none()
    }

    fn scan(&self, _: Arc<str>, _: String, _: Option<String>, _: u32) -> Answer<Vec<(String, Vec<u8>)>> {
        none()
    }
}

//! What is stored, as plain data. Knows no SQL.

use std::sync::Arc;

use presence_router_api::UserId;

use crate::presence::UserPresence;

/// The presence of a user, local or remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPresence {
    /// Whose it is.
    pub user_id: UserId,
    /// What others see.
    pub presence: UserPresence,
    /// The position of the last change of this user that was worth telling.
    pub change: u64,
}

/// The newest change of a user that a module has routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoute {
    /// The name of the module's instance.
    pub module: Arc<str>,
    /// Whose change it is.
    pub user_id: UserId,
    /// The position of the change.
    pub change: u64,
    /// The position at which it was routed.
    pub position: u64,
}

/// What is known of a room between two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Which room.
    pub room_id: String,
    /// A hash of its members.
    pub digest: [u8; 32],
    /// The position at which its members last changed.
    pub changed: u64,
}

/// An instance of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModule {
    /// The name of the instance.
    pub name: Arc<str>,
    /// What its routes depend on.
    pub fingerprint: String,
    /// The position from which on it has routed with this fingerprint. What is stored of an earlier position, another has
    /// routed.
    pub since: u64,
}

/// What has changed and is to be stored. Of each user, room and module the newest is kept.
///
/// Numbers beyond `i64::MAX` are stored as `i64::MAX`: a position or a time never comes near it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes {
    /// By user.
    pub presence: Vec<StoredPresence>,
    /// By module and user.
    pub routed: Vec<StoredRoute>,
    /// By user: the position at which a module last asked that they get a full snapshot.
    pub snapshots: Vec<(UserId, u64)>,
    /// By room.
    pub rooms: Vec<StoredRoom>,
    /// Positions up to this one may be in use. What is lower than the stored one counts for nothing.
    pub reserved: Option<u64>,
    /// By name.
    pub modules: Vec<StoredModule>,
}

/// What was stored when the database was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Ordered by user.
    pub presence: Vec<StoredPresence>,
    /// Ordered by module, then by user.
    pub routed: Vec<StoredRoute>,
    /// Ordered by user.
    pub snapshots: Vec<(UserId, u64)>,
    /// Ordered by room.
    pub rooms: Vec<StoredRoom>,
    /// Positions up to this one may have been in use; 0 when there were none.
    pub reserved: u64,
    /// Ordered by name.
    pub modules: Vec<StoredModule>,
}

//! What is stored, as plain data. Knows no SQL.

use std::sync::Arc;

use presence_router_api::UserId;

use crate::presence::{UserKey, UserPresence};

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

/// The newest state of a user, which waits to be sent to another homeserver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutgoing {
    /// The name of the homeserver.
    pub server: Arc<str>,
    /// Whose state it is.
    pub user_id: UserId,
    /// 0: whatever the state is by then, for the user shares a room with somebody of that homeserver. Otherwise it is to
    /// be sent only as long as the user's last change is this position.
    pub change: u64,
}

/// How another homeserver was reached last. Times are in ms since the Unix epoch; 0 is never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDestination {
    /// The name of the homeserver.
    pub server: Arc<str>,
    /// When it last took what was sent.
    pub succeeded_ts: u64,
    /// When it last did not.
    pub failed_ts: u64,
    /// Until when nothing is to be sent to it.
    pub retry_ts: u64,
    /// How often in a row it did not take what was sent.
    pub failures: u32,
}

/// What has changed and is to be stored. Of each user, room, module and homeserver the newest is kept.
///
/// Numbers beyond `i64::MAX` are stored as `i64::MAX`: a position or a time never comes near it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes {
    /// By user, whose number in this run it is: finding by it what waits already takes less than by an id.
    pub presence: Vec<(UserKey, StoredPresence)>,
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
    /// By homeserver and user: waits no more. What is in `outgoing` of the same writes came after it.
    pub sent: Vec<(Arc<str>, UserId)>,
    /// By homeserver and user: waits from now on.
    pub outgoing: Vec<StoredOutgoing>,
    /// By homeserver.
    pub destinations: Vec<StoredDestination>,
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
    /// Ordered by homeserver, then by user.
    pub outgoing: Vec<StoredOutgoing>,
    /// Ordered by homeserver.
    pub destinations: Vec<StoredDestination>,
}

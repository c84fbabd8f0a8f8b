//! Who asks.

use presence_router_api::UserId;

use crate::directory::Revocation;
use crate::presence::{DeviceId, UserKey};

/// A request's sender, by their access token.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who they are.
    pub user_id: UserId,
    /// Their device.
    pub device_id: DeviceId,
    pub(super) user: UserKey,
    pub(super) revoked: Revocation,
}

/// Whose presence is asked for by whom.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) user_id: &'a UserId,
    pub(super) user: UserKey,
}

impl Session {
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            user_id: &self.user_id,
            user: self.user,
        }
    }
}

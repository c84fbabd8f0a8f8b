//! Where users, tokens and rooms come from. What changes comes as events, so that all that follows from a membership is in one
//! place, whoever tells of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use presence_router_api::UserId;
use tokio_util::sync::CancellationToken;

use crate::presence::DeviceId;

/// A future of a source.
pub type Told<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that knows the users and rooms of a homeserver: the config, or a homeserver.
pub trait Source: Send + Sync + 'static {
    /// Who stands behind an access token, if anybody.
    fn token_owner<'a>(&'a self, access_token: &'a str) -> Told<'a, Option<TokenOwner>>;

    /// What has changed since the last answer, in order; the first answers, which come without waiting, say how things stand. An
    /// answer is a piece of what there is to say, and never empty. Waits until there is something. Dropping the future loses
    /// nothing.
    fn changes(&self) -> Told<'_, Vec<Event>>;
}

/// Who stands behind an access token.
#[derive(Debug, Clone)]
pub struct TokenOwner {
    /// The user.
    pub user_id: UserId,
    /// Their device.
    pub device_id: DeviceId,
    /// Told when the token is no longer good: what waits in its name then ends.
    pub revoked: Revocation,
}

/// Whether a token is good no more. Clones are of the same token.
#[derive(Debug, Clone, Default)]
pub struct Revocation(Arc<CancellationToken>);

impl Revocation {
    /// Waits until the token is good no more.
    pub async fn revoked(&self) {
        self.0.cancelled().await;
    }

    /// Whether the token is good no more.
    pub fn is_revoked(&self) -> bool {
        self.0.is_cancelled()
    }

    pub(super) fn revoke(&self) {
        self.0.cancel();
    }

    /// Whether somebody else has a clone.
    pub(super) fn is_watched(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// A change of who there is, and of who is where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is a user of this homeserver.
    UserAdded(UserId),
    /// There is no such user any more.
    UserRemoved(UserId),
    /// A user, local or remote, is in a room.
    Joined {
        /// The room.
        room_id: Arc<str>,
        /// Who.
        user_id: UserId,
    },
    /// A user is not in a room any more.
    Left {
        /// The room.
        room_id: Arc<str>,
        /// Who.
        user_id: UserId,
    },
}

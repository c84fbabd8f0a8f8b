//! Where users, tokens and rooms come from. What changes comes as events, so that all that follows from a membership is in one
//! place, whoever tells of it.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use presence_router_api::UserId;
use tokio_util::sync::CancellationToken;

use crate::presence::{DeviceId, UserKey};

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
pub struct Revocation(Arc<Token>);

#[derive(Debug, Default)]
struct Token {
    /// Set before the watchers are told, so that who comes to watch later sees it.
    is_revoked: AtomicBool,
    revoked: CancellationToken,
    /// In a server, one.
    watchers: Mutex<Vec<Watching>>,
}

/// Who is told when tokens are good no more.
pub trait Watcher: Debug + Send + Sync {
    /// A token of a user, whose number this is to who watches, is good no more.
    fn revoked(&self, user: UserKey);
}

#[derive(Debug)]
struct Watching {
    watcher: Weak<dyn Watcher>,
    user: UserKey,
}

impl Revocation {
    /// From now on, this watcher is told when the token is good no more, under this user's number. Once is enough, and more
    /// changes nothing.
    pub fn watch<W: Watcher + 'static>(&self, watcher: &Arc<W>, user: UserKey) {
        let mut watchers = self.0.watchers.lock();
        // As long as a reference is there, even a weak one, nothing else is put in its place.
        let is_it = |known: &Watching| ptr::addr_eq(known.watcher.as_ptr(), Arc::as_ptr(watcher));
        if !watchers.iter().any(is_it) {
            let watcher: Weak<W> = Arc::downgrade(watcher);
            watchers.push(Watching { watcher, user });
        }
    }

    /// Waits until the token is good no more.
    pub async fn revoked(&self) {
        self.0.revoked.cancelled().await;
    }

    /// Whether the token is good no more. Who [watches](Self::watch) it, and then asks, has missed nothing.
    pub fn is_revoked(&self) -> bool {
        self.0.is_revoked.load(Ordering::Acquire)
    }

    pub(super) fn revoke(&self) {
        self.0.is_revoked.store(true, Ordering::Release);
        self.0.revoked.cancel();
        let watchers = std::mem::take(&mut *self.0.watchers.lock());
        for Watching { watcher, user } in watchers {
            if let Some(watcher) = watcher.upgrade() {
                watcher.revoked(user);
            }
        }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Revocation, Watcher};
    use crate::presence::UserKey;

    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<UserKey>>);

    impl Watcher for Told {
        fn revoked(&self, user: UserKey) {
            self.0.lock().expect("no panic").push(user);
        }
    }

    #[test]
    fn each_watcher_is_told_once_and_one_that_is_gone_is_not_missed() {
        let revocation = Revocation::default();
        let [one, gone, other] = [Told::default(), Told::default(), Told::default()].map(Arc::new);
        for (watcher, user) in [(&one, 1), (&gone, 2), (&other, 3), (&one, 1)] {
            revocation.clone().watch(watcher, UserKey(user));
        }
        drop(gone);
        assert!(!revocation.is_revoked());
        revocation.revoke();
        assert!(revocation.is_revoked());
        assert_eq!(*one.0.lock().expect("no panic"), [UserKey(1)]);
        assert_eq!(*other.0.lock().expect("no panic"), [UserKey(3)]);
    }
}

//! Asks the modules whom a user may see: on a first sync, to catch up, and for one user's presence.
//!
//! This is the flow of Synapse's module documentation: `get_interested_users` says whose presence is fetched; for
//! everybody's, the states are fed through `get_users_for_states` and the user's part is taken.

use std::sync::Arc;

use futures_util::future::join_all;
use presence_router_api::InterestedUsers;

use crate::delivery::ModuleTag;
use crate::engine::feed::{Feed, with_source};
use crate::engine::world::World;
use crate::engine::{Reader, Shared};
use crate::modules::{CallError, MAX_BATCH, Running};
use crate::presence::UserKey;

/// Which users' states are wanted.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// Everybody's.
    Everybodys,
    /// Of everybody who is not offline, and of these; sorted.
    NotOfflineAnd(Vec<UserKey>),
    /// Of these; sorted.
    Of(Vec<UserKey>),
}

impl Wanted {
    fn has(&self, world: &World, user: UserKey) -> bool {
        match self {
            Self::Everybodys => true,
            Self::NotOfflineAnd(others) => world.is_online(user) || others.binary_search(&user).is_ok(),
            Self::Of(users) => users.binary_search(&user).is_ok(),
        }
    }
}

/// What a module says: the users whom the reader may see by it, and who are wanted. Not those who are seen anyway. `None` when
/// it has not answered.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) module: ModuleTag,
    pub(super) users: Option<Vec<UserKey>>,
}

impl Shared {
    /// Asks these modules at once, each for what is wanted of it. An error in one is logged, and the others' answers count.
    /// Nobody answers any more when the server stops.
    pub(super) async fn fetch(&self, reader: Reader<'_>, asked: Vec<(Arc<Feed>, Wanted)>) -> Vec<Fetched> {
        let asking = asked.iter().map(|(feed, wanted)| async move {
            let users = tokio::select! {
                users = self.fetch_from(feed, reader, wanted) => users,
                () = self.stop.cancelled() => return None,
            };
            users.map_err(|failure| log_failure(feed, reader, &failure)).ok()
        });
        let answers = join_all(asking).await;
        let modules = asked.iter().map(|(feed, _)| feed.tag());
        modules
            .zip(answers)
            .map(|(module, users)| Fetched { module, users })
            .collect()
    }

    /// Whether a module shows `user` to the reader.
    pub(super) async fn routes_to(&self, reader: Reader<'_>, user: UserKey) -> bool {
        let feeds = self.feeds();
        let asked = feeds.iter().map(Arc::clone);
        let wanted = asked.map(|feed| (feed, Wanted::Of(vec![user]))).collect();
        let answers = self.fetch(reader, wanted).await;
        answers
            .iter()
            .filter_map(|answer| answer.users.as_ref())
            .any(|users| !users.is_empty())
    }

    async fn fetch_from(
        &self,
        feed: &Feed,
        reader: Reader<'_>,
        wanted: &Wanted,
    ) -> Result<Vec<UserKey>, Failure> {
        let module = feed.lease();
        let interested = module.get_interested_users(reader.user_id).await;
        match interested.map_err(Failure::of("get_interested_users"))? {
            InterestedUsers::Users(users) => {
                let world = self.world.read();
                let rooms = world.shared_rooms();
                let users = users.iter().filter_map(|user| world.directory.key(user.as_str()));
                Ok(users
                    .filter(|user| wanted.has(&world, *user))
                    .filter(|user| !rooms.shows(reader.user, *user))
                    .collect())
            }
            InterestedUsers::All => self.fetch_part_of_all(&module, reader, wanted).await,
        }
    }

    /// Feeds the wanted states through the module, and takes the reader's part.
    async fn fetch_part_of_all(
        &self,
        module: &Running,
        reader: Reader<'_>,
        wanted: &Wanted,
    ) -> Result<Vec<UserKey>, Failure> {
        let candidates = self.candidates(reader, wanted);
        let mut users = Vec::new();
        for chunk in candidates.chunks(MAX_BATCH) {
            let (asked, states): (Vec<_>, Vec<_>) = {
                let world = self.world.read();
                chunk
                    .iter()
                    .filter_map(|user| Some((*user, world.crossing(*user)?)))
                    .unzip()
            };
            let routed = module
                .get_users_for_states(states, Some(reader.user_id))
                .await
                .map_err(Failure::of("get_users_for_states"))?;
            let part = routed.part_of(reader.user_id);
            users.extend(part.iter().filter_map(|number| asked.get(*number as usize)));
        }
        Ok(users)
    }

    fn candidates(&self, reader: Reader<'_>, wanted: &Wanted) -> Vec<UserKey> {
        let world = self.world.read();
        let rooms = world.shared_rooms();
        let unseen = |user: &UserKey| !rooms.shows(reader.user, *user);
        match wanted {
            Wanted::Everybodys | Wanted::NotOfflineAnd(_) => world
                .directory
                .users()
                .filter(|user| wanted.has(&world, *user))
                .filter(unseen)
                .collect(),
            Wanted::Of(users) => users.iter().copied().filter(unseen).collect(),
        }
    }
}

/// A call that gave no answer.
struct Failure {
    method: &'static str,
    error: CallError,
}

impl Failure {
    fn of(method: &'static str) -> impl Fn(CallError) -> Self {
        move |error| Self { method, error }
    }
}

fn log_failure(feed: &Feed, reader: Reader<'_>, Failure { method, error }: &Failure) {
    let (module, user) = (&**feed.name(), reader.user_id);
    if let CallError::Quarantined(_) | CallError::Off = error {
        // Said once, by the call after which it is so.
        tracing::debug!(module, method, %user, "{error}");
    } else {
        tracing::error!(module, method, %user, "{}; {user} is served without it", with_source(error));
    }
}

//! Asks the modules whom a user may see: on a first sync, to catch up, and for one user's presence.
//!
//! This is the flow of Synapse's module documentation: `get_interested_users` says whose presence is fetched; for
//! everybody's, the states are fed through `get_users_for_states` and the user's part is taken.

use futures_util::future::join_all;
use presence_router_api::{InterestedUsers, PresenceState};

use crate::engine::feed::{Feed, with_source};
use crate::engine::{Session, Shared};
use crate::modules::{CallError, MAX_BATCH};
use crate::presence::UserKey;

/// Which users' states are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// Of everybody who is not offline, and of these; sorted.
    NotOfflineAnd(&'a [UserKey]),
    /// Of these; sorted.
    Of(&'a [UserKey]),
}

/// What the modules say.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// Users whom the reader may see by the modules, and who are wanted; sorted. Not those who are seen anyway.
    pub(super) users: Vec<UserKey>,
    /// Whether each module has answered.
    pub(super) complete: bool,
}

impl Shared {
    /// Asks all modules at once. An error in one is logged, and the others' answers count. Nobody answers any more when
    /// the server stops.
    pub(super) async fn fetch(&self, reader: &Session, wanted: Wanted<'_>) -> Fetched {
        let asking = self
            .feeds
            .iter()
            .map(|feed| self.fetch_from(feed, reader, wanted));
        let answers = tokio::select! {
            answers = join_all(asking) => answers,
            () = self.stop.cancelled() => return Fetched::default(),
        };
        let mut fetched = Fetched {
            users: Vec::new(),
            complete: true,
        };
        for (feed, answer) in self.feeds.iter().zip(answers) {
            match answer {
                Ok(users) => fetched.users.extend(users),
                Err(failure) => {
                    fetched.complete = false;
                    log_failure(feed, reader, &failure);
                }
            }
        }
        fetched.users.sort_unstable();
        fetched.users.dedup();
        fetched
    }

    /// Whether a module shows `user` to the reader.
    pub(super) async fn routes_to(&self, reader: &Session, user: UserKey) -> bool {
        !self.feeds.is_empty() && !self.fetch(reader, Wanted::Of(&[user])).await.users.is_empty()
    }

    async fn fetch_from(
        &self,
        feed: &Feed,
        reader: &Session,
        wanted: Wanted<'_>,
    ) -> Result<Vec<UserKey>, Failure> {
        let interested = feed.module().get_interested_users(&reader.user_id).await;
        match interested.map_err(Failure::of("get_interested_users"))? {
            InterestedUsers::Users(users) => {
                let users = users.iter().filter_map(|user| self.directory.key(user.as_str()));
                let world = self.world.read();
                Ok(users
                    .filter(|user| match wanted {
                        Wanted::NotOfflineAnd(others) => {
                            world.presence.state(*user).state != PresenceState::Offline
                                || others.binary_search(user).is_ok()
                        }
                        Wanted::Of(wanted) => wanted.binary_search(user).is_ok(),
                    })
                    .filter(|user| !self.shared_rooms().shows(reader.user, *user))
                    .collect())
            }
            InterestedUsers::All => self.fetch_part_of_all(feed, reader, wanted).await,
        }
    }

    /// Feeds the wanted states through the module, and takes the reader's part.
    async fn fetch_part_of_all(
        &self,
        feed: &Feed,
        reader: &Session,
        wanted: Wanted<'_>,
    ) -> Result<Vec<UserKey>, Failure> {
        let candidates = self.candidates(reader, wanted);
        let mut users = Vec::new();
        for chunk in candidates.chunks(MAX_BATCH) {
            let (asked, states): (Vec<_>, Vec<_>) = {
                let world = self.world.read();
                chunk
                    .iter()
                    .filter_map(|user| Some((*user, self.crossing(*user, world.presence.state(*user))?)))
                    .unzip()
            };
            let routed = feed
                .module()
                .get_users_for_states(states, Some(&reader.user_id))
                .await
                .map_err(Failure::of("get_users_for_states"))?;
            let part = routed.part_of(&reader.user_id);
            users.extend(part.iter().filter_map(|number| asked.get(*number as usize)));
        }
        Ok(users)
    }

    fn candidates(&self, reader: &Session, wanted: Wanted<'_>) -> Vec<UserKey> {
        let rooms = self.shared_rooms();
        let unseen = |user: &UserKey| !rooms.shows(reader.user, *user);
        match wanted {
            Wanted::NotOfflineAnd(others) => {
                let world = self.world.read();
                (0..self.directory.user_count())
                    .map(UserKey)
                    .filter(|user| {
                        world.presence.state(*user).state != PresenceState::Offline
                            || others.binary_search(user).is_ok()
                    })
                    .filter(unseen)
                    .collect()
            }
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

fn log_failure(feed: &Feed, reader: &Session, Failure { method, error }: &Failure) {
    let (module, user) = (&feed.module().identity().name, &reader.user_id);
    if let CallError::Quarantined(_) = error {
        // Said once, by the call that overran.
        tracing::debug!(module, method, %user, "{error}");
    } else {
        tracing::error!(module, method, %user, "{}; {user} is served without it", with_source(error));
    }
}

//! Presence that a module reads, sets, and has sent.

use std::future::Future;

use abi_stable::std_types::{ROption, RString, RVec};

use super::ModuleApi;
use crate::abi::requests::PresenceSetting;
use crate::abi::state::{PresenceState, UserPresenceState};
use crate::error::ApiError;
use crate::user_id::UserId;

/// A presence that a module sets: [`ModuleApi::set_presence_for_users`].
///
/// ```
/// use presence_router_api::{PresenceState, PresenceUpdate, UserId};
///
/// let update = PresenceUpdate::new(UserId::parse("@alice:example.org")?, PresenceState::Busy);
/// assert_eq!(update.status_msg, None);
/// assert_eq!(update.with_status_msg("on call").status_msg.as_deref(), Some("on call"));
/// # Ok::<(), presence_router_api::InvalidUserId>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceUpdate {
    /// Whose presence.
    pub user_id: UserId,
    /// What they are from now on.
    pub state: PresenceState,
    /// What they say of it; `None` clears what they said before.
    pub status_msg: Option<String>,
}

impl PresenceUpdate {
    /// A state without a status message.
    pub fn new(user_id: UserId, state: PresenceState) -> Self {
        Self {
            user_id,
            state,
            status_msg: None,
        }
    }

    /// The same with a status message.
    #[must_use]
    pub fn with_status_msg(mut self, text: impl Into<String>) -> Self {
        self.status_msg = Some(text.into());
        self
    }
}

impl ModuleApi {
    /// Has users receive the presence of all online local users whom they may see. As in Synapse's
    /// `send_local_online_presence_to`.
    ///
    /// To be called when somebody has become a recipient: they have missed what came before. Local users get it with
    /// their next `/sync`, each of their devices once; users of other homeservers at once, over federation. Offline
    /// states are never part of it, and nobody's status message is touched.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, ModuleApi, UserId};
    /// async fn welcome(api: &ModuleApi, newcomer: UserId) -> Result<(), ApiError> {
    ///     api.send_local_online_presence_to([newcomer]).await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::TooLarge`] for more than a million users, [`ApiError::ShutDown`] after `shutdown`, and what
    /// is said [above](Self#what-waits).
    pub fn send_local_online_presence_to(
        &self,
        users: impl IntoIterator<Item = UserId>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send + 'static {
        let users = ids(users);
        let answer = self.ask(move |host| host.send_local_online_presence_to(users));
        async move { Ok(answer.await?) }
    }

    /// Sets the presence of users, local or remote. As in Synapse's `set_presence_for_users`.
    ///
    /// For a local user it is as if one more device of theirs had said so: the usual timeouts apply, and a client of the
    /// user that is more active may outdo it. Applied in the order given.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, ModuleApi, PresenceState, PresenceUpdate, UserId};
    /// async fn begin_call(api: &ModuleApi, who: [UserId; 2]) -> Result<(), ApiError> {
    ///     let on_call = |user| PresenceUpdate::new(user, PresenceState::Busy).with_status_msg("on call");
    ///     api.set_presence_for_users(who.map(on_call)).await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::TooLarge`] for more than a million users or a status message that is too long (nothing is set then),
    /// [`ApiError::ShutDown`] after `shutdown`, and what is said [above](Self#what-waits).
    pub fn set_presence_for_users(
        &self,
        updates: impl IntoIterator<Item = PresenceUpdate>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send + 'static {
        let updates: RVec<PresenceSetting> = updates.into_iter().map(PresenceSetting::from).collect();
        let answer = self.ask(move |host| host.set_presence_for_users(updates));
        async move { Ok(answer.await?) }
    }

    /// The newest state of each user, one for each that was asked for, in their order. One of whom nothing is known is
    /// [offline](UserPresenceState::offline).
    ///
    /// ```
    /// # use presence_router_api::{ApiError, ModuleApi, PresenceState, UserId};
    /// async fn is_online(api: &ModuleApi, user: UserId) -> Result<bool, ApiError> {
    ///     let states = api.current_state_for_users([user]).await?;
    ///     Ok(states.iter().any(|state| state.state >= PresenceState::Online))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::TooLarge`] for more than a million users, [`ApiError::ShutDown`] after `shutdown`, and what
    /// is said [above](Self#what-waits).
    pub fn current_state_for_users(
        &self,
        users: impl IntoIterator<Item = UserId>,
    ) -> impl Future<Output = Result<Vec<UserPresenceState>, ApiError>> + Send + 'static {
        let users = ids(users);
        let answer = self.ask(move |host| host.current_state_for_users(users));
        async move { Ok(answer.await?.into_vec()) }
    }
}

fn ids(users: impl IntoIterator<Item = UserId>) -> RVec<RString> {
    users
        .into_iter()
        .map(|user| RString::from(user.as_str()))
        .collect()
}

impl From<PresenceUpdate> for PresenceSetting {
    fn from(update: PresenceUpdate) -> Self {
        Self {
            user_id: RString::from(update.user_id.as_str()),
            state: update.state,
            status_msg: ROption::from(update.status_msg.map(RString::from)),
        }
    }
}

impl TryFrom<PresenceSetting> for PresenceUpdate {
    type Error = crate::user_id::InvalidUserId;

    fn try_from(setting: PresenceSetting) -> Result<Self, Self::Error> {
        Ok(Self {
            user_id: UserId::try_from(setting.user_id.into_string())?,
            state: setting.state,
            status_msg: setting.status_msg.into_option().map(RString::into_string),
        })
    }
}

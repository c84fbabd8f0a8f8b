//! Who is in which room.

use std::future::Future;

use abi_stable::std_types::{RString, RVec};

use super::ModuleApi;
use crate::error::ApiError;
use crate::user_id::UserId;

impl ModuleApi {
    /// Who is in a room, local and remote, sorted. A room that the host does not know has nobody.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, Audience, ModuleApi};
    /// async fn members(api: &ModuleApi, room_id: &str) -> Result<Audience, ApiError> {
    ///     let members = api.get_users_in_room(room_id).await?;
    ///     api.register_audience(members)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::ShutDown`] after `shutdown`, and what is said [above](Self#what-waits).
    pub fn get_users_in_room(
        &self,
        room_id: &str,
    ) -> impl Future<Output = Result<Vec<UserId>, ApiError>> + Send + 'static + use<> {
        let room_id = RString::from(room_id);
        let answer = self.ask(move |host| host.get_users_in_room(room_id));
        async move {
            let users = answer.await?;
            users
                .into_iter()
                .map(|user| UserId::try_from(user.into_string()))
                .collect::<Result<_, _>>()
                .map_err(|error| ApiError::Refused(format!("the host's answer is wrong: {error}")))
        }
    }

    /// The ids of the rooms that a user is in, sorted. A user whom the host does not know is in none.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, ModuleApi, UserId};
    /// async fn is_alone(api: &ModuleApi, user: &UserId) -> Result<bool, ApiError> {
    ///     Ok(api.get_rooms_for_user(user).await?.is_empty())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::ShutDown`] after `shutdown`, and what is said [above](Self#what-waits).
    pub fn get_rooms_for_user(
        &self,
        user_id: &UserId,
    ) -> impl Future<Output = Result<Vec<String>, ApiError>> + Send + 'static + use<> {
        let user_id = RString::from(user_id.as_str());
        let answer = self.ask(move |host| host.get_rooms_for_user(user_id));
        async move { Ok(texts(answer.await?)) }
    }

    /// The names of the homeservers that have users in a room, sorted; ours is one of them when it has. A room that the
    /// host does not know has none. As in Synapse's `get_current_hosts_in_room`, which sorts otherwise.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, ModuleApi};
    /// async fn is_federated(api: &ModuleApi, room_id: &str) -> Result<bool, ApiError> {
    ///     let hosts = api.get_current_hosts_in_room(room_id).await?;
    ///     Ok(hosts.iter().any(|host| !api.is_mine(host)))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::ShutDown`] after `shutdown`, and what is said [above](Self#what-waits).
    pub fn get_current_hosts_in_room(
        &self,
        room_id: &str,
    ) -> impl Future<Output = Result<Vec<String>, ApiError>> + Send + 'static + use<> {
        let room_id = RString::from(room_id);
        let answer = self.ask(move |host| host.get_current_hosts_in_room(room_id));
        async move { Ok(texts(answer.await?)) }
    }
}

fn texts(texts: RVec<RString>) -> Vec<String> {
    texts.into_iter().map(RString::into_string).collect()
}

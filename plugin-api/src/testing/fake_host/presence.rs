//! The presence and the rooms that the fake host knows.

use std::collections::{BTreeMap, BTreeSet};

use abi_stable::std_types::{RString, RVec};

use super::{FakeHost, Service};
use crate::abi::bounds::check_users;
use crate::abi::failure::Failure;
use crate::abi::requests::PresenceSetting;
use crate::abi::state::{PresenceState, UserPresenceState};
use crate::module_api::presence::PresenceUpdate;

#[derive(Default)]
pub(super) struct Presence {
    states: BTreeMap<String, UserPresenceState>,
    set: Vec<PresenceUpdate>,
    snapshots: Vec<Vec<String>>,
}

/// The members of each room.
pub(super) type Rooms = BTreeMap<String, BTreeSet<String>>;

impl FakeHost {
    /// A user is so from now on: what [`ModuleApi::current_state_for_users`] answers. No router is asked to route it.
    ///
    /// ```
    /// use presence_router_api::testing::FakeHost;
    /// use presence_router_api::{PresenceState, UserPresenceState};
    ///
    /// let host = FakeHost::new("example.org");
    /// let online = UserPresenceState {
    ///     state: PresenceState::Online,
    ///     ..UserPresenceState::offline("@alice:example.org")
    /// };
    /// host.set_state(online.clone());
    /// assert_eq!(host.state_of("@alice:example.org"), online);
    /// assert_eq!(host.state_of("@bob:example.org").state, PresenceState::Offline);
    /// ```
    ///
    /// [`ModuleApi::current_state_for_users`]: crate::ModuleApi::current_state_for_users
    pub fn set_state(&self, state: UserPresenceState) {
        self.state()
            .presence
            .states
            .insert(state.user_id.to_string(), state);
    }

    /// What a user is, by [`set_state`](Self::set_state) or by the module; offline if neither said so.
    pub fn state_of(&self, user: &str) -> UserPresenceState {
        let state = self.state().presence.states.get(user).cloned();
        state.unwrap_or_else(|| UserPresenceState::offline(user))
    }

    /// All that the module has set, in its order.
    pub fn presence_set(&self) -> Vec<PresenceUpdate> {
        self.state().presence.set.clone()
    }

    /// To whom the module had the presence of online users sent: one list for each time that it asked.
    pub fn snapshots_asked(&self) -> Vec<Vec<String>> {
        self.state().presence.snapshots.clone()
    }

    /// These users, and no others, are in a room from now on. Without users, the room is gone.
    ///
    /// ```
    /// use presence_router_api::testing::FakeHost;
    ///
    /// let host = FakeHost::new("example.org");
    /// host.set_room("!lobby:example.org", ["@alice:example.org", "@bob:other.example"]);
    /// ```
    pub fn set_room<U: Into<String>>(&self, room_id: &str, members: impl IntoIterator<Item = U>) {
        let members: BTreeSet<String> = members.into_iter().map(Into::into).collect();
        let mut state = self.state();
        if members.is_empty() {
            state.rooms.remove(room_id);
        } else {
            state.rooms.insert(room_id.to_owned(), members);
        }
    }

    pub(super) fn send_snapshots(&self, users: RVec<RString>) -> Result<(), Failure> {
        self.serving(Service::Presence)?;
        check_users(users.len())?;
        let users = users.into_iter().map(RString::into_string).collect();
        self.state().presence.snapshots.push(users);
        Ok(())
    }

    pub(super) fn set_presence(&self, updates: RVec<PresenceSetting>) -> Result<(), Failure> {
        self.serving(Service::Presence)?;
        check_users(updates.len())?;
        let now = crate::abi::host::HostApi::now_ms(self);
        for setting in updates {
            let state = UserPresenceState {
                state: setting.state,
                last_active_ts: now,
                status_msg: setting.status_msg.clone(),
                currently_active: setting.state >= PresenceState::Online,
                ..self.state_of(&setting.user_id)
            };
            let update =
                PresenceUpdate::try_from(setting).map_err(|error| Failure::error(error.to_string()))?;
            self.set_state(state);
            self.state().presence.set.push(update);
        }
        Ok(())
    }

    pub(super) fn current_states(&self, users: &RVec<RString>) -> Result<RVec<UserPresenceState>, Failure> {
        self.serving(Service::Presence)?;
        check_users(users.len())?;
        Ok(users.iter().map(|user| self.state_of(user)).collect())
    }

    pub(super) fn users_in(&self, room_id: &str) -> Result<RVec<RString>, Failure> {
        self.serving(Service::Rooms)?;
        let state = self.state();
        let members = state.rooms.get(room_id).into_iter().flatten();
        Ok(members.map(|user| RString::from(user.as_str())).collect())
    }

    pub(super) fn rooms_of(&self, user: &str) -> Result<RVec<RString>, Failure> {
        self.serving(Service::Rooms)?;
        let state = self.state();
        let rooms = state.rooms.iter().filter(|(_, members)| members.contains(user));
        Ok(rooms.map(|(room, _)| RString::from(room.as_str())).collect())
    }

    pub(super) fn hosts_in(&self, room_id: &str) -> Result<RVec<RString>, Failure> {
        let hosts: BTreeSet<String> = self
            .users_in(room_id)?
            .iter()
            .filter_map(|user| Some(user.split_once(':')?.1.to_owned()))
            .collect();
        Ok(hosts.into_iter().map(RString::from).collect())
    }
}

//! `UserPresenceState`, the unit that crosses in both directions. Frozen: a slice of it cannot grow.

use std::fmt;

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RString};

/// A presence state, in the order in which devices are merged: a user with several devices has the
/// greatest of their states.
///
/// `busy` is [MSC3026]; the others are the [Matrix specification]'s.
///
/// [Matrix specification]: https://spec.matrix.org/v1.16/client-server-api/#presence
/// [MSC3026]: https://github.com/matrix-org/matrix-spec-proposals/pull/3026
#[repr(u8)]
#[derive(StableAbi, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PresenceState {
    /// Not connected.
    Offline = 0,
    /// Connected, but idle.
    Unavailable = 1,
    /// Connected and, now or a while ago, active.
    Online = 2,
    /// Connected, and not to be disturbed.
    Busy = 3,
}

impl PresenceState {
    /// The name on the wire, such as `online`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Unavailable => "unavailable",
            Self::Online => "online",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for PresenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The presence of one user, as Synapse's [`UserPresenceState`] has it. Times are milliseconds since
/// the Unix epoch, by the host's clock; 0 means never.
///
/// ```
/// use presence_router_api::{PresenceState, UserPresenceState};
///
/// let state = UserPresenceState { state: PresenceState::Online, ..UserPresenceState::offline("@a:example.org") };
/// assert_eq!(state.user_id(), "@a:example.org");
/// assert_eq!(state.status_msg(), None);
/// assert_eq!(state.with_status_msg("in a meeting").status_msg(), Some("in a meeting"));
/// ```
///
/// [`UserPresenceState`]: https://github.com/element-hq/synapse/blob/develop/synapse/api/presence.py
#[repr(C)]
#[derive(StableAbi, Debug, Clone, PartialEq, Eq)]
pub struct UserPresenceState {
    /// Whose presence this is: a user id, local or remote, such as `@alice:example.org`.
    pub user_id: RString,
    /// What they are, over all of their devices.
    pub state: PresenceState,
    /// When the user last did something; in ms.
    pub last_active_ts: u64,
    /// When other homeservers were last told of a user of ours, or when we last heard of a user of theirs; in ms.
    pub last_federation_update_ts: u64,
    /// When a client of the user last synced; in ms. 0 for users of other homeservers.
    pub last_user_sync_ts: u64,
    /// What the user says of it; absent when they say nothing.
    pub status_msg: ROption<RString>,
    /// Whether the user was active a moment ago: within `last_active_granularity`, a minute by default.
    pub currently_active: bool,
}

impl UserPresenceState {
    /// The state of a user of whom nothing is known. To be filled with what is: the fields are public.
    pub fn offline(user_id: impl Into<RString>) -> Self {
        Self {
            user_id: user_id.into(),
            state: PresenceState::Offline,
            last_active_ts: 0,
            last_federation_update_ts: 0,
            last_user_sync_ts: 0,
            status_msg: ROption::RNone,
            currently_active: false,
        }
    }

    /// The same state with a status message.
    #[must_use]
    pub fn with_status_msg(mut self, text: impl Into<RString>) -> Self {
        self.status_msg = ROption::RSome(text.into());
        self
    }

    /// Whose presence this is: a user id, local or remote.
    pub fn user_id(&self) -> &str {
        self.user_id.as_str()
    }

    /// What the user says of it, if anything.
    pub fn status_msg(&self) -> Option<&str> {
        self.status_msg.as_ref().map(RString::as_str).into_option()
    }
}

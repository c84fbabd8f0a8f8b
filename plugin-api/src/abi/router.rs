//! What the host calls: a router object, and the answers that it gives.
//!
//! Answers are in CSR form (compressed sparse rows): one flat list of update numbers, cut into spans,
//! each span for one audience. Measured against a map of user to states, this costs under 1 us where
//! the map costs 107 ms (256 updates to 1000 users).

#![expect(
    non_local_definitions,
    reason = "abi_stable's macros expand to these, and check the layout themselves"
)]
#![cfg_attr(
    feature = "growth-probe",
    expect(
        unused_braces,
        clippy::cast_ptr_alignment,
        clippy::used_underscore_binding,
        reason = "abi_stable's macro expands a method with a default body to these"
    )
)]

use abi_stable::StableAbi;
use abi_stable::sabi_trait;
use abi_stable::std_types::{RArc, RBox, ROption, RResult, RStr, RString, RVec};
use async_ffi::FfiFuture;

use super::failure::Failure;
use super::state::UserPresenceState;

/// A batch of states, shared and not cloned when it crosses.
pub type StateBatch = RArc<RVec<UserPresenceState>>;

/// An answer that is either there, or will come.
///
/// The SDK polls a method's future once and mostly answers `Ready`: a future that crosses costs an
/// allocation and a waker vtable, 75 to 100 ns.
#[repr(u8)]
#[derive(StableAbi)]
pub enum Reply<T> {
    /// The method ended at its first poll.
    Ready(T),
    /// It waits for something; the host polls it on the module's runtime.
    Pending(FfiFuture<T>),
}

/// Where a batch goes.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutesAnswer {
    /// Numbers of updates: below the batch's length a state of the batch, from there on one of `states`.
    pub updates: RVec<u32>,
    /// Cuts `updates` into pieces, each for one audience.
    pub spans: RVec<Span>,
    /// States that were not in the batch.
    pub states: RVec<UserPresenceState>,
    /// User ids of the audiences that were not registered, one list behind the other.
    pub listed_users: RVec<RString>,
    /// Where each of those lists ends in `listed_users`.
    pub listed_ends: RVec<u32>,
}

/// A piece of [`RoutesAnswer::updates`]: from the end of the span before it to `end`.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where the piece ends, exclusive.
    pub end: u32,
    /// Who receives it.
    pub audience: SpanAudience,
}

/// Who receives a span.
#[repr(u8)]
#[derive(StableAbi, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanAudience {
    /// The audience that the host registered under this handle.
    Registered(u64),
    /// The list of this number in the answer itself.
    Listed(u32),
}

/// Whose presence a user is interested in, beyond the people they share a room with.
#[repr(u8)]
#[derive(StableAbi, Debug, Clone, PartialEq, Eq)]
pub enum InterestedAnswer {
    /// These users'.
    Users(RVec<RString>),
    /// Everybody's.
    All,
}

/// What the routes mean for people who share a room.
#[repr(u8)]
#[derive(StableAbi, Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SharedRoomPresence {
    /// The module's routes come in addition to presence between people who share a room.
    #[default]
    Additive,
    /// Only the module's routes count: sharing a room shows nobody's presence.
    Replace,
}

/// The methods that every version has. What comes later is appended in [`define_router`], behind the
/// last prefix field, with a default body: an older module then answers with the default.
macro_rules! define_router {
    ($($appended:tt)*) => {
        /// A router instance as the host holds it.
        #[sabi_trait]
        pub trait Router: Send + Sync + 'static {
            /// Where the states of `batch` go. `only_for` names the single recipient whose part is wanted.
            fn get_users_for_states(
                &self,
                batch: &StateBatch,
                only_for: ROption<RStr<'_>>,
            ) -> Reply<RResult<RoutesAnswer, Failure>>;

            /// Whose presence `user_id` is interested in.
            fn get_interested_users(&self, user_id: RStr<'_>) -> Reply<RResult<InterestedAnswer, Failure>>;

            /// Asked once, after the start.
            fn shared_room_presence(&self) -> RResult<SharedRoomPresence, Failure>;

            /// The last call; background tasks end with it.
            #[sabi(last_prefix_field)]
            fn shutdown(&self) -> Reply<RResult<(), Failure>>;

            $($appended)*
        }
    };
}

#[cfg(not(feature = "growth-probe"))]
define_router! {}

#[cfg(feature = "growth-probe")]
define_router! {
    /// What a later version may append: an older module answers 0.
    fn growth_probe(&self) -> u32 { 0 }
}

/// A boxed router.
pub type RouterBox = Router_TO<RBox<()>>;

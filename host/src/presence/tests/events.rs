//! Arbitrary events of a few users, for the properties.

use PresenceState::{Busy, Offline, Online, Unavailable};
use proptest::prelude::{BoxedStrategy, Strategy, any, prop_oneof};
use proptest::{collection, option, sample};

use super::*;

/// Users 0 and 1 are of this server, the last is of another.
pub(super) const USERS: u32 = 3;
pub(super) const REMOTE: u32 = USERS - 1;

/// What may happen to a user. Times are given as how long ago they are; negative ones are ahead.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Set(PresenceState, Option<&'static str>),
    SyncStarted(PresenceState),
    SyncEnded,
    Received {
        state: PresenceState,
        active: Option<i64>,
        status_msg: Option<&'static str>,
        currently_active: bool,
    },
    SetByModule(PresenceState, Option<&'static str>),
    Restored {
        state: PresenceState,
        active: i64,
        told: i64,
        status_msg: Option<&'static str>,
        currently_active: bool,
    },
}

/// An event of one device of one user, some time after the one before.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) wait: u64,
    pub(super) user: u32,
    pub(super) device: &'static str,
    pub(super) event: Event,
}

pub(super) fn entries(longest_wait: u64) -> impl Strategy<Value = Vec<Entry>> {
    let state = || sample::select(vec![Offline, Unavailable, Online, Busy]);
    let message = || sample::select(vec![None, Some(""), Some("hi")]);
    let ago = move || -3..=i64::try_from(longest_wait).expect("it is some minutes");

    let of_a_device = prop_oneof![
        (state(), message()).prop_map(|(state, message)| Event::Set(state, message)),
        sample::select(vec![Unavailable, Online, Online]).prop_map(Event::SyncStarted),
        sample::select(vec![Event::SyncEnded]),
    ];
    let received = (state(), option::of(ago()), message(), any::<bool>()).prop_map(
        |(state, active, status_msg, currently_active)| Event::Received {
            state,
            active,
            status_msg,
            currently_active,
        },
    );
    let of_anybody: BoxedStrategy<Event> = prop_oneof![
        (state(), message()).prop_map(|(state, message)| Event::SetByModule(state, message)),
        (state(), ago(), ago(), message(), any::<bool>()).prop_map(
            |(state, active, told, status_msg, currently_active)| Event::Restored {
                state,
                active,
                told,
                status_msg,
                currently_active,
            }
        ),
    ]
    .boxed();

    // Often at the very same time, and often at those at which a timeout is due.
    let wait = prop_oneof![sample::select(vec![0, 0, 1]), 0..=longest_wait];
    let whose = prop_oneof![
        8 => (0..REMOTE, of_a_device),
        2 => (sample::select(vec![REMOTE]), received),
        2 => (0..USERS, of_anybody),
    ];
    let entry =
        (wait, whose, sample::select(vec!["A", "B"])).prop_map(|(wait, (user, event), device)| Entry {
            wait,
            user,
            device,
            event,
        });
    collection::vec(entry, 0..40)
}

pub(super) fn timings() -> impl Strategy<Value = Timing> {
    (
        0..12_u64,
        0..30_u64,
        0..30_u64,
        0..60_u64,
        0..60_u64,
        0..60_u64,
        0..20_u64,
    )
        .prop_map(
            |(granularity, idle, sync_online, busy, federation, ping, spread)| Timing {
                last_active_granularity: granularity,
                idle_timeout: idle,
                sync_online_timeout: sync_online,
                busy_timeout: busy,
                federation_timeout: federation,
                federation_ping_interval: ping,
                federation_ping_spread: spread,
            },
        )
}

fn origin(user: u32) -> Origin {
    if user == REMOTE {
        Origin::Remote
    } else {
        Origin::Local
    }
}

/// A time that is so long ago, or ahead.
pub(super) fn before(now: u64, ago: i64) -> u64 {
    now.saturating_add_signed(-ago)
}

/// Does to `presence` what the entry says. To restore is no change.
pub(super) fn apply(presence: &mut Presence, entry: &Entry, now: u64) -> Change {
    let (user, device) = (UserKey(entry.user), DeviceId::from(entry.device));
    match entry.event {
        Event::Set(state, message) => presence.set(user, &device, state, message, now),
        Event::SyncStarted(state) => presence.sync_started(user, &device, state, now),
        Event::SyncEnded => presence.sync_ended(user, &device, now),
        Event::Received {
            state,
            active,
            status_msg,
            currently_active,
        } => {
            let update = RemoteUpdate {
                state,
                last_active_ts: active.map(|ago| before(now, ago)),
                status_msg,
                currently_active,
            };
            presence.receive(user, &update, now)
        }
        Event::SetByModule(state, message) => {
            presence.set_by_module(user, origin(entry.user), state, message, now)
        }
        Event::Restored {
            state,
            active,
            told,
            status_msg,
            currently_active,
        } => {
            let stored = UserPresence {
                state,
                last_active_ts: before(now, active),
                last_federation_update_ts: before(now, told),
                last_user_sync_ts: 0,
                status_msg: status_msg.map(Into::into),
                currently_active,
            };
            presence.restore(user, origin(entry.user), stored, now);
            Change::Quiet
        }
    }
}

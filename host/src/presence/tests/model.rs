//! A naive model of `Presence`: it replays the whole log, a millisecond at a time.
//!
//! It is written from the rules alone and shares no code with what it checks. `properties.rs` compares them.

use std::collections::BTreeMap;

use PresenceState::{Busy, Offline, Online, Unavailable};
use proptest::prelude::{Strategy, prop_oneof};
use proptest::{collection, sample};

use super::*;

#[derive(Debug, Clone)]
pub(super) enum Event {
    Set(PresenceState, Option<&'static str>),
    SyncStarted(PresenceState),
    SyncEnded,
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
    let event = prop_oneof![
        (
            sample::select(vec![Offline, Unavailable, Online, Busy]),
            sample::select(vec![None, Some(""), Some("hi")])
        )
            .prop_map(|(state, message)| Event::Set(state, message)),
        sample::select(vec![Unavailable, Online, Online]).prop_map(Event::SyncStarted),
        sample::select(vec![Event::SyncEnded]),
    ];
    // Often at the very same time, and often at those at which a timeout is due.
    let wait = prop_oneof![sample::select(vec![0, 0, 1]), 0..=longest_wait];
    let entry =
        (wait, 0..2_u32, sample::select(vec!["A", "B"]), event).prop_map(|(wait, user, device, event)| {
            Entry {
                wait,
                user,
                device,
                event,
            }
        });
    collection::vec(entry, 0..40)
}

pub(super) fn timings() -> impl Strategy<Value = Timing> {
    (0..12_u64, 0..30_u64, 0..30_u64, 0..60_u64).prop_map(|(granularity, idle, sync_online, busy)| Timing {
        last_active_granularity: granularity,
        idle_timeout: idle,
        sync_online_timeout: sync_online,
        busy_timeout: busy,
    })
}

pub(super) fn apply(presence: &mut Presence, entry: &Entry, now: u64) -> Change {
    let (user, device) = (UserKey(entry.user), DeviceId::from(entry.device));
    match entry.event {
        Event::Set(state, message) => presence.set(user, &device, state, message, now),
        Event::SyncStarted(state) => presence.sync_started(user, &device, state, now),
        Event::SyncEnded => presence.sync_ended(user, &device, now),
    }
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) users: BTreeMap<u32, UserPresence>,
    /// Who was told of, when, in order.
    pub(super) told: Vec<(u64, u32)>,
}

#[derive(Default)]
struct ModelDevice {
    state: Option<PresenceState>,
    active: u64,
    synced: u64,
    starts: u32,
    ends: u32,
}

/// Replays the log from the beginning to `end`.
pub(super) fn replay(timing: &Timing, start: u64, log: &[(u64, Entry)], end: u64) -> Outcome {
    let mut devices: BTreeMap<(u32, &str), ModelDevice> = BTreeMap::new();
    let mut outcome = Outcome::default();
    for now in start..=end {
        let mut affected = vec![0, 1];
        for device in devices.values_mut() {
            let Some(state) = device.state else { continue };
            let quiet_for = now - device.active.max(device.synced);
            let timeout = if state == Busy {
                timing.busy_timeout
            } else {
                timing.sync_online_timeout
            };
            if state == Online && now - device.active > timing.idle_timeout {
                device.state = Some(Unavailable);
            }
            if device.starts == device.ends && quiet_for > timeout {
                device.state = None;
            }
        }
        settle(timing, &devices, now, &mut affected, &mut outcome, |_, _| ());

        for (_, entry) in log.iter().filter(|(at, _)| *at == now) {
            let was_busy = merged(&devices, entry.user) == Busy;
            let device = devices.entry((entry.user, entry.device)).or_default();
            match entry.event {
                Event::Set(state, _) => {
                    device.state = Some(state).filter(|state| *state != Offline);
                    device.active = now;
                }
                Event::SyncStarted(state) => {
                    device.state = Some(if was_busy { Busy } else { state });
                    device.active = now;
                    device.synced = now;
                    device.starts += 1;
                }
                Event::SyncEnded if device.starts == device.ends => continue,
                Event::SyncEnded => {
                    device.synced = now;
                    device.ends += 1;
                }
            }
            settle(
                timing,
                &devices,
                now,
                &mut vec![entry.user],
                &mut outcome,
                |user, merged| {
                    if !matches!(entry.event, Event::SyncEnded) && merged >= Online {
                        user.last_active_ts = now;
                    }
                    if let Event::Set(_, message) = entry.event {
                        user.status_msg = message.filter(|message| !message.is_empty()).map(Into::into);
                    } else {
                        user.last_user_sync_ts = now;
                    }
                },
            );
        }
    }
    outcome
}

fn merged(devices: &BTreeMap<(u32, &str), ModelDevice>, user: u32) -> PresenceState {
    let states = devices
        .iter()
        .filter(|((owner, _), _)| *owner == user)
        .filter_map(|(_, device)| device.state);
    states.max().unwrap_or(Offline)
}

fn settle(
    timing: &Timing,
    devices: &BTreeMap<(u32, &str), ModelDevice>,
    now: u64,
    affected: &mut Vec<u32>,
    outcome: &mut Outcome,
    act: impl Fn(&mut UserPresence, PresenceState),
) {
    for key in affected.drain(..) {
        let user = outcome.users.entry(key).or_default();
        let before = user.clone();
        user.state = merged(devices, key);
        act(user, user.state);
        user.currently_active =
            user.state == Online && now - user.last_active_ts < timing.last_active_granularity;

        let jumped = user.last_active_ts > before.last_active_ts + timing.last_active_granularity;
        let tell = if before.status_msg != user.status_msg || before.state != user.state {
            true
        } else if before.state == Online {
            before.currently_active != user.currently_active || (jumped && !user.currently_active)
        } else {
            jumped
        };
        if tell {
            user.last_federation_update_ts = now;
            outcome.told.push((now, key));
        }
    }
}

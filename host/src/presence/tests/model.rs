//! A naive model of `Presence`: it replays the whole log, a millisecond at a time.
//!
//! It is written from the rules alone and shares no code with what it checks. `properties.rs` compares them.

use std::collections::BTreeMap;

use PresenceState::{Busy, Offline, Online, Unavailable};

use super::events::{Entry, Event, REMOTE, USERS, before};
use super::*;

#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) users: BTreeMap<u32, UserPresence>,
    /// Who was told of, when, in order.
    pub(super) told: Vec<(u64, u32)>,
    /// Who was due a ping, when, in order.
    pub(super) pings: Vec<(u64, u32)>,
}

#[derive(Default)]
struct ModelDevice {
    state: Option<PresenceState>,
    active: u64,
    seen: u64,
    starts: u32,
    ends: u32,
}

/// The device without a name stands in for those that a restored or a module's state lacks.
const STAND_IN: &str = "";

type Devices = BTreeMap<(u32, &'static str), ModelDevice>;

/// Replays the log from the beginning to `end`.
pub(super) fn replay(timing: &Timing, start: u64, log: &[(u64, Entry)], end: u64) -> Outcome {
    let mut devices = Devices::new();
    let mut outcome = Outcome {
        users: (0..USERS).map(|user| (user, UserPresence::default())).collect(),
        ..Outcome::default()
    };
    for now in start..=end {
        tick(timing, &mut devices, now, &mut outcome);
        for (_, entry) in log.iter().filter(|(at, _)| *at == now) {
            step(timing, &mut devices, entry, now, &mut outcome);
            tick(timing, &mut devices, now, &mut outcome);
        }
    }
    outcome
}

/// What is due, is done.
fn tick(timing: &Timing, devices: &mut Devices, now: u64, outcome: &mut Outcome) {
    for device in devices.values_mut() {
        let Some(state) = device.state else { continue };
        let quiet_for = now - device.active.max(device.seen);
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
    for user in 0..USERS {
        let told = settle(timing, devices, now, user, outcome, |presence, _| {
            let silent_for = now - presence.last_federation_update_ts;
            if user == REMOTE && silent_for > timing.federation_timeout {
                presence.state = Offline;
            }
        });
        let presence = outcome.users.get_mut(&user).expect("all are there");
        let silent_for = now - presence.last_federation_update_ts;
        if !told
            && user != REMOTE
            && presence.state != Offline
            && silent_for > timing.of(UserKey(user)).federation_ping_interval
        {
            presence.last_federation_update_ts = now;
            outcome.pings.push((now, user));
        }
    }
}

fn step(timing: &Timing, devices: &mut Devices, entry: &Entry, now: u64, outcome: &mut Outcome) {
    let user = entry.user;
    let was_busy = merged(devices, user) == Busy;
    let mut settle = |devices: &Devices, act: &dyn Fn(&mut UserPresence, PresenceState)| {
        settle(timing, devices, now, user, outcome, act)
    };
    match entry.event {
        Event::Set(state, message) => {
            devices.remove(&(user, STAND_IN));
            let device = devices.entry((user, entry.device)).or_default();
            device.state = Some(state).filter(|state| *state != Offline);
            device.active = now;
            settle(devices, &|presence, merged| {
                if merged >= Online {
                    presence.last_active_ts = now;
                }
                say(presence, message);
            });
        }
        Event::SyncStarted(state) => {
            let device = devices.entry((user, entry.device)).or_default();
            device.state = Some(if was_busy { Busy } else { state });
            device.active = now;
            device.seen = now;
            device.starts += 1;
            settle(devices, &|presence, merged| {
                if merged >= Online {
                    presence.last_active_ts = now;
                }
                presence.last_user_sync_ts = now;
            });
        }
        Event::SyncEnded => {
            let device = devices.entry((user, entry.device)).or_default();
            if device.starts > device.ends {
                device.seen = now;
                device.ends += 1;
                settle(devices, &|presence, _| presence.last_user_sync_ts = now);
            }
        }
        Event::Received {
            state,
            active,
            status_msg,
            currently_active,
        } => {
            settle(devices, &|presence, _| {
                presence.state = state;
                presence.currently_active = currently_active;
                presence.last_federation_update_ts = now;
                if let Some(ago) = active {
                    presence.last_active_ts = before(now, ago).min(now);
                }
                say(presence, status_msg);
            });
        }
        Event::SetByModule(state, message) => {
            for device in of_user(devices, user) {
                device.state = device
                    .state
                    .map(|own| own.min(state))
                    .filter(|own| *own != Offline);
            }
            stand_in(devices, user, state, now, now);
            let told = settle(devices, &|presence, _| {
                presence.state = state;
                say(presence, message);
            });
            if !told {
                outcome.told.push((now, user));
                let presence = outcome.users.get_mut(&user).expect("all are there");
                presence.last_federation_update_ts = now;
            }
        }
        Event::Restored {
            state,
            active,
            told,
            status_msg,
            currently_active,
        } => {
            let active = before(now, active).min(now);
            let is_active = user != REMOTE && now - active < timing.last_active_granularity;
            let mut presence = UserPresence {
                state,
                last_active_ts: active,
                last_federation_update_ts: before(now, told).min(now),
                currently_active: (currently_active || is_active) && state == Online,
                ..UserPresence::default()
            };
            say(&mut presence, status_msg);
            outcome.users.insert(user, presence);
            devices.retain(|(owner, _), _| *owner != user);
            stand_in(devices, user, state, active, now);
        }
    }
}

fn say(presence: &mut UserPresence, message: Option<&str>) {
    presence.status_msg = message.filter(|message| !message.is_empty()).map(Into::into);
}

fn stand_in(devices: &mut Devices, user: u32, state: PresenceState, active: u64, seen: u64) {
    if user != REMOTE && state != Offline {
        let device = devices.entry((user, STAND_IN)).or_default();
        device.state = Some(state);
        device.active = active;
        device.seen = seen;
    }
}

fn of_user(devices: &mut Devices, user: u32) -> impl Iterator<Item = &mut ModelDevice> {
    devices
        .iter_mut()
        .filter_map(move |((owner, _), device)| (*owner == user).then_some(device))
}

fn merged(devices: &Devices, user: u32) -> PresenceState {
    let states = devices
        .iter()
        .filter(|((owner, _), _)| *owner == user)
        .filter_map(|(_, device)| device.state);
    states.max().unwrap_or(Offline)
}

/// Whether it was told.
fn settle(
    timing: &Timing,
    devices: &Devices,
    now: u64,
    key: u32,
    outcome: &mut Outcome,
    act: impl Fn(&mut UserPresence, PresenceState),
) -> bool {
    let user = outcome.users.get_mut(&key).expect("all are there");
    let before = user.clone();
    if key == REMOTE {
        act(user, user.state);
        user.currently_active &= user.state == Online;
    } else {
        user.state = merged(devices, key);
        act(user, user.state);
        user.currently_active =
            user.state == Online && now - user.last_active_ts < timing.last_active_granularity;
    }

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
    tell
}

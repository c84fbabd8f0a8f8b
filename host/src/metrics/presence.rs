//! What changes of presence are counted by.

use metrics::{Counter, Gauge};
use presence_router_api::PresenceState;

use crate::metrics::names::{
    CHANGES_WAITING, CURRENT_STATES, FEDERATION_IN, FEDERATION_OUT, FEDERATION_STRANGERS_REFUSED,
    FEDERATION_WAITING, GET_UPDATES, LIMITED, NOTIFIED, NOTIFY_REASON, OVERLOADED, PRESENCE_UPDATES,
    STATE_TRANSITION, SYNCS_WAITING, TIMERS, TIMERS_FIRED, USERS,
};
use crate::metrics::process::number;

/// Why a change is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyReason {
    /// The message.
    StatusMsg,
    /// The state.
    State,
    /// Whether the user is active at the moment.
    CurrentlyActive,
    /// The time of the last activity, of a user who is online.
    LastActiveOnline,
    /// The same, of one who is not.
    LastActiveNotOnline,
}

/// A request whose update of presence is beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// A PUT, which is refused.
    Put,
    /// A sync, which is served and sets nothing.
    Sync,
}

/// How a sync looks for news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Over what has changed.
    Stream,
    /// Over whom the user sees.
    Full,
}

/// Synapse's words for these.
const REASONS: [(NotifyReason, &str); 5] = [
    (NotifyReason::StatusMsg, "status_msg_change"),
    (NotifyReason::State, "state_change"),
    (NotifyReason::CurrentlyActive, "current_active_change"),
    (NotifyReason::LastActiveOnline, "last_active_change_online"),
    (NotifyReason::LastActiveNotOnline, "last_active_change_not_online"),
];

const STATES: [PresenceState; 4] = [
    PresenceState::Offline,
    PresenceState::Unavailable,
    PresenceState::Online,
    PresenceState::Busy,
];

/// Whose presence has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locality {
    /// A user's of this server.
    Local,
    /// A user's of another.
    Remote,
}

const LOCALITIES: [&str; 2] = ["local", "remote"];

/// What many changes add up to. It is counted here and then told at once, for a metric that everybody counts with takes its
/// time.
#[derive(Debug, Default)]
pub struct Tally {
    reasons: [[u64; REASONS.len()]; LOCALITIES.len()],
    transitions: [[[u64; STATES.len()]; STATES.len()]; LOCALITIES.len()],
    /// By how many there are more in each state, or fewer.
    users: [i32; STATES.len()],
}

impl Tally {
    /// A change is told.
    pub fn told(&mut self, of: Locality, reason: NotifyReason) {
        self.reasons[of as usize][reason as usize] += 1;
    }

    /// A user's state has changed.
    pub fn transition(&mut self, of: Locality, from: PresenceState, to: PresenceState) {
        let (from, to) = (index(from), index(to));
        self.transitions[of as usize][from][to] += 1;
        self.users[from] -= 1;
        self.users[to] += 1;
    }
}

/// The handles of presence. Clones count the same.
#[derive(Clone)]
pub struct PresenceMetrics {
    updates: Counter,
    notified: Counter,
    timers_fired: Counter,
    federation_in: Counter,
    federation_out: Counter,
    strangers_refused: Counter,
    reads: [Counter; 2],
    reasons: [[Counter; REASONS.len()]; LOCALITIES.len()],
    transitions: [[[Counter; STATES.len()]; STATES.len()]; LOCALITIES.len()],
    known: Gauge,
    timers: Gauge,
    users: [Gauge; STATES.len()],
    changes_waiting: Gauge,
    overloaded: Counter,
    limited: [Counter; 2],
    syncs_waiting: Gauge,
    waiting_for_servers: Gauge,
}

impl PresenceMetrics {
    /// Fetches them.
    pub fn new() -> Self {
        Self {
            updates: PRESENCE_UPDATES.counter([]),
            notified: NOTIFIED.counter([]),
            timers_fired: TIMERS_FIRED.counter([]),
            federation_in: FEDERATION_IN.counter([]),
            federation_out: FEDERATION_OUT.counter([]),
            strangers_refused: FEDERATION_STRANGERS_REFUSED.counter([]),
            reads: ["stream", "full"].map(|way| GET_UPDATES.counter([way])),
            reasons: LOCALITIES
                .map(|locality| REASONS.map(|(_, reason)| NOTIFY_REASON.counter([locality, reason]))),
            transitions: LOCALITIES.map(|locality| {
                STATES.map(|from| {
                    STATES.map(|to| STATE_TRANSITION.counter([locality, from.as_str(), to.as_str()]))
                })
            }),
            known: CURRENT_STATES.gauge([]),
            timers: TIMERS.gauge([]),
            users: STATES.map(|state| match state {
                // Who is offline is not counted: it would be everybody.
                PresenceState::Offline => Gauge::noop(),
                state => USERS.gauge([state.as_str()]),
            }),
            changes_waiting: CHANGES_WAITING.gauge([]),
            overloaded: OVERLOADED.counter([]),
            limited: ["put", "sync"].map(|request| LIMITED.counter([request])),
            syncs_waiting: SYNCS_WAITING.gauge([]),
            waiting_for_servers: FEDERATION_WAITING.gauge([]),
        }
    }

    /// So many updates were applied, so many of them by timeouts, and so many of all are told.
    pub fn applied(&self, updates: usize, timeouts: usize, told: usize) {
        self.updates.increment(updates as u64);
        self.timers_fired.increment(timeouts as u64);
        self.notified.increment(told as u64);
    }

    /// The states of so many users are repeated to other servers.
    pub fn pinged(&self, users: usize) {
        self.federation_out.increment(users as u64);
    }

    /// So many states of other servers' users were taken, and so many left out as too many strangers are known.
    pub fn received(&self, taken: usize, refused: usize) {
        self.federation_in.increment(taken as u64);
        self.strangers_refused.increment(refused as u64);
    }

    /// Changes are told.
    pub fn told(&self, tally: &Tally) {
        for (counters, counts) in self.reasons.iter().zip(tally.reasons) {
            for (counter, count) in counters.iter().zip(counts).filter(|(_, count)| *count > 0) {
                counter.increment(count);
            }
        }
        for (counters, counts) in self.transitions.iter().zip(tally.transitions) {
            let cells = counters.iter().flatten().zip(counts.into_iter().flatten());
            for (counter, count) in cells.filter(|(_, count)| *count > 0) {
                counter.increment(count);
            }
        }
        for (gauge, users) in self.users.iter().zip(tally.users) {
            if users != 0 {
                gauge.increment(f64::from(users));
            }
        }
    }

    /// A user is in this state from the start.
    pub fn restored(&self, state: PresenceState) {
        self.users[index(state)].increment(1.0);
    }

    /// A sync has looked for news.
    pub fn read(&self, way: Read) {
        self.reads[way as usize].increment(1);
    }

    /// A request was refused because the queue of changes stayed full.
    pub fn overloaded(&self) {
        self.overloaded.increment(1);
    }

    /// An update was beyond the limit.
    pub fn limited(&self, request: Limited) {
        self.limited[request as usize].increment(1);
    }

    /// The presence of so many users is known.
    pub fn known(&self, users: usize) {
        self.known.set(number(users as u64));
    }

    /// So many users have a timeout ahead.
    pub fn timers(&self, users: usize) {
        self.timers.set(number(users as u64));
    }

    /// So many changes wait to be applied, and so many long-polls for news.
    pub fn waiting(&self, changes: usize, syncs: usize) {
        self.changes_waiting.set(number(changes as u64));
        self.syncs_waiting.set(number(syncs as u64));
    }

    /// So many pairs of a user and another server wait for the user's state to be sent there.
    pub fn waiting_for_servers(&self, pairs: usize) {
        self.waiting_for_servers.set(number(pairs as u64));
    }
}

impl Default for PresenceMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The place of a state in [`STATES`].
fn index(state: PresenceState) -> usize {
    match state {
        PresenceState::Offline => 0,
        PresenceState::Unavailable => 1,
        PresenceState::Online => 2,
        PresenceState::Busy => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Exposition;

    #[test]
    fn each_is_counted_under_its_own_name() {
        let (recorder, exposition) = Exposition::for_test();
        let metrics = metrics::with_local_recorder(&recorder, PresenceMetrics::new);
        let mut tally = Tally::default();
        for (at, state) in STATES.into_iter().enumerate() {
            assert_eq!(index(state), at, "{state}");
            tally.transition(Locality::Local, PresenceState::Busy, state);
        }
        for (number, (reason, _)) in REASONS.into_iter().enumerate() {
            (0..=number).for_each(|_| tally.told(Locality::Remote, reason));
        }
        metrics.told(&tally);
        metrics.limited(Limited::Sync);
        metrics.read(Read::Full);
        let text = exposition.render();
        for line in [
            r#"_state_transition_total{locality="local",from="busy",to="online"} 1"#,
            r#"_state_transition_total{locality="local",from="online",to="busy"} 0"#,
            r#"_notify_reason_total{locality="remote",reason="status_msg_change"} 1"#,
            r#"_notify_reason_total{locality="remote",reason="state_change"} 2"#,
            r#"_notify_reason_total{locality="remote",reason="current_active_change"} 3"#,
            r#"_notify_reason_total{locality="remote",reason="last_active_change_online"} 4"#,
            r#"_notify_reason_total{locality="remote",reason="last_active_change_not_online"} 5"#,
            r#"presence_router_rate_limited_total{request="sync"} 1"#,
            r#"_get_updates_total{type="full"} 1"#,
            r#"presence_router_users{state="busy"} -3"#,
            r#"presence_router_users{state="unavailable"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
        assert!(
            !text.contains("presence_router_users{state=\"offline\"}"),
            "{text}"
        );
    }
}

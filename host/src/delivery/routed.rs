//! What one module has routed to whom.

use std::collections::HashMap;
use std::sync::Arc;

use crate::delivery::log::Log;
use crate::delivery::token::Cursor;
use crate::directory::ServerKey;
use crate::modules::{Audience, AudienceId};
use crate::presence::UserKey;

/// One routed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutedUpdate {
    /// Whose state.
    pub user: UserKey,
    /// The position of the change that was routed. Only this state was: when the user has changed since, the newer state
    /// is not for this audience yet.
    pub change: u64,
    /// Why it was routed.
    pub reason: Reason,
}

/// Why a state was routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It had changed. Who has read the change already need not be told.
    Changed,
    /// The module sent it of its own accord, changed or not.
    Sent,
}

/// How long a module has routed in its present form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// What was routed up to here is not in the logs.
    pub attached: u64,
    /// Who has asked a module of this name before here has asked another one, or with another config.
    pub changed: u64,
}

/// The logs of one module.
#[derive(Debug)]
pub(super) struct RoutedLog {
    since: Since,
    audiences: HashMap<AudienceId, AudienceLog>,
    audiences_of: HashMap<UserKey, Vec<AudienceId>>,
    /// Which change of whom was routed last, to whatever audience. It outlives the audiences' logs.
    settled: Log<(u64, Reason)>,
    /// Of users in an audience that was forgotten: what was routed up to here is not in the logs any more.
    floors: HashMap<UserKey, u64>,
}

#[derive(Debug)]
struct AudienceLog {
    members: Members,
    log: Log<(u64, Reason)>,
}

/// Who is in an audience.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// Those of this homeserver, sorted.
    pub users: Arc<[UserKey]>,
    /// The homeservers of the others, each once.
    pub servers: Arc<[ServerKey]>,
}

impl Members {
    /// Of users and servers in any order, with duplicates.
    pub fn new(mut users: Vec<UserKey>, mut servers: Vec<ServerKey>) -> Self {
        users.sort_unstable();
        users.dedup();
        servers.sort_unstable();
        servers.dedup();
        Self {
            users: users.into(),
            servers: servers.into(),
        }
    }
}

impl RoutedLog {
    pub(super) fn new(since: Since) -> Self {
        Self {
            since,
            audiences: HashMap::new(),
            audiences_of: HashMap::new(),
            settled: Log::default(),
            floors: HashMap::new(),
        }
    }

    /// How far a token that says `cursor` has really read this module.
    pub(super) fn effective(&self, cursor: Cursor) -> Cursor {
        if cursor.fetched < self.since.changed {
            Cursor { fetched: 0, ..cursor }
        } else {
            cursor
        }
    }

    pub(super) fn settled(&mut self, update: RoutedUpdate, position: u64) {
        let RoutedUpdate { user, change, reason } = update;
        self.settled.note(user, position, (change, reason));
    }

    pub(super) fn settled_of(&self, user: UserKey) -> Option<(u64, u64)> {
        self.settled.of(user).map(|entry| (entry.value.0, entry.position))
    }

    pub(super) fn settled_after(&self, position: u64) -> impl Iterator<Item = RoutedUpdate> + '_ {
        self.settled
            .after(position)
            .map(|(user, (change, reason))| RoutedUpdate { user, change, reason })
    }

    /// Notes what was routed to an audience, each at the next position, and returns its members. `resolve` finds them the
    /// first time.
    pub(super) fn route(
        &mut self,
        audience: &Audience,
        updates: impl Iterator<Item = RoutedUpdate>,
        resolve: impl FnOnce() -> Members,
        position: &mut u64,
    ) -> Members {
        let log = self.audiences.entry(audience.id()).or_insert_with(|| {
            let members = resolve();
            for member in &*members.users {
                self.audiences_of.entry(*member).or_default().push(audience.id());
            }
            AudienceLog {
                members,
                log: Log::default(),
            }
        });
        if !log.members.users.is_empty() {
            for RoutedUpdate { user, change, reason } in updates {
                let known = log.log.of(user).map(|entry| entry.value.0);
                if reason == Reason::Sent || known != Some(change) {
                    *position += 1;
                    log.log.note(user, *position, (change, reason));
                }
            }
        }
        log.members.clone()
    }

    /// Forgets the log of an audience that the module has released. Its members catch up by asking the module.
    pub(super) fn forget(&mut self, audience: AudienceId) {
        let Some(log) = self.audiences.remove(&audience) else {
            return;
        };
        let newest = log.log.newest();
        for member in &*log.members.users {
            if let Some(audiences) = self.audiences_of.get_mut(member) {
                audiences.retain(|other| *other != audience);
                if audiences.is_empty() {
                    self.audiences_of.remove(member);
                }
            }
            if newest > 0 {
                let floor = self.floors.entry(*member).or_default();
                *floor = newest.max(*floor);
            }
        }
    }

    pub(super) fn routed_after(
        &self,
        reader: UserKey,
        position: u64,
    ) -> impl Iterator<Item = RoutedUpdate> + '_ {
        self.logs_of(reader)
            .flat_map(move |log| log.after(position))
            .map(|(user, (change, reason))| RoutedUpdate { user, change, reason })
    }

    /// Whether a change was routed to a reader at a position or before it.
    pub(super) fn routed_by(&self, reader: UserKey, position: u64, user: UserKey, change: u64) -> bool {
        self.logs_of(reader)
            .filter_map(|log| log.of(user))
            .any(|entry| entry.position <= position && entry.value.0 == change)
    }

    fn logs_of(&self, reader: UserKey) -> impl Iterator<Item = &Log<(u64, Reason)>> {
        let audiences = self.audiences_of.get(&reader).map_or(&[][..], Vec::as_slice);
        audiences
            .iter()
            .filter_map(|audience| self.audiences.get(audience))
            .map(|audience| &audience.log)
    }

    /// Up to where a user's routed deliveries are not in the logs. Who has read less must ask the module.
    pub(super) fn floor(&self, reader: UserKey) -> u64 {
        let forgotten = self.floors.get(&reader).copied().unwrap_or(0);
        forgotten.max(self.since.attached)
    }
}

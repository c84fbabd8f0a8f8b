//! What one module has routed to whom.

use std::collections::{HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::delivery::log::Log;
use crate::delivery::token::Cursor;
use crate::directory::ServerKey;
use crate::modules::{Audience, AudienceId};
use crate::presence::{ByUser, UserKey};

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

/// How a module routes: with one file and one config, from a position on. Another generation may route otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form(u64);

/// How a generation of a module compares to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprint {
    /// It is of the same file, with the same config: what was routed stays routed.
    Same,
    /// It may route otherwise.
    Other,
}

/// What becomes of the generation before.
#[derive(Debug, Default)]
pub struct TakenOver {
    /// From which position on the new one routes, if it may route otherwise.
    pub changed: Option<u64>,
    /// The users whom the one before has routed, and the new one has to route again.
    pub unsettled: Vec<UserKey>,
    /// The audiences of the one before.
    pub before: Vec<AudienceId>,
}

/// How many forms a module has had are remembered.
const MAX_FORMS: usize = 64;

/// The logs of one module.
#[derive(Debug)]
pub(super) struct RoutedLog {
    since: Since,
    /// Its forms so far, the latest ones, in order.
    forms: VecDeque<Form>,
    /// By numbers that the host gives.
    audiences: HashMap<AudienceId, AudienceLog, FixedState>,
    audiences_of: ByUser<Vec<AudienceId>>,
    /// Which change of whom was routed last, to whatever audience. It outlives the audiences' logs.
    settled: Log<(u64, Reason)>,
    /// The audiences of generations of the module that route no more, by whom they have. One of a later generation that has
    /// the same users goes on with their log.
    retired: HashMap<Arc<[UserKey]>, AudienceId>,
    /// Of users in an audience that was forgotten: what was routed up to here is not in the logs any more.
    floors: ByUser<u64>,
}

#[derive(Debug)]
struct AudienceLog {
    members: Members,
    /// The form whose audience it is; entries of before may be of the one before.
    form: Form,
    log: Log<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    change: u64,
    reason: Reason,
    form: Form,
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
            forms: VecDeque::from([Form(since.changed)]),
            audiences: HashMap::default(),
            audiences_of: ByUser::default(),
            settled: Log::default(),
            retired: HashMap::new(),
            floors: ByUser::default(),
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

    /// From a position on, the module may route otherwise: it is not done with who is not offline. Returns these.
    pub(super) fn unsettle(&mut self, changed: u64, is_offline: impl Fn(UserKey) -> bool) -> Vec<UserKey> {
        self.since.changed = changed;
        self.begin_form(changed);
        let settled = self.settled.users().map(|(user, _)| user);
        let online: Vec<_> = settled.filter(|user| !is_offline(*user)).collect();
        self.unsettle_all(&online);
        online
    }

    /// Who asks from a position on asks it in no form that it has had; when it is not asked any more, in none.
    pub(super) fn begin_form(&mut self, position: u64) {
        self.forms.push_back(Form(position));
        if self.forms.len() > MAX_FORMS {
            self.forms.pop_front();
        }
    }

    /// Whether it was done with a user's change before it came to route as it does now.
    pub(super) fn was_done_otherwise_with(&self, user: UserKey, change: u64) -> bool {
        self.settled_of(user)
            .is_some_and(|(settled, at)| settled == change && at < self.since.changed)
    }

    /// It is not done with the newest changes of these users.
    pub(super) fn unsettle_all(&mut self, users: &[UserKey]) {
        for user in users {
            self.settled.remove(*user);
        }
    }

    /// When it began its last form: of one that is asked no more, when that was.
    pub(super) fn asked_until(&self) -> u64 {
        self.forms.back().map_or(0, |form| form.0)
    }

    /// Since which position it routes as it does now.
    pub(super) fn changed(&self) -> u64 {
        self.since.changed
    }

    /// How it routes now.
    pub(super) fn form(&self) -> Form {
        Form(self.since.changed)
    }

    /// How it routed when it was asked at a position, as far as is known.
    fn form_at(&self, position: u64) -> Option<Form> {
        self.forms.iter().rev().find(|form| form.0 <= position).copied()
    }

    /// The audiences so far are those of a generation, of this form, that routes no more. Returns them, to be forgotten some
    /// time.
    pub(super) fn retire(&mut self, form: Form) -> Vec<AudienceId> {
        self.retired.clear();
        for (id, audience) in &self.audiences {
            let users = &audience.members.users;
            // What came before that, whoever was asked meanwhile may not have been told.
            if !users.is_empty() && audience.form == form {
                let newest = self.retired.entry(Arc::clone(users)).or_insert(*id);
                *newest = (*newest).max(*id);
            }
        }
        self.audiences.keys().copied().collect()
    }

    /// Who has read less than this must ask. No later audience goes on with the logs of those that are retired: who has synced
    /// since has not read what is in them.
    pub(super) fn resumed_at(&mut self, position: u64) {
        self.retired.clear();
        self.since.attached = position;
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
        form: Form,
        audience: &Audience,
        updates: impl Iterator<Item = RoutedUpdate>,
        resolve: impl FnOnce() -> Members,
        position: &mut u64,
    ) -> Members {
        let id = audience.id();
        if !self.audiences.contains_key(&id) {
            self.begin(id, form, resolve());
        }
        let Some(log) = self.audiences.get_mut(&id) else {
            return Members::default();
        };
        if !log.members.users.is_empty() {
            for RoutedUpdate { user, change, reason } in updates {
                let known = log.log.of(user).map(|entry| entry.value.change);
                if reason == Reason::Sent || known != Some(change) {
                    *position += 1;
                    let entry = Entry { change, reason, form };
                    log.log.note(user, *position, entry);
                }
            }
        }
        log.members.clone()
    }

    fn begin(&mut self, audience: AudienceId, form: Form, members: Members) {
        let goes_on = form == self.form();
        let before = goes_on.then(|| self.retired.remove(&members.users)).flatten();
        let log = before.and_then(|before| self.audiences.remove(&before));
        for member in &*members.users {
            let audiences = self.audiences_of.entry(*member).or_default();
            audiences.retain(|other| Some(*other) != before);
            audiences.push(audience);
        }
        let log = log.map_or_else(Log::default, |before| before.log);
        self.audiences
            .insert(audience, AudienceLog { members, form, log });
    }

    /// Forgets the log of an audience that the module has released. Its members catch up by asking the module.
    pub(super) fn forget(&mut self, audience: AudienceId) {
        let Some(log) = self.audiences.remove(&audience) else {
            return;
        };
        if self.retired.get(&log.members.users) == Some(&audience) {
            self.retired.remove(&log.members.users);
        }
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

    /// Forgets the logs of all audiences.
    pub(super) fn forget_all(&mut self) {
        let audiences: Vec<_> = self.audiences.keys().copied().collect();
        for audience in audiences {
            self.forget(audience);
        }
    }

    /// What was routed to a reader in a range of positions.
    pub(super) fn routed_in(
        &self,
        reader: UserKey,
        positions: (Bound<u64>, Bound<u64>),
    ) -> impl Iterator<Item = RoutedUpdate> + '_ {
        self.logs_of(reader)
            .flat_map(move |log| log.range(positions))
            .map(|(user, Entry { change, reason, .. })| RoutedUpdate { user, change, reason })
    }

    /// Whether a reader who has read this module so far was told of a change: they have read it in these logs, or have asked
    /// when the module was as it was when it routed it. What had changed by the time that they asked is not read in the logs,
    /// however late it was routed, as long as the module that was asked serves.
    pub(super) fn was_told(&self, reader: UserKey, cursor: Cursor, user: UserKey, change: u64) -> bool {
        let entries = self.logs_of(reader).filter_map(|log| log.of(user));
        entries.filter(|entry| entry.value.change == change).any(|entry| {
            let Entry { reason, form, .. } = entry.value;
            let asked = self.form_at(cursor.fetched);
            let is_read =
                change > cursor.fetched || reason == Reason::Sent || asked != self.form_at(entry.position);
            let was_read = is_read && cursor.fetched < entry.position && entry.position <= cursor.routed;
            let was_asked_for = change <= cursor.fetched && asked == Some(form);
            was_read || was_asked_for
        })
    }

    fn logs_of(&self, reader: UserKey) -> impl Iterator<Item = &Log<Entry>> {
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

//! What changed when, and what the modules routed to whom.
//!
//! Every change worth telling, and every routed delivery, has a position; positions only grow. A log holds the newest
//! entry of a user alone, so it is never longer than there are users.

mod lost;
#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::sync::Arc;

use crate::delivery::log::Log;
use crate::delivery::progress::Progress;
use crate::delivery::routed::{
    Fingerprint, Form, Members, Reason, RoutedLog, RoutedUpdate, Since, TakenOver,
};
use crate::delivery::token::{Cursor, ModuleTag, SyncToken};
use crate::modules::{Audience, AudienceId};
use crate::presence::UserKey;

/// The position of a change that a module need not route: before all that anybody has read.
const NEVER: u64 = 0;

/// The logs.
#[derive(Debug)]
pub struct Streams {
    position: u64,
    progress: Arc<Progress>,
    changes: Log<()>,
    /// In the order in which they were attached.
    modules: Vec<(ModuleTag, RoutedLog)>,
    /// Of modules that are not asked any more.
    parked: Vec<(ModuleTag, RoutedLog)>,
}

impl Streams {
    /// Empty logs that begin at a position; it must be higher than any of earlier runs.
    pub fn new(start: u64) -> Self {
        Self {
            position: start,
            progress: Arc::new(Progress::new(start)),
            changes: Log::default(),
            modules: Vec::new(),
            parked: Vec::new(),
        }
    }

    /// The position of the newest entry.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How far these logs have come, now and later.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Takes the next position for something that is not in these logs.
    pub fn advance(&mut self) -> u64 {
        self.position += 1;
        self.progress.set(self.position);
        self.position
    }

    /// A user changed at a position of an earlier run.
    pub fn restore(&mut self, user: UserKey, change: u64) {
        if change > 0 {
            self.changes.note(user, change, ());
        }
    }

    /// Notes a change worth telling.
    pub fn changed(&mut self, user: UserKey) {
        let position = self.advance();
        self.changes.note(user, position, ());
    }

    /// The position of a user's last change; 0 when there was none.
    pub fn last_change(&self, user: UserKey) -> u64 {
        self.changes.of(user).map_or(0, |entry| entry.position)
    }

    /// The users who changed after a position, oldest change first.
    pub fn changed_after(&self, position: u64) -> impl Iterator<Item = UserKey> + '_ {
        self.changes.after(position).map(|(user, ())| user)
    }

    /// How many users changed after a position, counted up to a limit.
    pub fn changed_after_at_most(&self, position: u64, limit: usize) -> usize {
        self.changes.count_after_at_most(position, limit)
    }

    /// Begins the logs of a module.
    pub fn attach(&mut self, module: ModuleTag, since: Since) {
        self.detach(module);
        self.modules.push((module, RoutedLog::new(since)));
    }

    /// Another generation of a module takes over, and goes on with its logs. Returns the audiences of the one before, to be
    /// forgotten when whoever reads had time to. When it is of another file or config, it is not done with who is not offline,
    /// and whoever has asked the one before has not asked it.
    pub fn take_over(
        &mut self,
        module: ModuleTag,
        fingerprint: Fingerprint,
        is_offline: impl Fn(UserKey) -> bool,
    ) -> TakenOver {
        let changed = match fingerprint {
            Fingerprint::Same => None,
            Fingerprint::Other => Some(self.advance()),
        };
        let Some(log) = self.log_mut(module) else {
            return TakenOver::default();
        };
        let before = log.form();
        let unsettled = changed.map_or_else(Vec::new, |changed| log.unsettle(changed, is_offline));
        TakenOver {
            changed,
            unsettled,
            before: log.retire(before),
        }
    }

    /// Puts the logs of a module aside: it is not asked any more. Who reads until it is [resumed](Self::resume) reads nothing of
    /// them, and their token does not show it: so what was routed to audiences is forgotten.
    pub fn park(&mut self, module: ModuleTag) {
        if let Some(index) = self.modules.iter().position(|(tag, _)| *tag == module) {
            let (tag, mut log) = self.modules.remove(index);
            log.forget_all();
            self.parked.push((tag, log));
        }
    }

    /// A module is not asked any more: who reads from here on has not asked it.
    pub fn ask_no_more(&mut self, module: ModuleTag) {
        let position = self.advance();
        if let Some(log) = self.log_mut(module) {
            log.begin_form(position);
        }
    }

    /// A module that was asked no more is asked again, and goes on with its logs. Who has read meanwhile has read nothing
    /// of it, so it is not done with who is not offline. `None` when there are no logs of it.
    pub fn resume(&mut self, module: ModuleTag, is_offline: impl Fn(UserKey) -> bool) -> Option<TakenOver> {
        if let Some(index) = self.parked.iter().position(|(tag, _)| *tag == module) {
            self.modules.push(self.parked.remove(index));
        }
        self.log(module)?;
        let taken_over = self.take_over(module, Fingerprint::Other, is_offline);
        let position = self.position;
        self.log_mut(module)?.resumed_at(position);
        Some(taken_over)
    }

    /// Forgets the logs of a module.
    pub fn detach(&mut self, module: ModuleTag) {
        self.modules.retain(|(tag, _)| *tag != module);
    }

    /// The modules.
    pub fn modules(&self) -> impl Iterator<Item = ModuleTag> + '_ {
        self.modules.iter().map(|(tag, _)| *tag)
    }

    /// How far a token has read a module.
    pub fn cursor(&self, module: ModuleTag, token: &SyncToken) -> Cursor {
        let cursor = token.cursor(module);
        self.log(module).map_or(cursor, |log| log.effective(cursor))
    }

    /// Notes that a module is done with a user's change, and returns at which position. To be called before the change is
    /// noted for its audiences: then a reader who has read less than this has missed all of them, and one who has read
    /// more has missed none.
    pub fn settled(&mut self, module: ModuleTag, update: RoutedUpdate) -> u64 {
        let position = self.advance();
        if let Some(log) = self.log_mut(module) {
            log.settled(update, position);
        }
        position
    }

    /// A module was done with a user's change at a position of an earlier run.
    pub fn restore_settled(&mut self, module: ModuleTag, user: UserKey, change: u64, position: u64) {
        let reason = Reason::Changed;
        if let Some(log) = self.log_mut(module) {
            log.settled(RoutedUpdate { user, change, reason }, position);
        }
    }

    /// A module has nothing to do with a user's newest change, which it need not route. Returns the change and the position
    /// at which it counts as done, for the database; `None` when there was no change.
    pub fn pass_over(&mut self, module: ModuleTag, user: UserKey) -> Option<(u64, u64)> {
        let change = self.last_change(user);
        (change > 0).then(|| {
            self.restore_settled(module, user, change, NEVER);
            (change, NEVER)
        })
    }

    /// Whether a module is done with a user's newest change.
    pub fn is_settled(&self, module: ModuleTag, user: UserKey) -> bool {
        let settled = self.log(module).and_then(|log| log.settled_of(user));
        settled.map_or(0, |(change, _)| change) == self.last_change(user)
    }

    /// What a module routed after a position, to whomever, and is still the newest of its user.
    pub fn settled_after(&self, module: ModuleTag, position: u64) -> impl Iterator<Item = RoutedUpdate> + '_ {
        let log = self.log(module).into_iter();
        log.flat_map(move |log| log.settled_after(position))
            .filter(|update| update.change == self.last_change(update.user))
    }

    /// The users of whom a token has not read what a module did with their newest change: it routed that later, or has not
    /// yet, and it was not asked about them since either. So the reader may know what they were before.
    pub fn unread<'a>(
        &'a self,
        module: ModuleTag,
        token: &'a SyncToken,
    ) -> impl Iterator<Item = UserKey> + 'a {
        let cursor = self.cursor(module, token);
        let users = self.changes.users().map(|(user, _)| user);
        users.filter(move |user| self.is_unread_at(module, *user, cursor))
    }

    /// Whether a token has not read of each module what it did with a user's newest change.
    pub fn is_unread(&self, user: UserKey, token: &SyncToken) -> bool {
        self.modules()
            .any(|module| self.is_unread_at(module, user, self.cursor(module, token)))
    }

    fn is_unread_at(&self, module: ModuleTag, user: UserKey, cursor: Cursor) -> bool {
        let newest = self.last_change(user);
        let settled = self.log(module).and_then(|log| log.settled_of(user));
        let was_settled = settled.is_some_and(|(change, at)| {
            // What it had nothing to do with was for others to tell, when it happened.
            let at = if at == NEVER { change } else { at };
            change == newest && at <= cursor.routed
        });
        newest > cursor.fetched && !was_settled
    }

    /// How a module routes now.
    pub fn form(&self, module: ModuleTag) -> Option<Form> {
        self.log(module).map(RoutedLog::form)
    }

    /// Notes what a module, in one of its forms, routed to an audience, and returns the audience's members. `resolve` finds them the first time.
    pub fn route(
        &mut self,
        (module, form): (ModuleTag, Form),
        audience: &Audience,
        updates: impl Iterator<Item = RoutedUpdate>,
        resolve: impl FnOnce() -> Members,
    ) -> Members {
        let log = self.modules.iter_mut().find(|(tag, _)| *tag == module);
        let members = log.map(|(_, log)| log.route(form, audience, updates, resolve, &mut self.position));
        self.progress.set(self.position);
        members.unwrap_or_default()
    }

    /// Forgets the log of an audience that the module has released. Its members catch up by asking the module.
    pub fn forget(&mut self, module: ModuleTag, audience: AudienceId) {
        if let Some(log) = self.log_mut(module) {
            log.forget(audience);
        }
    }

    /// What a module routed to a user after what a token has read of it, and is still the newest of its user and news to
    /// them; the same may come twice, by two audiences. A newer change is on its way through the module, which may route it
    /// elsewhere. What another module has routed to them before is no news, unless they are yet to be told what that was.
    pub fn routed_after<'a>(
        &'a self,
        module: ModuleTag,
        reader: UserKey,
        token: &'a SyncToken,
    ) -> impl Iterator<Item = RoutedUpdate> + 'a {
        self.routed_until(module, reader, token, u64::MAX)
    }

    /// The same up to a position.
    pub fn routed_until<'a>(
        &'a self,
        module: ModuleTag,
        reader: UserKey,
        token: &'a SyncToken,
        position: u64,
    ) -> impl Iterator<Item = RoutedUpdate> + 'a {
        let cursor = self.cursor(module, token);
        let until = position.max(cursor.routed);
        let positions = (Bound::Excluded(cursor.routed), Bound::Included(until));
        self.log(module)
            .into_iter()
            .flat_map(move |log| log.routed_in(reader, positions))
            .filter(|update| update.change == self.last_change(update.user))
            .filter(move |update| self.is_news(*update, cursor, reader, token))
    }

    /// The users whose newest change a module has routed since a token read it, to whomever, and of which the token does
    /// not show that the reader was told. And those who changed since then and whom it need not route: the reader may know
    /// them by a room that shows them no more.
    pub fn missed<'a>(
        &'a self,
        module: ModuleTag,
        reader: UserKey,
        token: &'a SyncToken,
    ) -> impl Iterator<Item = UserKey> + 'a {
        let cursor = self.cursor(module, token);
        self.settled_after(module, cursor.routed)
            .chain(self.passed_over(module, cursor.routed))
            .filter(move |update| self.is_news(*update, cursor, reader, token))
            .map(|update| update.user)
    }

    /// The users whose newest change a module has routed, after what a token has read of it, in a form that it has no more, and
    /// of which the token does not show that the reader was told.
    pub fn routed_otherwise<'a>(
        &'a self,
        module: ModuleTag,
        reader: UserKey,
        token: &'a SyncToken,
    ) -> impl Iterator<Item = UserKey> + 'a {
        let cursor = self.cursor(module, token);
        let changed = self.log(module).map(RoutedLog::changed);
        let changed = changed.filter(|changed| cursor.routed < *changed).into_iter();
        changed
            .flat_map(move |changed| {
                let before = (Bound::Excluded(cursor.routed), Bound::Excluded(changed));
                self.done_with(module, before, move |at| at < changed)
            })
            .filter(move |update| self.is_news(*update, cursor, reader, token))
            .map(|update| update.user)
    }

    /// Whether a token shows neither by what was asked of the module, whose cursor it is, nor by any module's logs that the
    /// reader was told of a change. What a module sends of its own accord is always news.
    fn is_news(&self, update: RoutedUpdate, cursor: Cursor, reader: UserKey, token: &SyncToken) -> bool {
        let RoutedUpdate { user, change, reason } = update;
        reason == Reason::Sent || (change > cursor.fetched && !self.was_told(reader, token, user, change))
    }

    /// Newest changes after a position that a module need not route.
    fn passed_over(&self, module: ModuleTag, position: u64) -> impl Iterator<Item = RoutedUpdate> + '_ {
        let after = (Bound::Excluded(position), Bound::Unbounded);
        self.done_with(module, after, |at| at == NEVER)
    }

    /// Newest changes in a range of positions, with which a module was done at a position of which something holds.
    fn done_with<'a>(
        &'a self,
        module: ModuleTag,
        positions: (Bound<u64>, Bound<u64>),
        holds: impl Fn(u64) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = RoutedUpdate> + 'a {
        self.log(module).into_iter().flat_map(move |log| {
            self.changes.range(positions).filter_map(move |(user, ())| {
                let (change, at) = log.settled_of(user)?;
                let reason = Reason::Changed;
                (change == self.last_change(user) && holds(at)).then_some(RoutedUpdate {
                    user,
                    change,
                    reason,
                })
            })
        })
    }

    /// Whether what a token has read of the modules' logs had a change in it.
    pub fn was_told(&self, reader: UserKey, token: &SyncToken, user: UserKey, change: u64) -> bool {
        // What is routed has a later position than the change, so who has not come as far as that has not read it.
        if change >= token.furthest() {
            return false;
        }
        self.modules.iter().any(|(tag, log)| {
            let cursor = token.cursor(*tag);
            !cursor.was_never_answered() && log.was_told(reader, cursor, user, change)
        })
    }

    /// Up to where what a module routed to a user is not in the logs. Who has read less must ask the module.
    pub fn routed_floor(&self, module: ModuleTag, reader: UserKey) -> u64 {
        self.log(module).map_or(0, |log| log.floor(reader))
    }

    fn log(&self, module: ModuleTag) -> Option<&RoutedLog> {
        let found = self.modules.iter().find(|(tag, _)| *tag == module);
        found.map(|(_, log)| log)
    }

    fn log_mut(&mut self, module: ModuleTag) -> Option<&mut RoutedLog> {
        let found = self.modules.iter_mut().find(|(tag, _)| *tag == module);
        found.map(|(_, log)| log)
    }
}

//! Changes that one module does not tell any more, or never did, and that another, which has come to show the same users since
//! then, has been done with when it routed otherwise. That one is to be asked of them.

use crate::delivery::routed::RoutedLog;
use crate::delivery::streams::Streams;
use crate::delivery::token::{ModuleTag, SyncToken};
use crate::presence::UserKey;

impl Streams {
    /// The users whose newest change other modules have routed after what a token has read of them, and of which there is no log
    /// any more for this reader, and a module has routed in a form that it has no more.
    pub fn forgotten_by_others<'a>(
        &'a self,
        module: ModuleTag,
        reader: UserKey,
        token: &'a SyncToken,
    ) -> impl Iterator<Item = UserKey> + 'a {
        let log = self.log(module);
        let cursor = self.cursor(module, token);
        self.that_forgot(reader, token)
            .filter(move |(tag, _)| *tag != module)
            // What was routed before it was read last was read where it was routed, or has been asked for.
            .flat_map(move |(tag, log)| log.settled_after(token.cursor(tag).routed.max(cursor.routed)))
            .filter(|update| update.change == self.last_change(update.user))
            .filter(move |update| {
                log.is_some_and(|log| log.was_done_otherwise_with(update.user, update.change))
            })
            .filter(move |update| self.is_news(*update, cursor, reader, token))
            .map(|update| update.user)
    }

    /// The modules that may have routed something to a reader, after what a token has read of them, that is in no log that is
    /// read: their logs were put aside, or those of former audiences were forgotten.
    fn that_forgot<'a>(
        &'a self,
        reader: UserKey,
        token: &'a SyncToken,
    ) -> impl Iterator<Item = (ModuleTag, &'a RoutedLog)> + 'a {
        let forgotten = self
            .modules
            .iter()
            .filter(move |(tag, log)| token.cursor(*tag).routed < log.floor(reader));
        let put_aside = self
            .parked
            .iter()
            .filter(|(tag, log)| token.cursor(*tag).routed < log.asked_until());
        forgotten.chain(put_aside).map(|(tag, log)| (*tag, log))
    }

    /// A module will not route the newest changes of these users, or will do so otherwise than it would have. Another was done
    /// with some of them in a form that it has no more: it is done with them no longer. Returns these.
    pub fn route_again(&mut self, module: ModuleTag, users: &[UserKey]) -> Vec<UserKey> {
        let log = self.log(module);
        let is_due = |user: &UserKey| {
            log.is_some_and(|log| log.was_done_otherwise_with(*user, self.last_change(*user)))
        };
        let due: Vec<_> = users.iter().copied().filter(is_due).collect();
        if let Some(log) = self.log_mut(module) {
            log.unsettle_all(&due);
        }
        due
    }
}

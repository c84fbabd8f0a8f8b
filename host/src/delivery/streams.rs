//! What changed when, and what the modules routed to whom.
//!
//! Every change worth telling, and every routed delivery, has a position; positions only grow. A log holds the newest
//! entry of a user alone, so it is never longer than there are users.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::modules::{Audience, AudienceId};
use crate::presence::UserKey;

/// One routed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutedUpdate {
    /// Whose state.
    pub user: UserKey,
    /// The position of the change that was routed; `None` when the module sent the state of its own accord, changed
    /// or not.
    pub change: Option<u64>,
}

/// The logs.
#[derive(Debug)]
pub struct Streams {
    start: u64,
    position: u64,
    changes: Log<()>,
    audiences: HashMap<AudienceId, AudienceLog>,
    audiences_of: HashMap<UserKey, Vec<AudienceId>>,
    /// Of users in an audience that was forgotten: what was routed up to here is not in the logs any more.
    floors: HashMap<UserKey, u64>,
}

#[derive(Debug)]
struct AudienceLog {
    members: Arc<[UserKey]>,
    log: Log<Option<u64>>,
}

impl Streams {
    /// Empty logs that begin at a position; it must be higher than any of earlier runs.
    pub fn new(start: u64) -> Self {
        Self {
            start,
            position: start,
            changes: Log::default(),
            audiences: HashMap::new(),
            audiences_of: HashMap::new(),
            floors: HashMap::new(),
        }
    }

    /// The position of the newest entry.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Notes a change worth telling.
    pub fn changed(&mut self, user: UserKey) {
        self.position += 1;
        self.changes.note(user, self.position, ());
    }

    /// The position of a user's last change; 0 when there was none.
    pub fn last_change(&self, user: UserKey) -> u64 {
        self.changes.by_user.get(&user).map_or(0, |entry| entry.position)
    }

    /// The users who changed after a position, oldest change first.
    pub fn changed_after(&self, position: u64) -> impl Iterator<Item = UserKey> + '_ {
        self.changes.after(position).map(|(user, ())| user)
    }

    /// How many users changed after a position, counted up to a limit.
    pub fn changed_after_at_most(&self, position: u64, limit: usize) -> usize {
        self.changes.after(position).take(limit).count()
    }

    /// Notes what a module routed to an audience, and returns the audience's local members, sorted. `resolve` finds
    /// them the first time.
    pub fn route(
        &mut self,
        audience: &Audience,
        updates: impl Iterator<Item = RoutedUpdate>,
        resolve: impl FnOnce() -> Vec<UserKey>,
    ) -> Arc<[UserKey]> {
        let log = self.audiences.entry(audience.id()).or_insert_with(|| {
            let mut members = resolve();
            members.sort_unstable();
            members.dedup();
            for member in &members {
                self.audiences_of.entry(*member).or_default().push(audience.id());
            }
            AudienceLog {
                members: members.into(),
                log: Log::default(),
            }
        });
        if !log.members.is_empty() {
            for update in updates {
                // A user who changes while a batch waits is in two batches, with the same newest state.
                let known = log.log.by_user.get(&update.user).map(|entry| entry.value);
                if update.change.is_some() && known == Some(update.change) {
                    continue;
                }
                self.position += 1;
                log.log.note(update.user, self.position, update.change);
            }
        }
        Arc::clone(&log.members)
    }

    /// Forgets the log of an audience that the module has released. Its members catch up by asking the module.
    pub fn forget(&mut self, audience: AudienceId) {
        let Some(log) = self.audiences.remove(&audience) else {
            return;
        };
        let newest = log
            .log
            .by_position
            .last_key_value()
            .map_or(0, |(position, _)| *position);
        for member in &*log.members {
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

    /// What was routed to a user after a position; the same user's state may come twice, by two audiences.
    pub fn routed_after(&self, reader: UserKey, position: u64) -> impl Iterator<Item = RoutedUpdate> + '_ {
        let audiences = self.audiences_of.get(&reader).map_or(&[][..], Vec::as_slice);
        audiences
            .iter()
            .filter_map(|audience| self.audiences.get(audience))
            .flat_map(move |audience| audience.log.after(position))
            .map(|(user, change)| RoutedUpdate { user, change })
    }

    /// Up to where a user's routed deliveries are not in the logs. Who has read less must ask the modules.
    pub fn routed_floor(&self, reader: UserKey) -> u64 {
        self.floors.get(&reader).copied().unwrap_or(0).max(self.start)
    }
}

/// The newest entry of each user, by user and by position.
#[derive(Debug)]
struct Log<T> {
    by_user: HashMap<UserKey, LogEntry<T>>,
    by_position: BTreeMap<u64, UserKey>,
}

#[derive(Debug, Clone, Copy)]
struct LogEntry<T> {
    position: u64,
    value: T,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self {
            by_user: HashMap::new(),
            by_position: BTreeMap::new(),
        }
    }
}

impl<T: Copy> Log<T> {
    fn note(&mut self, user: UserKey, position: u64, value: T) {
        if let Some(older) = self.by_user.insert(user, LogEntry { position, value }) {
            self.by_position.remove(&older.position);
        }
        self.by_position.insert(position, user);
    }

    fn after(&self, position: u64) -> impl Iterator<Item = (UserKey, T)> + '_ {
        self.by_position
            .range((Bound::Excluded(position), Bound::Unbounded))
            .filter_map(|(_, user)| self.by_user.get(user).map(|entry| (*user, entry.value)))
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::UserId;

    use super::*;

    const A: UserKey = UserKey(0);
    const B: UserKey = UserKey(1);
    const C: UserKey = UserKey(2);

    fn audience() -> Audience {
        Audience::new(vec![UserId::parse("@c:x").expect("valid")])
    }

    fn routed(user: UserKey, change: u64) -> std::iter::Once<RoutedUpdate> {
        std::iter::once(RoutedUpdate {
            user,
            change: Some(change),
        })
    }

    #[test]
    fn a_user_who_changed_twice_is_listed_once_at_the_newer_position() {
        let mut streams = Streams::new(100);
        streams.changed(A);
        streams.changed(B);
        streams.changed(A);
        assert_eq!(streams.changed_after(100).collect::<Vec<_>>(), [B, A]);
        assert_eq!(streams.changed_after(102).collect::<Vec<_>>(), [A]);
        assert_eq!(streams.changed_after(103).count(), 0);
        assert_eq!((streams.last_change(A), streams.last_change(C)), (103, 0));
    }

    #[test]
    fn what_is_routed_is_read_by_the_members_alone() {
        let mut streams = Streams::new(0);
        streams.changed(A);
        let members = streams.route(&audience(), routed(A, 1), || vec![C, C]);
        assert_eq!(&*members, [C]);
        assert_eq!(
            streams.routed_after(C, 1).collect::<Vec<_>>(),
            [RoutedUpdate {
                user: A,
                change: Some(1)
            }]
        );
        assert_eq!(streams.routed_after(C, 2).count(), 0);
        assert_eq!(streams.routed_after(B, 0).count(), 0);
    }

    #[test]
    fn a_change_that_is_routed_twice_is_news_once() {
        let mut streams = Streams::new(0);
        streams.changed(A);
        let audience = audience();
        streams.route(&audience, routed(A, 1), || vec![C]);
        let read = streams.position();
        streams.route(&audience, routed(A, 1), || vec![C]);
        assert_eq!(streams.routed_after(C, read).count(), 0);
        let own_accord = RoutedUpdate {
            user: A,
            change: None,
        };
        streams.route(&audience, std::iter::once(own_accord), || vec![C]);
        assert_eq!(streams.routed_after(C, read).count(), 1);
    }

    #[test]
    fn who_read_less_than_a_forgotten_log_held_must_ask() {
        let mut streams = Streams::new(10);
        let audience = audience();
        streams.route(&audience, routed(A, 1), || vec![C]);
        assert_eq!(streams.routed_floor(C), 10);
        streams.forget(audience.id());
        assert_eq!(streams.routed_floor(C), 11);
        assert_eq!(streams.routed_floor(B), 10);
        assert_eq!(streams.routed_after(C, 0).count(), 0);
    }

    #[test]
    fn an_audience_without_local_members_keeps_no_log() {
        let mut streams = Streams::new(0);
        streams.route(&audience(), routed(A, 1), Vec::new);
        assert_eq!(streams.position(), 0);
    }
}

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
    /// The position of the change that was routed. Only this state was: when the user has changed since, the newer state
    /// is not for this audience yet.
    pub change: u64,
    /// Why it was routed.
    pub reason: Reason,
}

impl RoutedUpdate {
    /// Whether it is news to who has asked the modules at a position.
    pub fn is_news_after(&self, fetched: u64) -> bool {
        self.reason == Reason::Sent || self.change > fetched
    }
}

/// Why a state was routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It had changed. Who has read the change already need not be told.
    Changed,
    /// The module sent it of its own accord, changed or not.
    Sent,
}

/// The logs.
#[derive(Debug)]
pub struct Streams {
    start: u64,
    position: u64,
    changes: Log<()>,
    audiences: HashMap<AudienceId, AudienceLog>,
    audiences_of: HashMap<UserKey, Vec<AudienceId>>,
    /// Which change of whom was routed last, to whatever audience. It outlives the audiences' logs.
    routed: Log<(u64, Reason)>,
    /// Of users in an audience that was forgotten: what was routed up to here is not in the logs any more.
    floors: HashMap<UserKey, u64>,
}

#[derive(Debug)]
struct AudienceLog {
    members: Arc<[UserKey]>,
    log: Log<(u64, Reason)>,
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
            routed: Log::default(),
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

    /// Notes that a module is done with a user's change. To be called before the change is noted for its audiences: then
    /// a reader who has read less than this has missed all of them, and one who has read more has missed none.
    pub fn settled(&mut self, update: RoutedUpdate) {
        self.position += 1;
        let RoutedUpdate { user, change, reason } = update;
        self.routed.note(user, self.position, (change, reason));
    }

    /// What was routed after a position, to whomever, and is still the newest of its user.
    pub fn settled_after(&self, position: u64) -> impl Iterator<Item = RoutedUpdate> + '_ {
        self.routed
            .after(position)
            .map(|(user, (change, reason))| RoutedUpdate { user, change, reason })
            .filter(|update| update.change == self.last_change(update.user))
    }

    /// The users whose newest change was not routed up to a position: later, or not yet.
    pub fn unsettled_at(&self, position: u64) -> impl Iterator<Item = UserKey> + '_ {
        self.changes.by_user.iter().filter_map(move |(user, entry)| {
            let settled = self.routed.by_user.get(user);
            let in_time =
                settled.is_some_and(|routed| routed.value.0 == entry.position && routed.position <= position);
            (!in_time).then_some(*user)
        })
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
            for RoutedUpdate { user, change, reason } in updates {
                let known = log.log.by_user.get(&user).map(|entry| entry.value.0);
                if reason == Reason::Sent || known != Some(change) {
                    self.position += 1;
                    log.log.note(user, self.position, (change, reason));
                }
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

    /// What was routed to a user after a position, and is still the newest of its user; the same may come twice, by two
    /// audiences. A newer change is on its way through the module, which may route it elsewhere.
    pub fn routed_after(&self, reader: UserKey, position: u64) -> impl Iterator<Item = RoutedUpdate> + '_ {
        self.logs_of(reader)
            .flat_map(move |log| log.after(position))
            .map(|(user, (change, reason))| RoutedUpdate { user, change, reason })
            .filter(|update| update.change == self.last_change(update.user))
            .filter(move |update| {
                update.reason == Reason::Sent || !self.routed_by(reader, position, update.user, update.change)
            })
    }

    /// Whether a change was routed to a reader at a position or before it.
    fn routed_by(&self, reader: UserKey, position: u64, user: UserKey, change: u64) -> bool {
        self.logs_of(reader)
            .filter_map(|log| log.by_user.get(&user))
            .any(|entry| entry.position <= position && entry.value.0 == change)
    }

    fn logs_of(&self, reader: UserKey) -> impl Iterator<Item = &Log<(u64, Reason)>> {
        let audiences = self.audiences_of.get(&reader).map_or(&[][..], Vec::as_slice);
        audiences
            .iter()
            .filter_map(|audience| self.audiences.get(audience))
            .map(|audience| &audience.log)
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

    fn update(user: UserKey, change: u64) -> RoutedUpdate {
        RoutedUpdate {
            user,
            change,
            reason: Reason::Changed,
        }
    }

    fn routed(user: UserKey, change: u64) -> std::iter::Once<RoutedUpdate> {
        std::iter::once(update(user, change))
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
        assert_eq!(streams.routed_after(C, 1).collect::<Vec<_>>(), [update(A, 1)]);
        assert_eq!(streams.routed_after(C, 2).count(), 0);
        assert_eq!(streams.routed_after(B, 0).count(), 0);
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

    #[test]
    fn a_newer_change_hides_what_was_routed_until_it_is_routed_itself() {
        let mut streams = Streams::new(0);
        let audience = audience();
        streams.changed(A);
        streams.route(&audience, routed(A, 1), || vec![C]);
        streams.changed(A);
        assert_eq!(streams.routed_after(C, 0).count(), 0);
        let newest = streams.last_change(A);
        streams.route(&audience, routed(A, newest), || unreachable!("resolved before"));
        assert_eq!(streams.routed_after(C, 0).count(), 1);
    }

    #[test]
    fn the_same_change_is_news_once_whatever_the_audiences() {
        let mut streams = Streams::new(0);
        let (one, other) = (audience(), audience());
        streams.changed(A);
        streams.route(&one, routed(A, 1), || vec![C]);
        let read = streams.position();
        streams.route(&one, routed(A, 1), || unreachable!("resolved before"));
        streams.route(&other, routed(A, 1), || vec![C]);
        assert_eq!(streams.routed_after(C, read).count(), 0);
        let sent = RoutedUpdate {
            reason: Reason::Sent,
            ..update(A, 1)
        };
        streams.route(&other, std::iter::once(sent), || unreachable!("resolved before"));
        assert_eq!(streams.routed_after(C, read).collect::<Vec<_>>(), [sent]);
    }

    #[test]
    fn what_was_settled_can_be_asked_for_when_its_log_is_forgotten() {
        let mut streams = Streams::new(0);
        let audience = audience();
        streams.changed(A);
        let read = streams.position();
        streams.settled(update(A, 1));
        streams.route(&audience, routed(A, 1), || vec![C]);
        streams.forget(audience.id());
        assert!(read < streams.routed_floor(C));
        assert_eq!(streams.settled_after(read).collect::<Vec<_>>(), [update(A, 1)]);
        assert_eq!(streams.settled_after(streams.position()).count(), 0);
        streams.changed(A);
        assert_eq!(streams.settled_after(read).count(), 0);
    }
}

//! Asks modules for what the logs do not hold any more, or never did.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::delivery::{Cursor, Events, ModuleTag, Owes, PresenceFilter, SyncToken};
use crate::engine::fetch::{Fetched, Wanted};
use crate::engine::{Session, Shared};
use crate::presence::UserKey;

/// What the modules said when they were asked for what the logs do not hold.
pub(super) struct CaughtUp {
    answers: Vec<Fetched>,
    /// What was routed later is in the logs.
    position: u64,
}

impl Shared {
    /// Asks the modules that owe an answer.
    pub(super) async fn catch_up(
        &self,
        session: &Session,
        token: SyncToken,
        owed: Vec<ModuleTag>,
    ) -> CaughtUp {
        let feeds = self.feeds();
        let (mut asked, mut answers) = (Vec::new(), Vec::new());
        let position = {
            let world = self.world.read();
            for feed in feeds.iter().filter(|feed| owed.contains(&feed.tag())) {
                let cursor = token.cursor(feed.tag());
                let rooms = world.shared_rooms();
                let mut missed: Vec<UserKey> = world
                    .streams
                    .missed(feed.tag(), session.user, &token)
                    .filter(|user| !rooms.shows(session.user, *user))
                    .chain(world.lost_sight_of(feed.tag(), session.user, &token))
                    .collect();
                if cursor.owes == Owes::All {
                    // What it routes of changes up to now is no news after it has been asked for all, so who has gone is
                    // asked for here, routed or not.
                    let streams = &world.streams;
                    let told = |user: &UserKey| {
                        streams.was_told(session.user, &token, *user, streams.last_change(*user))
                    };
                    let unread = streams.unread(feed.tag(), &token);
                    let unseen = unread.filter(|user| !rooms.shows(session.user, *user));
                    missed.extend(unseen.filter(|user| !told(user)));
                }
                missed.sort_unstable();
                missed.dedup();
                if cursor.owes == Owes::All {
                    asked.push((Arc::clone(feed), Wanted::NotOfflineAnd(missed)));
                } else if missed.is_empty() {
                    answers.push(Fetched {
                        module: feed.tag(),
                        users: Some(missed),
                    });
                } else {
                    // What is on its way through the modules comes by the logs.
                    asked.push((Arc::clone(feed), Wanted::Of(missed)));
                }
            }
            // Of one that is not there any more, what is in the logs is told.
            let is_gone = |module: &ModuleTag| feeds.iter().all(|feed| feed.tag() != *module);
            let gone = owed.iter().filter(|module| is_gone(module));
            let told = gone.filter(|module| token.cursor(**module).owes == Owes::News);
            answers.extend(told.map(|module| Fetched {
                module: *module,
                users: Some(Vec::new()),
            }));
            world.streams.position()
        };
        answers.extend(self.fetch(session.reader(), asked).await);
        CaughtUp { answers, position }
    }

    /// Adds what the modules said to a sync's answer. When some did not answer, it tells how long these are left alone.
    pub(super) fn take_in(
        &self,
        session: &Session,
        caught_up: &CaughtUp,
        token: &mut SyncToken,
        events: &mut Events,
        filter: &PresenceFilter,
    ) -> Option<Duration> {
        let world = self.world.read();
        let CaughtUp { answers, position } = caught_up;
        let mut users = Vec::new();
        let mut cursors = Vec::new();
        for module in world.streams.modules() {
            let cursor = token.cursor(module);
            let answer = answers.iter().find(|answer| answer.module == module);
            let cursor = match answer.and_then(|answer| answer.users.as_ref()) {
                None => cursor,
                Some(shown) => {
                    let streams = &world.streams;
                    // One that never answered says nothing again that others have told.
                    let told_by_others = |user: &UserKey| {
                        cursor.was_never_answered()
                            && streams.was_told(session.user, token, *user, streams.last_change(*user))
                    };
                    let shown = world.unchanged_since(shown, *position);
                    users.extend(shown.filter(|user| !told_by_others(user)));
                    // What is in the logs counts as read from now on, whatever the module says today.
                    let routed = streams.routed_until(module, session.user, token, *position);
                    let rooms = world.shared_rooms();
                    users.extend(
                        routed
                            .map(|update| update.user)
                            .filter(|user| !rooms.shows(session.user, *user)),
                    );
                    let asked_for_all = cursor.owes == Owes::All;
                    Cursor {
                        routed: *position,
                        fetched: if asked_for_all { *position } else { cursor.fetched },
                        owes: Owes::News,
                    }
                }
            };
            cursors.push((module, cursor));
        }
        *token = SyncToken::new(token.stream, &cursors, token.common());
        users.sort_unstable();
        users.dedup();
        let more = world.events(filter, users.into_iter(), self.clock.now_ms());
        if !more.is_empty() {
            let mut all = std::mem::take(events).into_vec();
            let newer: HashSet<_> = more.iter().map(|event| &event.sender).collect();
            all.retain(|event| !newer.contains(&event.sender));
            all.extend(more);
            *events = all.into();
        }
        let failed = answers.iter().filter(|answer| answer.users.is_none());
        let feeds = self.feeds();
        failed
            .filter_map(|answer| feeds.iter().find(|feed| feed.tag() == answer.module))
            .filter_map(|feed| feed.lease().quarantined_for())
            .max()
    }
}

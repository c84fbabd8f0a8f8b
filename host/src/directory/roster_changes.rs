//! What makes another roster of one, event by event, in pieces. The rosters are sorted, so a walk along both shows it, and
//! nothing but the place of the walk is kept.

use std::cmp::Ordering;
use std::sync::Arc;

use presence_router_api::UserId;

use crate::config::Roster;
use crate::directory::source::Event;

/// The changes from one roster to another: who is gone, who is new, then the rooms, each of them those who left before those
/// who came.
#[derive(Debug)]
pub(super) struct RosterChanges {
    old: Arc<Roster>,
    new: Arc<Roster>,
    walk: Walk,
}

/// How far the walk is, in each of the two.
#[derive(Debug, Clone, Copy)]
enum Walk {
    Removed(u32, u32),
    Added(u32, u32),
    Rooms(u32, u32),
    Done,
}

/// A change, which borrows from the rosters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change<'r> {
    UserAdded(&'r str),
    UserRemoved(&'r str),
    Joined(&'r str),
    Left(&'r str),
}

impl RosterChanges {
    pub(super) fn new(old: Arc<Roster>, new: Arc<Roster>) -> Self {
        Self {
            old,
            new,
            walk: Walk::Removed(0, 0),
        }
    }

    /// The next events, about as many as asked for: those of one room are not divided. Empty when there are no more.
    pub(super) fn take(&mut self, about: usize) -> Vec<Event> {
        let mut events = Vec::new();
        let mut walk = self.walk;
        while events.len() < about && !matches!(walk, Walk::Done) {
            let mut room_id: Option<Arc<str>> = None;
            walk = self.step(walk, |room, change| {
                let id = |id: &str| UserId::parse(id).expect("ids of a roster were checked when it was read");
                let mut room = || Arc::clone(room_id.get_or_insert_with(|| Arc::from(room)));
                events.push(match change {
                    Change::UserAdded(user) => Event::UserAdded(id(user)),
                    Change::UserRemoved(user) => Event::UserRemoved(id(user)),
                    Change::Joined(user) => Event::Joined {
                        room_id: room(),
                        user_id: id(user),
                    },
                    Change::Left(user) => Event::Left {
                        room_id: room(),
                        user_id: id(user),
                    },
                });
            });
        }
        self.walk = walk;
        events
    }

    /// Tells of all changes that have not been taken, and leaves them there.
    pub(super) fn each(&self, mut tell: impl FnMut(Change<'_>)) {
        let mut walk = self.walk;
        while !matches!(walk, Walk::Done) {
            walk = self.step(walk, |_, change| tell(change));
        }
    }

    /// Goes on by a user or a room. `tell` gets the room, if it is one, and what has changed.
    fn step(&self, walk: Walk, mut tell: impl FnMut(&str, Change<'_>)) -> Walk {
        let (old, new) = (&*self.old, &*self.new);
        match walk {
            Walk::Removed(of_old, of_new) if of_old < old.user_count() => {
                let (found, of_new) = find(old, of_old, new, of_new);
                if old.is_local(of_old) && found != Some(Local::Yes) {
                    tell("", Change::UserRemoved(old.user(of_old)));
                }
                Walk::Removed(of_old + 1, of_new)
            }
            Walk::Removed(..) => Walk::Added(0, 0),
            Walk::Added(of_old, of_new) if of_new < new.user_count() => {
                let (found, of_old) = find(new, of_new, old, of_old);
                if new.is_local(of_new) && found != Some(Local::Yes) {
                    tell("", Change::UserAdded(new.user(of_new)));
                }
                Walk::Added(of_old, of_new + 1)
            }
            Walk::Added(..) => Walk::Rooms(0, 0),
            Walk::Rooms(of_old, of_new) => {
                let order = match (of_old < old.room_count(), of_new < new.room_count()) {
                    (true, true) => old.room(of_old).cmp(new.room(of_new)),
                    (true, false) => Ordering::Less,
                    (false, true) => Ordering::Greater,
                    (false, false) => return Walk::Done,
                };
                let (before, now): (&[u32], &[u32]) = match order {
                    Ordering::Less => (old.members(of_old), &[]),
                    Ordering::Equal => (old.members(of_old), new.members(of_new)),
                    Ordering::Greater => (&[], new.members(of_new)),
                };
                let room = match order {
                    Ordering::Less | Ordering::Equal => old.room(of_old),
                    Ordering::Greater => new.room(of_new),
                };
                not_in(old, before, new, now, |user| tell(room, Change::Left(user)));
                not_in(new, now, old, before, |user| tell(room, Change::Joined(user)));
                Walk::Rooms(
                    of_old + u32::from(order != Ordering::Greater),
                    of_new + u32::from(order != Ordering::Less),
                )
            }
            Walk::Done => Walk::Done,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Local {
    Yes,
    No,
}

/// Looks for a user of `this` in `other`, from a place on that is not behind it. Answers what the user is there, and the place
/// from which the next one is to be looked for.
fn find(this: &Roster, user: u32, other: &Roster, mut from: u32) -> (Option<Local>, u32) {
    let id = this.user(user);
    while from < other.user_count() {
        match other.user(from).cmp(id) {
            Ordering::Less => from += 1,
            Ordering::Equal if other.is_local(from) => return (Some(Local::Yes), from),
            Ordering::Equal => return (Some(Local::No), from),
            Ordering::Greater => break,
        }
    }
    (None, from)
}

/// The members that are not among those of the other roster.
fn not_in<'r>(
    this: &'r Roster,
    members: &[u32],
    other: &Roster,
    others: &[u32],
    mut tell: impl FnMut(&'r str),
) {
    let mut others = others.iter().map(|user| other.user(*user)).peekable();
    for id in members.iter().map(|user| this.user(*user)) {
        while others.next_if(|other| *other < id).is_some() {}
        if others.peek() != Some(&id) {
            tell(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::config::StaticUser;

    type Members = BTreeMap<String, BTreeSet<UserId>>;

    fn user(number: u8) -> UserId {
        UserId::parse(format!("@u{number}:x")).expect("valid")
    }

    fn sets() -> impl Strategy<Value = (BTreeSet<UserId>, Members)> {
        let users = || prop::collection::btree_set((0_u8..6).prop_map(user), 0..6);
        let rooms = prop::collection::btree_map((0_u8..4).prop_map(|room| format!("!{room}")), users(), 0..4);
        (users(), rooms)
    }

    fn roster((users, rooms): &(BTreeSet<UserId>, Members)) -> Arc<Roster> {
        let users = users
            .iter()
            .map(|user| (user.clone(), StaticUser::default()))
            .collect();
        Arc::new(Roster::of(&users, rooms))
    }

    fn apply((users, rooms): &mut (BTreeSet<UserId>, Members), event: Event) {
        match event {
            Event::UserAdded(user) => assert!(users.insert(user), "added twice"),
            Event::UserRemoved(user) => assert!(users.remove(&user), "removed twice"),
            Event::Joined { room_id, user_id } => {
                let members = rooms.entry(room_id.to_string()).or_default();
                assert!(members.insert(user_id), "joined twice");
            }
            Event::Left { room_id, user_id } => {
                let members = rooms.get_mut(&*room_id).expect("a room that there was");
                assert!(members.remove(&user_id), "left twice");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_told_makes_the_one_of_the_other_in_pieces_of_any_size(
            old in sets(),
            new in sets(),
            piece in 1_usize..5,
        ) {
            let mut changes = RosterChanges::new(roster(&old), roster(&new));
            let mut told = 0;
            changes.each(|_| told += 1);
            let mut now = old;
            loop {
                let events = changes.take(piece);
                if events.is_empty() {
                    break;
                }
                told -= events.len();
                for event in events {
                    apply(&mut now, event);
                }
            }
            prop_assert_eq!(told, 0);
            prop_assert_eq!(&now.0, &new.0);
            // Of a room without members there is nothing to tell.
            let with_members = |rooms: Members| -> Members {
                rooms.into_iter().filter(|(_, members)| !members.is_empty()).collect()
            };
            prop_assert_eq!(with_members(now.1), with_members(new.1));
        }
    }
}

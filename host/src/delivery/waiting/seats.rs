//! Who waits, where, and until when. A user's seat stays until the time is over that was noted for it, so that who waits again and
//! again finds it, and its time noted, as it was.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::{Poll, Waker};

use tokio::time::Instant;

use crate::delivery::waiting::Woken;
use crate::presence::{ByUser, UserKey};

/// So many times that count no more are kept, at least, before they are dropped.
const FEW: usize = 64;

/// A wait's place, until it has ended or is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

/// The seats of users, and the places of their waits. Places are used again; there are as many as there have been waits at once.
#[derive(Debug, Default)]
pub(super) struct Seats {
    by_user: ByUser<Seat>,
    waits: Vec<Wait>,
    free: Vec<Place>,
    /// How many wait and are not woken yet.
    len: usize,
    /// When to look whose time is over. One counts when the user's seat says the same; of those that do not, there are at
    /// most as many as seats, and [`FEW`].
    due: BinaryHeap<Reverse<(Instant, UserKey)>>,
    is_closed: bool,
}

/// Of one user.
#[derive(Debug, Default)]
struct Seat {
    /// The wait that began last, of those that are not woken.
    newest: Option<Place>,
    /// When to look whose time is over: not after the first is.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Wait {
    user: UserKey,
    until: Option<Instant>,
    state: State,
    /// The next older one of the same user, and the next newer.
    older: Option<Place>,
    newer: Option<Place>,
}

#[derive(Debug)]
enum State {
    Waits(Waker),
    Woken(Woken),
    Free,
}

impl Seats {
    #[cfg(test)]
    pub(super) fn user_count(&self) -> usize {
        self.by_user.values().filter(|seat| seat.newest.is_some()).count()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// A place for a wait; and whether its time is over before that of all others.
    pub(super) fn take(&mut self, user: UserKey, until: Option<Instant>, waker: Waker) -> (Place, bool) {
        let seat = self.by_user.entry(user).or_default();
        let wait = Wait {
            user,
            until,
            state: State::Waits(waker),
            older: seat.newest,
            newer: None,
        };
        let place = if let Some(place) = self.free.pop() {
            self.waits[place.0 as usize] = wait;
            place
        } else {
            let number = u32::try_from(self.waits.len());
            self.waits.push(wait);
            Place(number.expect("fewer than 2^32 long-polls fit into memory"))
        };
        if let Some(older) = seat.newest.replace(place) {
            self.waits[older.0 as usize].newer = Some(place);
        }
        self.len += 1;
        let sooner = until.filter(|until| seat.due.is_none_or(|due| *until < due));
        let Some(until) = sooner else {
            return (place, false);
        };
        seat.due = Some(until);
        (place, self.look_at(until, user))
    }

    /// Notes when to look at a user's seat. Tells whether that is before all others.
    fn look_at(&mut self, at: Instant, user: UserKey) -> bool {
        let is_earliest = self.due.peek().is_none_or(|Reverse((first, _))| at < *first);
        self.due.push(Reverse((at, user)));
        if self.due.len() > 2 * self.by_user.len() + FEW {
            let by_user = &self.by_user;
            let counts =
                |at: Instant, user: &UserKey| by_user.get(user).is_some_and(|seat| seat.due == Some(at));
            self.due.retain(|Reverse((at, user))| counts(*at, user));
        }
        is_earliest
    }

    /// Why a wait was woken, whose place is free then. One that was not is woken by this waker from now on.
    pub(super) fn poll(&mut self, place: Place, waker: &Waker) -> Poll<Woken> {
        let wait = &mut self.waits[place.0 as usize];
        match &mut wait.state {
            State::Waits(known) => {
                known.clone_from(waker);
                Poll::Pending
            }
            State::Woken(woken) => {
                let woken = *woken;
                wait.state = State::Free;
                self.free.push(place);
                Poll::Ready(woken)
            }
            State::Free => unreachable!("a place is left, or polled until it is ready, but once"),
        }
    }

    /// A wait ends before its time. Returns what would have woken it.
    pub(super) fn leave(&mut self, place: Place) -> Option<Waker> {
        let state = std::mem::replace(&mut self.waits[place.0 as usize].state, State::Free);
        self.free.push(place);
        let State::Waits(waker) = state else {
            return None;
        };
        self.unlink(place);
        let user = self.waits[place.0 as usize].user;
        if let Some(seat) = self.by_user.get(&user)
            && seat.newest.is_none()
            && seat.due.is_none()
        {
            self.by_user.remove(&user);
        }
        Some(waker)
    }

    /// Takes a wait out of its user's.
    fn unlink(&mut self, place: Place) {
        let Wait {
            user, older, newer, ..
        } = self.waits[place.0 as usize];
        if let Some(older) = older {
            self.waits[older.0 as usize].newer = newer;
        }
        if let Some(newer) = newer {
            self.waits[newer.0 as usize].older = older;
        } else if let Some(seat) = self.by_user.get_mut(&user) {
            seat.newest = older;
        }
        self.len -= 1;
    }

    /// Wakes those of the users, who are sorted, who wait: returns what does.
    pub(super) fn wake(&mut self, users: &[UserKey], woken: &mut Vec<Waker>) {
        let Self {
            by_user, waits, len, ..
        } = self;
        if *len == 0 {
            return;
        }
        let mut wake = |seat: &mut Seat| {
            *len -= wake_seat(seat, waits, Woken::News, woken);
            seat.due.is_some()
        };
        if by_user.len() < users.len() {
            by_user.retain(|user, seat| users.binary_search(user).is_err() || wake(seat));
        } else {
            for user in users {
                if let Some(seat) = by_user.get_mut(user)
                    && !wake(seat)
                {
                    by_user.remove(user);
                }
            }
        }
    }

    /// Wakes all: returns what does.
    pub(super) fn wake_all(&mut self, why: Woken) -> Vec<Waker> {
        let mut woken = Vec::with_capacity(self.len);
        for seat in self.by_user.values_mut() {
            wake_seat(seat, &mut self.waits, why, &mut woken);
        }
        self.len = 0;
        self.by_user.retain(|_, seat| seat.due.is_some());
        woken
    }

    /// Wakes those whose time is over: returns what does, and when to look again.
    pub(super) fn ring(&mut self, now: Instant) -> (Vec<Waker>, Option<Instant>) {
        let mut woken = Vec::new();
        while let Some(Reverse((at, user))) = self.due.peek().copied() {
            if at > now {
                return (woken, Some(at));
            }
            self.due.pop();
            self.look(user, at, now, &mut woken);
        }
        (woken, None)
    }

    /// Looks who of a user's waits has waited long enough, as was noted for this moment.
    fn look(&mut self, user: UserKey, noted: Instant, now: Instant, woken: &mut Vec<Waker>) {
        let Some(seat) = self.by_user.get(&user).filter(|seat| seat.due == Some(noted)) else {
            return;
        };
        let (mut next, mut at) = (seat.newest, None::<Instant>);
        while let Some(place) = next {
            let wait = &mut self.waits[place.0 as usize];
            next = wait.older;
            match wait.until {
                Some(until) if until <= now => {
                    if let State::Waits(waker) = std::mem::replace(&mut wait.state, State::Woken(Woken::Late))
                    {
                        woken.push(waker);
                    }
                    self.unlink(place);
                }
                until => at = at.into_iter().chain(until).min(),
            }
        }
        let Some(seat) = self.by_user.get_mut(&user) else {
            return;
        };
        seat.due = at;
        match at {
            Some(at) => {
                self.look_at(at, user);
            }
            None if seat.newest.is_none() => {
                self.by_user.remove(&user);
            }
            None => {}
        }
    }
}

/// Wakes a user's waits. Returns how many there were.
fn wake_seat(seat: &mut Seat, waits: &mut [Wait], why: Woken, woken: &mut Vec<Waker>) -> usize {
    let (mut next, mut count) = (seat.newest.take(), 0);
    while let Some(place) = next {
        let wait = &mut waits[place.0 as usize];
        next = wait.older;
        count += 1;
        if let State::Waits(waker) = std::mem::replace(&mut wait.state, State::Woken(why)) {
            woken.push(waker);
        }
    }
    count
}

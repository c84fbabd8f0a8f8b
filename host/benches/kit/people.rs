//! Users and rooms, made up by number. A user's access token is their number.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use presence_router::directory::{Event, Revocation, Source, TokenOwner, Told};
use presence_router::presence::DeviceId;
use presence_router_api::UserId;

/// How many are in each room of [`People::in_pairs_of_rooms`], and in how many such rooms a square of users is.
const ROOM: usize = 10;
/// How many users share their rooms with each other alone: each is in the room of their row, and in that of their column.
pub(crate) const SQUARE: usize = ROOM * ROOM;

/// A directory of made-up users.
pub(crate) struct People {
    users: usize,
    events: Mutex<Option<Vec<Event>>>,
}

impl People {
    /// So many users, the rooms, and somebody who is in none: the last, by the number `users`.
    pub(crate) fn new(users: usize, rooms: impl Iterator<Item = BTreeSet<usize>>) -> Self {
        let mut events: Vec<_> = (0..=users).map(|number| Event::UserAdded(user(number))).collect();
        for (room, members) in rooms.enumerate() {
            let room_id: Arc<str> = format!("!{room}:example.org").into();
            events.extend(members.into_iter().map(|member| Event::Joined {
                room_id: Arc::clone(&room_id),
                user_id: user(member),
            }));
        }
        Self {
            users,
            events: Mutex::new(Some(events)),
        }
    }

    /// Each user is in one room of so many.
    pub(crate) fn in_rooms_of(users: usize, members: usize) -> Self {
        Self::new(
            users,
            (0..users)
                .step_by(members)
                .map(|first| (first..first + members).collect()),
        )
    }

    /// Each user is in two rooms of ten, and so has 18 contacts.
    pub(crate) fn in_pairs_of_rooms(users: usize) -> Self {
        let squares = (0..users).step_by(SQUARE);
        let rooms = squares.flat_map(|first| {
            (0..ROOM).flat_map(move |line| {
                let row = (0..ROOM).map(|place| first + line * ROOM + place).collect();
                let column = (0..ROOM).map(|place| first + place * ROOM + line).collect();
                [row, column]
            })
        });
        Self::new(users, rooms)
    }

    /// How many users are in rooms; they are numbered from 0 on.
    pub(crate) fn len(&self) -> usize {
        self.users
    }
}

/// The user of a number.
pub(crate) fn user(number: usize) -> UserId {
    UserId::parse(format!("@user{number}:example.org")).expect("it is a user id")
}

impl Source for People {
    fn token_owner<'a>(&'a self, access_token: &'a str) -> Told<'a, Option<TokenOwner>> {
        let number = access_token.parse().ok().filter(|number| *number <= self.users);
        let owner = number.map(|number| TokenOwner {
            user_id: user(number),
            device_id: DeviceId::from("DEVICE"),
            revoked: Revocation::default(),
        });
        Box::pin(std::future::ready(owner))
    }

    fn changes(&self) -> Told<'_, Vec<Event>> {
        let events = self.events.lock().ok().and_then(|mut events| events.take());
        Box::pin(async {
            match events {
                Some(events) => events,
                None => std::future::pending().await,
            }
        })
    }
}

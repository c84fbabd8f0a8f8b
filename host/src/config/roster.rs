//! Who the users of `directory` are, what their tokens are, and who is in which room: packed, for there may be millions.
//!
//! The texts of one kind stand behind each other in one allocation, and all else are numbers of them. Users and rooms are
//! sorted, so that two rosters say the same when they are equal, and differ in what a walk along both shows. The tokens are
//! secrets: no `Debug` output holds one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use presence_router_api::UserId;

use crate::config::directory::StaticUser;
use crate::config::roster_builder::Builder;

/// Users, tokens and rooms. Each of them has a number, which counts from 0.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Roster {
    /// All users who are named, sorted.
    pub(super) ids: Texts,
    /// Which of them are local users, and not members of a room alone.
    pub(super) local: Vec<bool>,
    /// By owner; those of one stand in the config's order.
    pub(super) tokens: Texts,
    /// Of each token the number of its user.
    pub(super) owners: Vec<u32>,
    /// Sorted.
    pub(super) rooms: Texts,
    /// Of all rooms, one behind the other; those of one are sorted.
    pub(super) members: Vec<u32>,
    /// Where the members of each room end.
    pub(super) ends: Vec<u32>,
}

impl Roster {
    /// What `directory.static` says.
    pub fn of(users: &BTreeMap<UserId, StaticUser>, rooms: &BTreeMap<String, BTreeSet<UserId>>) -> Self {
        let mut builder = Builder::default();
        builder.add_static(users, rooms);
        builder.finish()
    }

    /// How many users are named: local ones, and other members of rooms.
    pub fn user_count(&self) -> u32 {
        self.ids.count()
    }

    /// The id of a user.
    pub fn user(&self, number: u32) -> &str {
        self.ids.get(number)
    }

    /// Whether a user is one of this homeserver, who may have tokens.
    pub fn is_local(&self, number: u32) -> bool {
        self.local.get(number as usize) == Some(&true)
    }

    /// How many tokens there are.
    pub fn token_count(&self) -> u32 {
        self.tokens.count()
    }

    /// An access token.
    pub fn token(&self, number: u32) -> &str {
        self.tokens.get(number)
    }

    /// The number of the user whose token it is. The tokens of one user follow each other.
    pub fn owner(&self, token: u32) -> Option<u32> {
        self.owners.get(token as usize).copied()
    }

    /// How many rooms there are.
    pub fn room_count(&self) -> u32 {
        self.rooms.count()
    }

    /// The id of a room.
    pub fn room(&self, number: u32) -> &str {
        self.rooms.get(number)
    }

    /// The numbers of the users in a room, sorted.
    pub fn members(&self, room: u32) -> &[u32] {
        piece(&self.ends, room).map_or(&[], |(start, end)| {
            self.members.get(start..end).unwrap_or_default()
        })
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster")
            .field("users", &self.user_count())
            .field("tokens", &self.token_count())
            .field("rooms", &self.room_count())
            .finish_non_exhaustive()
    }
}

/// Texts that stand behind each other in one allocation.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Texts {
    bytes: String,
    /// Where each one ends.
    ends: Vec<u32>,
}

impl Texts {
    pub(super) fn count(&self) -> u32 {
        length(self.ends.len())
    }

    /// How many bytes all of them take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(length(self.bytes.len()));
    }

    /// Empty for a number that none has.
    pub(super) fn get(&self, number: u32) -> &str {
        piece(&self.ends, number).map_or("", |(start, end)| self.bytes.get(start..end).unwrap_or_default())
    }

    /// The same texts in another order.
    pub(super) fn in_order(&self, order: &[u32]) -> Self {
        let mut sorted = Self {
            bytes: String::with_capacity(self.bytes.len()),
            ends: Vec::with_capacity(self.ends.len()),
        };
        for number in order {
            sorted.push(self.get(*number));
        }
        sorted
    }
}

/// Where piece `number` begins and ends.
fn piece(ends: &[u32], number: u32) -> Option<(usize, usize)> {
    let end = *ends.get(number as usize)?;
    let start = number
        .checked_sub(1)
        .and_then(|before| ends.get(before as usize).copied());
    Some((start.unwrap_or(0) as usize, end as usize))
}

pub(super) fn length(length: usize) -> u32 {
    u32::try_from(length).expect("what is read is refused before it has 4 GiB of ids or tokens")
}

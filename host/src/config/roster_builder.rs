//! Gathers users, tokens and rooms in the order in which they are read, and refuses what is said twice.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use presence_router_api::UserId;

use crate::config::directory::StaticUser;
use crate::config::roster::{Roster, Texts, length};

/// What all ids, tokens or members together may take, so that their places fit into 32 bits whatever the next line holds.
const MAX_BYTES: usize = 3 * 1024 * 1024 * 1024;

/// Where something was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In `directory.static`.
    Static,
    /// In a line, counted from 1, of one of `directory.files`, counted from 0.
    Line {
        /// The file.
        file: u32,
        /// The line.
        line: u32,
    },
}

impl Place {
    /// The line behind this one.
    pub(super) fn next_line(self) -> Self {
        match self {
            Self::Static => self,
            Self::Line { file, line } => Self::Line {
                file,
                line: line.saturating_add(1),
            },
        }
    }
}

/// A roster that grows.
#[derive(Default)]
pub(super) struct Builder {
    users: Names,
    /// Where each user was said to be a local one.
    declared: Vec<Option<Place>>,
    tokens: Names,
    owners: Vec<u32>,
    rooms: Names,
    room_places: Vec<Place>,
    members: Vec<u32>,
    ends: Vec<u32>,
}

/// Texts, each of which has one number.
#[derive(Default)]
struct Names {
    texts: Texts,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Builder {
    /// What the config itself says. It has been checked.
    pub(super) fn add_static(
        &mut self,
        users: &BTreeMap<UserId, StaticUser>,
        rooms: &BTreeMap<String, BTreeSet<UserId>>,
    ) {
        for (id, user) in users {
            let number = self.user(id.as_str());
            // A user, a token or a room stands here once, which the config's reader has seen to.
            let _ = self.declare(number, Place::Static);
            for token in &user.access_tokens {
                let _ = self.add_token(number, token);
            }
        }
        for (id, members) in rooms {
            let members: Vec<u32> = members.iter().map(|id| self.user(id.as_str())).collect();
            let _ = self.add_room(id, &members, Place::Static);
        }
    }

    /// The number of a user who was named before.
    pub(super) fn known_user(&self, id: &str) -> Option<u32> {
        self.users.find(id)
    }

    /// The number of a user, whose id is valid.
    pub(super) fn user(&mut self, id: &str) -> u32 {
        let (number, is_new) = self.users.add(id);
        if is_new {
            self.declared.push(None);
        }
        number
    }

    /// The user is a local one. The error is where that was said before.
    pub(super) fn declare(&mut self, user: u32, place: Place) -> Result<(), Place> {
        match self.declared.get_mut(user as usize) {
            Some(Some(before)) => Err(*before),
            Some(declared) => {
                *declared = Some(place);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The error is the place of the user whose token it is already.
    pub(super) fn add_token(&mut self, owner: u32, token: &str) -> Result<(), Place> {
        let (number, is_new) = self.tokens.add(token);
        if is_new {
            self.owners.push(owner);
            return Ok(());
        }
        let owner = self.owners.get(number as usize);
        let place = owner.and_then(|owner| *self.declared.get(*owner as usize)?);
        Err(place.unwrap_or(Place::Static))
    }

    /// The error is where the room was said before.
    pub(super) fn add_room(&mut self, id: &str, members: &[u32], place: Place) -> Result<(), Place> {
        let (number, is_new) = self.rooms.add(id);
        if !is_new {
            return Err(self.room_places.get(number as usize).copied().unwrap_or(place));
        }
        self.room_places.push(place);
        self.members.extend_from_slice(members);
        self.ends.push(length(self.members.len()));
        Ok(())
    }

    /// Whether another line may be added, of the size that a line may have.
    pub(super) fn is_full(&self) -> bool {
        let texts = [&self.users, &self.tokens, &self.rooms];
        let most = texts.map(|names| names.texts.bytes()).into_iter().max();
        most.unwrap_or(0).max(self.members.len()) > MAX_BYTES
    }

    /// Sorts all of it.
    pub(super) fn finish(self) -> Roster {
        let Self {
            users,
            declared,
            tokens,
            owners,
            rooms,
            members,
            ends,
            ..
        } = self;
        let by_id = sorted(&users.texts);
        let mut number_of = vec![0_u32; by_id.len()];
        for (new, old) in (0..).zip(&by_id) {
            number_of[*old as usize] = new;
        }
        let renumber = |old: &u32| number_of[*old as usize];
        let mut by_owner: Vec<u32> = (0..tokens.texts.count()).collect();
        // Stable: the tokens of one user stay in their order.
        by_owner.sort_by_key(|token| renumber(&owners[*token as usize]));
        let by_room = sorted(&rooms.texts);
        let mut sorted_members = Vec::with_capacity(members.len());
        let mut sorted_ends = Vec::with_capacity(ends.len());
        let mut of_room: Vec<u32> = Vec::new();
        for room in &by_room {
            let room = *room as usize;
            let start = room.checked_sub(1).map_or(0, |before| ends[before]);
            of_room.clear();
            of_room.extend(members[start as usize..ends[room] as usize].iter().map(renumber));
            of_room.sort_unstable();
            of_room.dedup();
            sorted_members.extend_from_slice(&of_room);
            sorted_ends.push(length(sorted_members.len()));
        }
        sorted_members.shrink_to_fit();
        Roster {
            ids: users.texts.in_order(&by_id),
            local: by_id
                .iter()
                .map(|old| declared[*old as usize].is_some())
                .collect(),
            tokens: tokens.texts.in_order(&by_owner),
            owners: by_owner
                .iter()
                .map(|token| renumber(&owners[*token as usize]))
                .collect(),
            rooms: rooms.texts.in_order(&by_room),
            members: sorted_members,
            ends: sorted_ends,
        }
    }
}

impl Names {
    fn find(&self, text: &str) -> Option<u32> {
        let found = self.numbers.find(self.hasher.hash_one(text), |number| {
            self.texts.get(*number) == text
        });
        found.copied()
    }

    /// Its number, and whether it is new.
    fn add(&mut self, text: &str) -> (u32, bool) {
        if let Some(number) = self.find(text) {
            return (number, false);
        }
        let Self {
            texts,
            numbers,
            hasher,
        } = self;
        let number = texts.count();
        texts.push(text);
        numbers.insert_unique(hasher.hash_one(text), number, |other| {
            hasher.hash_one(texts.get(*other))
        });
        (number, true)
    }
}

/// The numbers of texts, in the order of these.
fn sorted(texts: &Texts) -> Vec<u32> {
    let mut order: Vec<u32> = (0..texts.count()).collect();
    order.sort_unstable_by(|one, other| texts.get(*one).cmp(texts.get(*other)));
    order
}

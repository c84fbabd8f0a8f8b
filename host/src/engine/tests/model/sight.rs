//! Who may see whom, said plainly: the measure that the server is held to. Users and rooms are numbers, sets of users are bits.

use std::sync::{Arc, OnceLock};

use presence_router_api::{Audience, InterestedUsers, ModuleApi, Routes, UserId};

use crate::config;
use crate::engine::tests::kit::{USERS, directory, id, localpart};
use crate::modules::puppet::Puppet;

/// A set of users.
pub(super) type Users = u8;

pub(super) fn has(users: Users, user: usize) -> bool {
    users >> user & 1 == 1
}

pub(super) fn names(users: Users) -> Vec<&'static str> {
    let is_in = |(number, _): &(usize, &&str)| has(users, *number);
    let named = USERS.iter().enumerate().filter(is_in);
    named.map(|(_, name)| *name).collect()
}

pub(super) fn number_of(user: &UserId) -> usize {
    let name = localpart(user);
    USERS.iter().position(|other| *other == name).expect("known")
}

/// A module that sends everybody's presence to some, but that of a few.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broadcast {
    pub(super) to: Users,
    pub(super) but_of: Users,
    pub(super) audience: AudienceKind,
    pub(super) interest: Interest,
    pub(super) is_attached: bool,
}

/// How long a module keeps its audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AudienceKind {
    /// For ever.
    Kept,
    /// For one batch.
    PerBatch,
}

/// How a module says whom its recipients may see.
#[derive(Debug, Clone, Copy)]
pub(super) enum Interest {
    /// It says all, and then routes some.
    All,
    /// It names them.
    Named,
}

impl Broadcast {
    pub(super) fn shows(self, reader: usize, user: usize) -> bool {
        self.is_attached && has(self.to, reader) && !has(self.but_of, user)
    }

    pub(super) fn puppet(self, replaces: bool) -> Arc<Puppet> {
        let kept = OnceLock::new();
        let register = move |api: &ModuleApi| -> Audience {
            let to = names(self.to).into_iter().map(id);
            api.register_audience(to).expect("registers")
        };
        let hidden: Vec<_> = names(self.but_of).into_iter().map(id).collect();
        let seen: Vec<_> = names(!self.but_of).into_iter().map(id).collect();
        let puppet = Puppet::new(
            move |api, updates| {
                let is_shown = |user: &str| hidden.iter().all(|id| id.as_str() != user);
                let shown = updates.iter().filter(|update| is_shown(update.user_id()));
                let mut routes = Routes::new();
                match self.audience {
                    AudienceKind::Kept => routes.send_all(shown, kept.get_or_init(|| register(api))),
                    AudienceKind::PerBatch => routes.send_all(shown, &register(api)),
                }
                routes
            },
            move |user| match self.interest {
                _ if !has(self.to, number_of(user)) => InterestedUsers::none(),
                Interest::All => InterestedUsers::All,
                Interest::Named => InterestedUsers::Users(seen.iter().cloned().collect()),
            },
        );
        Arc::new(if replaces { puppet.replacing() } else { puppet })
    }
}

/// What decides who sees whom.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) rooms: Vec<Users>,
    /// The numbers of rooms that do not count, as bits.
    pub(super) excluded: u8,
    pub(super) modules: Vec<Broadcast>,
    /// Whether the first module replaces shared rooms.
    pub(super) replaces: bool,
}

impl Sight {
    pub(super) fn directory(&self) -> config::Directory {
        let rooms: Vec<_> = self.rooms.iter().map(|room| names(*room)).collect();
        let rooms: Vec<_> = rooms.iter().map(Vec::as_slice).collect();
        directory(&rooms)
    }

    pub(super) fn excluded_rooms(&self) -> Vec<String> {
        let excluded = (0..self.rooms.len()).filter(|room| has(self.excluded, *room));
        excluded.map(|room| format!("!{room}:example.org")).collect()
    }

    pub(super) fn sees(&self, reader: usize, user: usize) -> bool {
        self.sees_by_rooms(reader, user) || self.shown_by(reader, user) > 0
    }

    pub(super) fn sees_by_rooms(&self, reader: usize, user: usize) -> bool {
        let rooms_count = !self.replaces || self.modules.first().is_none_or(|first| !first.is_attached);
        let mut rooms = self.rooms.iter().enumerate();
        reader == user
            || (rooms_count
                && rooms.any(|(number, room)| {
                    !has(self.excluded, number) && has(*room, reader) && has(*room, user)
                }))
    }

    /// Whether several modules show a user to a reader, and it may not be known to each what the others have told: because one
    /// of them forgets it, or it is outside the logs.
    pub(super) fn may_be_told_twice(&self, reader: usize, user: usize, is_outside_logs: bool) -> bool {
        let mut showing = self.modules.iter().filter(|module| module.shows(reader, user));
        let forgets = |module: &Broadcast| module.audience == AudienceKind::PerBatch;
        self.shown_by(reader, user) > 1 && (is_outside_logs || showing.any(forgets))
    }

    /// How many modules show a user to a reader.
    pub(super) fn shown_by(&self, reader: usize, user: usize) -> usize {
        let modules = self.modules.iter();
        modules.filter(|module| module.shows(reader, user)).count()
    }
}

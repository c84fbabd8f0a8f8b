//! What a batch of changes adds up to: who is to hear of it, who waits for it, what is to be stored.

use tokio::sync::oneshot;

use crate::directory::RoomKey;
use crate::engine::restore::{self, Reserved};
use crate::engine::told::Told;
use crate::engine::world::World;
use crate::engine::writer::Stored;
use crate::presence::{Change, UserKey};
use crate::storage::{StoredPresence, Writes};

/// What follows from a batch.
#[derive(Default)]
pub(super) struct Outcome {
    /// Users with a change worth telling that is not noted yet.
    unnoted: Vec<UserKey>,
    /// Users whose state is to be stored, and is not among `presence` yet, although it is not worth telling.
    pub(super) touched: Vec<UserKey>,
    /// Users whose change is noted.
    pub(super) changed: Vec<UserKey>,
    /// The users' presence as it is to be stored; of somebody who is in it twice, the later counts.
    presence: Vec<(UserKey, StoredPresence)>,
    /// Users to wake although they have not changed.
    pub(super) wake: Vec<UserKey>,
    /// Users who are to get a full snapshot.
    pub(super) snapshots: Vec<UserKey>,
    /// Rooms whose members have changed.
    pub(super) rooms: Vec<RoomKey>,
    /// Who waits until the change is visible.
    pub(super) applied: Vec<oneshot::Sender<()>>,
    /// Who waits until it is stored.
    pub(super) stored: Vec<Stored>,
    /// How many states of other homeservers' users were taken.
    pub(super) received: usize,
    /// How many were left out, as too many strangers are known.
    pub(super) refused_strangers: usize,
}

impl Outcome {
    /// Of changes that have come by time alone.
    pub(super) fn of_timeouts(changed: Vec<UserKey>) -> Self {
        Self {
            unnoted: changed,
            ..Self::default()
        }
    }

    /// A user was updated.
    pub(super) fn note(&mut self, user: UserKey, change: Change) {
        if change == Change::WorthTelling {
            self.unnoted.push(user);
        }
    }

    /// Gives the changes so far their positions, counts them, and takes what is to be stored. To be called after a few updates:
    /// what is known of their users is at hand then, and is not when it is come back to after a thousand others.
    pub(super) fn settle(&mut self, world: &mut World, told: &mut Told) {
        self.unnoted.sort_unstable();
        self.unnoted.dedup();
        self.touched.extend_from_slice(&self.unnoted);
        self.touched.sort_unstable();
        self.touched.dedup();
        let mut unnoted = self.unnoted.iter().peekable();
        for user in self.touched.drain(..) {
            if unnoted.next_if_eq(&&user).is_some() {
                world.changed(user);
                told.tell(user, world.presence.state(user), world.locality(user));
            }
            self.presence.extend(world.stored(user));
        }
        self.changed.append(&mut self.unnoted);
    }

    /// What is to be stored, when all is settled.
    pub(super) fn writes(&mut self, world: &mut World, reserved: &mut Reserved) -> Writes {
        self.rooms.sort_unstable();
        self.rooms.dedup();
        let position = world.streams.position();
        let outgoing = world.outgoing_to_store();
        let snapshot = |user: &UserKey| {
            let mark = world.snapshots.get(user)?;
            Some((world.directory.id(*user)?.clone(), *mark))
        };
        let describe =
            |room: &RoomKey| restore::describe(&world.directory, world.room_presence, *room, position);
        Writes {
            presence: std::mem::take(&mut self.presence),
            snapshots: self.snapshots.iter().filter_map(snapshot).collect(),
            rooms: self.rooms.iter().filter_map(describe).collect(),
            reserved: reserved.next(position),
            outgoing,
            ..Writes::default()
        }
    }
}

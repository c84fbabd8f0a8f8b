//! What the readers of a room are told alike. When they wake they read one after the other, and many have read up to the same
//! position: it is gathered for the first of them, and those who read before anything changes share it.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use crate::delivery::Events;
use crate::directory::RoomKey;
use crate::metrics::Read as Way;

/// So many events are kept at most. What would be more is gathered for each reader.
const MOST: usize = 16_384;

/// The changes of the members of rooms, as they are at one moment.
#[derive(Debug, Default)]
pub(super) struct Gathered(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    moment: Moment,
    changes: HashMap<Asked, Changes, FixedState>,
    events: usize,
}

/// What events depend on beside who has changed: at another moment they may say something else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// How often presence was changed.
    pub(super) version: u64,
    /// The position of the newest entry of all logs.
    pub(super) position: u64,
    /// The time, in milliseconds since the Unix epoch.
    pub(super) now: u64,
}

/// The changes of whom are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    /// Of the members of this room.
    pub(super) room: RoomKey,
    /// After this position.
    pub(super) since: u64,
}

/// The changes, and how they were found.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    pub(super) events: Events,
    pub(super) way: Way,
}

impl Gathered {
    /// What is kept of this moment, or what is found now.
    pub(super) fn changes(&self, moment: Moment, asked: Asked, find: impl FnOnce() -> Changes) -> Changes {
        {
            let mut kept = self.0.lock();
            if kept.moment != moment {
                kept.moment = moment;
                kept.changes.clear();
                kept.events = 0;
            }
            if let Some(changes) = kept.changes.get(&asked) {
                return changes.clone();
            }
        }
        // Without the lock, for others look meanwhile. Two may find the same.
        let Changes { events, way } = find();
        let changes = Changes {
            events: events.shared(),
            way,
        };
        let mut kept = self.0.lock();
        // One entry counts as an event: of those without any there may be as many as readers.
        let events = kept.events + changes.events.len() + 1;
        if kept.moment == moment && events <= MOST && kept.changes.insert(asked, changes.clone()).is_none() {
            kept.events = events;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use presence_router_api::UserId;

    use super::*;
    use crate::delivery::{PresenceContent, PresenceEvent};
    use crate::directory::{Directory, Event};
    use crate::presence::UserPresence;

    const MOMENT: Moment = Moment {
        version: 1,
        position: 10,
        now: 100,
    };

    fn room(id: &str) -> RoomKey {
        let mut directory = Directory::new("x", &[]);
        for room_id in ["!1:x", "!2:x"] {
            let user_id = UserId::parse("@a:x").expect("valid");
            let room_id = room_id.into();
            directory.apply(&Event::Joined { room_id, user_id }, 0);
        }
        directory.room_key(id).expect("known")
    }

    fn changes(count: usize) -> Changes {
        let event = PresenceEvent {
            sender: UserId::parse("@a:x").expect("valid"),
            content: PresenceContent::at(&UserPresence::OFFLINE, 0),
        };
        Changes {
            events: vec![event; count].into(),
            way: Way::Stream,
        }
    }

    /// How many events are found when so many would be now.
    fn ask(gathered: &Gathered, moment: Moment, (room_id, since): (&str, u64), now: usize) -> usize {
        let room = room(room_id);
        let found = gathered.changes(moment, Asked { room, since }, || changes(now));
        found.events.len()
    }

    #[test]
    fn what_was_found_counts_for_the_same_room_position_and_moment_alone() {
        let gathered = Gathered::default();
        assert_eq!(ask(&gathered, MOMENT, ("!1:x", 5), 1), 1);
        assert_eq!(ask(&gathered, MOMENT, ("!1:x", 5), 2), 1);
        assert_eq!(ask(&gathered, MOMENT, ("!2:x", 5), 2), 2);
        assert_eq!(ask(&gathered, MOMENT, ("!1:x", 6), 3), 3);
        assert_eq!(ask(&gathered, MOMENT, ("!1:x", 5), 4), 1);
        for (number, moment) in (10..).zip([
            Moment { version: 2, ..MOMENT },
            Moment {
                position: 11,
                ..MOMENT
            },
            Moment { now: 101, ..MOMENT },
            MOMENT,
        ]) {
            assert_eq!(ask(&gathered, moment, ("!1:x", 5), number), number);
        }
    }

    #[test]
    fn no_more_is_kept_than_is_allowed() {
        let gathered = Gathered::default();
        assert_eq!(ask(&gathered, MOMENT, ("!1:x", 5), MOST), MOST);
        assert_eq!(ask(&gathered, MOMENT, ("!1:x", 5), 1), 1);
        for since in 0..MOST as u64 {
            ask(&gathered, MOMENT, ("!2:x", since), 0);
        }
        let kept = gathered.0.lock();
        assert!(kept.changes.len() < MOST && kept.events <= MOST);
    }
}

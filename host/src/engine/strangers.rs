//! How many users are known only because their homeserver has told of them. They share no room with anybody here, but a
//! module may show them to somebody, so they are taken, as Synapse does; but not without end, as whoever has a domain may
//! make up users.
//!
//! A stranger takes about 300 bytes and their message, and a row of the database. Who comes to share a room is counted on.

use std::collections::HashMap;

/// How many of one homeserver.
pub(super) const MOST_OF_A_SERVER: u32 = 20_000;
/// How many of all.
pub(super) const MOST: u32 = 200_000;

/// The strangers, counted.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    by_server: HashMap<Box<str>, u32>,
    all: u32,
}

impl Strangers {
    /// One more of a homeserver, if there is room.
    pub(super) fn admit(&mut self, server: &str) -> bool {
        let of_server = self.by_server.get(server).copied().unwrap_or_default();
        let has_room = of_server < MOST_OF_A_SERVER && self.all < MOST;
        if has_room {
            self.restored(server);
        }
        has_room
    }

    /// One of an earlier run, who is there in any case.
    pub(super) fn restored(&mut self, server: &str) {
        self.all = self.all.saturating_add(1);
        if let Some(of_server) = self.by_server.get_mut(server) {
            *of_server = of_server.saturating_add(1);
        } else {
            self.by_server.insert(server.into(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_makes_up_users_takes_no_place_of_anothers() {
        let mut strangers = Strangers::default();
        let admitted = (0..MOST_OF_A_SERVER + 5).filter(|_| strangers.admit("flood.test"));
        assert_eq!(admitted.count(), MOST_OF_A_SERVER as usize);
        assert!(strangers.admit("good.test"));
    }

    #[test]
    fn all_servers_together_have_a_bound() {
        let mut strangers = Strangers::default();
        let admitted = (0..MOST + 5).filter(|number| strangers.admit(&format!("{number}.test")));
        assert_eq!(admitted.count(), MOST as usize);
        assert_eq!(strangers.by_server.len(), MOST as usize);
    }

    #[test]
    fn those_of_an_earlier_run_count() {
        let mut strangers = Strangers::default();
        for _ in 0..MOST_OF_A_SERVER {
            strangers.restored("other.test");
        }
        assert!(!strangers.admit("other.test"));
    }
}

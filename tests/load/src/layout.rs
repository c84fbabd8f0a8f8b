//! Who is in which room, worked out from the numbers alone, so that millions of users need no memory.
//!
//! Rooms stand in layers. Each user is in one room of each layer. In the first, rooms hold neighbours; in the others, users
//! from all over, and others in each: whoever shares a room with somebody shares that one only, as long as there are
//! enough rooms.

/// How users are put into rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    users: usize,
    /// How many are in a room; in the last ones there may be fewer.
    size: usize,
    layers: usize,
}

impl Layout {
    /// `None` when rooms are to have nobody, or there would be 2^32 of anything.
    pub(crate) fn new(users: usize, size: usize, layers: usize) -> Option<Self> {
        let layout = Self { users, size, layers };
        let small = |number: usize| u32::try_from(number).is_ok();
        let fits = size > 0 && small(users) && small(size) && small(layers);
        (fits && small(layout.rooms())).then_some(layout)
    }

    /// How many rooms there are.
    pub(crate) fn rooms(&self) -> usize {
        self.in_layer() * self.layers
    }

    fn in_layer(&self) -> usize {
        self.users.div_ceil(self.size)
    }

    /// The rooms of a user.
    pub(crate) fn rooms_of(&self, user: usize) -> impl Iterator<Item = u32> {
        let (rooms, size) = (self.in_layer(), self.size);
        (0..self.layers).filter_map(move |layer| {
            let room = match layer.checked_sub(1) {
                None => user / size,
                // The user stands in a row as long as there are rooms; each row is shifted against the one before, by
                // another distance in each layer.
                Some(shift) => (user % rooms + (user / rooms) * (shift * size % rooms)) % rooms,
            };
            u32::try_from(layer * rooms + room).ok()
        })
    }

    /// The members of a room.
    pub(crate) fn members(&self, room: usize) -> impl Iterator<Item = usize> {
        let (rooms, size, users) = (self.in_layer(), self.size, self.users);
        let (layer, room) = (room / rooms.max(1), room % rooms.max(1));
        (0..size)
            .map(move |row| match layer.checked_sub(1) {
                None => room * size + row,
                Some(shift) => {
                    let shifted = row * (shift * size % rooms) % rooms;
                    row * rooms + (room + rooms - shifted) % rooms
                }
            })
            .filter(move |user| *user < users)
    }

    /// `count` users or a few more: whole rooms of the first layer, spread over all of them.
    pub(crate) fn sample(&self, count: usize) -> impl Iterator<Item = usize> {
        let (all, size, users) = (self.in_layer(), self.size, self.users);
        let taken = count.div_ceil(size).min(all);
        (0..taken)
            .flat_map(move |index| {
                // Not `index * all / taken`: two large numbers.
                let room = index * (all / taken) + index * (all % taken) / taken;
                room * size..(room + 1) * size
            })
            .filter(move |user| *user < users)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn layout(users: usize, size: usize, layers: usize) -> Layout {
        Layout::new(users, size, layers).expect("possible")
    }

    fn contacts(layout: &Layout, user: usize) -> BTreeSet<usize> {
        let rooms = layout.rooms_of(user);
        let members = rooms.flat_map(|room| layout.members(usize::try_from(room).expect("small")));
        members.filter(|member| *member != user).collect()
    }

    #[test]
    fn a_user_is_a_member_of_their_rooms_and_of_no_other() {
        for (users, size, layers) in [
            (200, 10, 1),
            (2_000, 10, 2),
            (1_003, 10, 3),
            (7, 10, 2),
            (30, 1, 2),
        ] {
            let layout = layout(users, size, layers);
            let mut memberships = 0;
            for room in 0..layout.rooms() {
                for member in layout.members(room) {
                    let room = u32::try_from(room).expect("small");
                    assert!(
                        layout.rooms_of(member).any(|of| of == room),
                        "{layout:?} {room} {member}"
                    );
                    memberships += 1;
                }
            }
            assert_eq!(memberships, users * layers, "{layout:?}");
        }
    }

    #[test]
    fn two_rooms_of_ten_are_eighteen_contacts_and_three_are_twenty_seven() {
        for user in [0, 9, 10, 4_711, 19_999] {
            assert_eq!(contacts(&layout(20_000, 10, 2), user).len(), 18, "{user}");
            assert_eq!(contacts(&layout(20_000, 10, 3), user).len(), 27, "{user}");
        }
    }

    #[test]
    fn a_sample_is_of_whole_rooms_from_all_over() {
        let layout = layout(2_000_000, 10, 2);
        let sample: Vec<_> = layout.sample(95).collect();
        assert_eq!(sample.len(), 100);
        assert_eq!(sample[..10], (0..10).collect::<Vec<_>>());
        assert!(sample[90] >= 1_700_000 && sample[99] < 2_000_000, "{sample:?}");
        assert_eq!(layout.sample(3_000_000).count(), 2_000_000);
    }

    #[test]
    fn what_has_no_numbers_is_refused() {
        assert_eq!(Layout::new(10, 0, 1), None);
        assert_eq!(Layout::new(usize::MAX, 1, 2), None);
        assert_eq!(Layout::new(5_000_000_000, 1, 1), None);
        assert_eq!(layout(0, 10, 2).rooms(), 0);
        assert_eq!(layout(0, 10, 2).sample(5).count(), 0);
        assert_eq!(layout(10, 10, 0).rooms(), 0);
    }
}

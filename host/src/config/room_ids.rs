//! Room ids, as keys and in lists.

use std::collections::BTreeSet;

use crate::config::reader::{Field, Reader};

/// Matrix spec, appendix "Room IDs".
const MAX_BYTES: usize = 255;

/// Keeps an error unless `room` is a room id; `field` is where it stands.
pub(super) fn check(reader: &mut Reader<'_>, field: &Field<'_>, room: &str) -> Option<String> {
    if is_room_id(room) {
        return Some(room.to_owned());
    }
    reader.refuse(field, not_one())
}

pub(super) fn is_room_id(room: &str) -> bool {
    room.starts_with('!') && (2..=MAX_BYTES).contains(&room.len())
}

/// What is said of a text that is no room id.
pub(super) fn not_one() -> String {
    format!(
        "not a room id; write '!' and an opaque part, such as \"!room:example.org\", of at most {MAX_BYTES} bytes"
    )
}

/// A list of room ids.
pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> BTreeSet<String> {
    let entries = field.and_then(|field| reader.list(&field)).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            let room = reader.text(entry)?;
            check(reader, entry, room)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use insta::{assert_debug_snapshot, assert_snapshot};

    use crate::config::checks;

    #[test]
    fn excluded_rooms_are_a_set() {
        let config = checks::config(
            "server_name: a\nexclude_rooms_from_presence: ['!b:a', '!a:a', '!b:a', '!newer-rooms-name-no-server']",
        );
        assert_debug_snapshot!(config.exclude_rooms_from_presence, @r#"
        {
            "!a:a",
            "!b:a",
            "!newer-rooms-name-no-server",
        }
        "#);
        let check = |list| checks::check(&format!("server_name: a\nexclude_rooms_from_presence: {list}"));
        assert_snapshot!(check("['#a:b', '!', 5, '']"), @r#"
        exclude_rooms_from_presence[0]: not a room id; write '!' and an opaque part, such as "!room:example.org", of at most 255 bytes (homeserver.yaml:2)
        exclude_rooms_from_presence[1]: not a room id; write '!' and an opaque part, such as "!room:example.org", of at most 255 bytes (homeserver.yaml:2)
        exclude_rooms_from_presence[2]: expected a string, found an integer; put it in quotes (homeserver.yaml:2)
        exclude_rooms_from_presence[3]: not a room id; write '!' and an opaque part, such as "!room:example.org", of at most 255 bytes (homeserver.yaml:2)
        "#);
        assert_snapshot!(check("'!a:b'"), @"exclude_rooms_from_presence: expected a list, found a string (homeserver.yaml:2)");
    }
}

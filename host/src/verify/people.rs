//! Who and where: the users and rooms that the generated states and the scripted server are made of. Those whom the
//! config names, and strangers, local and remote.

use std::collections::{BTreeMap, BTreeSet};

use presence_router_api::{PresenceState, UserId, UserPresenceState};
use serde_json::Value;

use crate::verify::random::Random;
use crate::verify::task::Subject;

/// How many users and how many rooms of a config are taken; of more, the first in the order of their ids.
const MAX_NAMED: usize = 200;

/// The server that is nobody's.
const ELSEWHERE: &str = "elsewhere.example";

/// When the generated states are from: a fixed time, as the same seed must make the same states.
pub(super) const NOW_MS: u64 = 1_800_000_000_000;

/// The users, and the rooms that they are in.
#[derive(Debug, Clone)]
pub(super) struct People {
    server_name: String,
    /// All users, sorted.
    users: Vec<UserId>,
    /// Who is in which room.
    pub(super) rooms: BTreeMap<String, BTreeSet<UserId>>,
}

/// What people say of themselves: nothing, a few words, what takes several bytes a letter, what no screen shows as it is. The last
/// is said as often as fits.
const STATUS_MESSAGES: [&str; 6] = [
    "",
    "in a meeting",
    "päivää, 会議中です",
    "a\u{0}b\nc\u{202E}d",
    "\u{301}\u{200D}\u{FEFF}",
    "\u{1F642}\u{1F3FD}",
];
/// The longest status message that a server takes unless it is told otherwise, in bytes.
const LONGEST: usize = 2_048;

impl People {
    pub(super) fn of(subject: &Subject, random: &mut Random) -> Self {
        let server_name = subject.server_name.clone();
        let mut users: BTreeSet<UserId> = user_ids(&subject.config).into_iter().take(MAX_NAMED).collect();
        let strangers = [
            format!("@stranger:{server_name}"),
            format!("@another.stranger:{server_name}"),
            format!("@third.stranger:{server_name}"),
            format!("@stranger:{ELSEWHERE}"),
            format!("@another.stranger:{ELSEWHERE}"),
        ];
        // A server's name that is none makes ids that are none; the module will say so of its config.
        users.extend(strangers.iter().filter_map(|id| UserId::parse(id).ok()));
        let users: Vec<_> = users.into_iter().collect();

        let mut room_ids: BTreeSet<String> = room_ids(&subject.config).into_iter().take(MAX_NAMED).collect();
        room_ids.extend((0..3).map(|number| format!("!room{number}:{server_name}")));
        let rooms = room_ids
            .into_iter()
            .map(|room| {
                let mut members = users.clone();
                random.shuffle(&mut members);
                members.truncate(2 + random.below(members.len()));
                (room, members.into_iter().collect())
            })
            .collect();
        Self {
            server_name,
            users,
            rooms,
        }
    }

    /// All users.
    pub(super) fn users(&self) -> &[UserId] {
        &self.users
    }

    /// Whether a user is one of the homeserver's own: only of these the host asks whom they may see.
    pub(super) fn is_local(&self, user: &UserId) -> bool {
        user.server_name() == self.server_name
    }

    /// So many users: those that there are, and more strangers.
    pub(super) fn crowd(&self, size: usize) -> Vec<UserId> {
        let more = (0..).filter_map(|number| {
            let server = if number % 4 == 3 {
                ELSEWHERE
            } else {
                &self.server_name
            };
            UserId::parse(format!("@crowd{number}:{server}")).ok()
        });
        self.users.iter().cloned().chain(more).take(size).collect()
    }

    /// Any state of each of these users.
    pub(super) fn any_states<'a>(
        &self,
        users: impl IntoIterator<Item = &'a UserId>,
        random: &mut Random,
    ) -> Vec<UserPresenceState> {
        users
            .into_iter()
            .map(|user| self.any_state(user, random))
            .collect()
    }

    /// Any state of a user.
    pub(super) fn any_state(&self, user: &UserId, random: &mut Random) -> UserPresenceState {
        const STATES: [PresenceState; 4] = [
            PresenceState::Offline,
            PresenceState::Unavailable,
            PresenceState::Online,
            PresenceState::Busy,
        ];
        let state = random.pick(&STATES).copied().unwrap_or(PresenceState::Online);
        let ago = u64::try_from(random.below(3_600_000)).unwrap_or_default();
        let last_active_ts = NOW_MS - ago;
        let drawn = UserPresenceState {
            state,
            last_active_ts,
            last_federation_update_ts: last_active_ts,
            last_user_sync_ts: if self.is_local(user) { last_active_ts } else { 0 },
            currently_active: state == PresenceState::Online && ago < 60_000,
            ..UserPresenceState::offline(user.as_str())
        };
        match random.below(3) {
            0 => {
                let text = random.pick(&STATUS_MESSAGES).copied().unwrap_or_default();
                let times = if text.starts_with('\u{1F642}') {
                    LONGEST / text.len()
                } else {
                    1
                };
                drawn.with_status_msg(text.repeat(times).as_str())
            }
            _ => drawn,
        }
    }
}

/// All user ids in a config: texts and keys that are such.
pub(super) fn user_ids(config: &Value) -> BTreeSet<UserId> {
    let mut found = BTreeSet::new();
    each_text(config, &mut |text| {
        if let Ok(user) = UserId::parse(text) {
            found.insert(user);
        }
    });
    found
}

fn room_ids(config: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_text(config, &mut |text| {
        // Since version 12 of rooms, an id need not name a server.
        if text.starts_with('!') && text.len() > 1 {
            found.insert(text.to_owned());
        }
    });
    found
}

fn each_text(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, see)),
        Value::Object(entries) => {
            for (key, value) in entries {
                see(key);
                each_text(value, see);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The server of most users in a config, of several the first by name: whose module it is likely to be.
pub fn likely_server(config: &Value) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for user in user_ids(config) {
        *counts.entry(user.server_name().to_owned()).or_default() += 1;
    }
    let most = counts.values().max().copied()?;
    counts
        .into_iter()
        .find(|(_, count)| *count == most)
        .map(|(server, _)| server)
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::config::Outgoing;

    pub(in crate::verify) fn subject(config: Value) -> Subject {
        Subject {
            file: PathBuf::from("/modules/libx.so"),
            router: None,
            config,
            server_name: "example.org".to_owned(),
            call_timeout: Duration::from_secs(1),
            http: Outgoing::default(),
        }
    }

    #[test]
    fn users_and_rooms_are_found_wherever_a_config_names_them() {
        let config = json!({
            "sees": {"@a:example.org": ["@b:far.example", "bob"]},
            "rooms": ["!r:example.org"],
            "limit": 5,
        });
        let people = People::of(&subject(config.clone()), &mut Random::of(1));
        for user in [
            "@a:example.org",
            "@b:far.example",
            "@stranger:example.org",
            "@stranger:elsewhere.example",
        ] {
            assert!(
                people.users().contains(&UserId::parse(user).expect("valid")),
                "{user}"
            );
        }
        assert!(people.rooms.contains_key("!r:example.org"));
        assert!(people.rooms.values().all(|members| members.len() >= 2));
        assert_eq!(likely_server(&config), Some("example.org".to_owned()));
        assert_eq!(likely_server(&json!({})), None);
    }

    #[test]
    fn a_crowd_has_nobody_twice_and_local_and_remote_users() {
        let people = People::of(&subject(json!({})), &mut Random::of(1));
        let crowd = people.crowd(4_096);
        assert_eq!(crowd.iter().collect::<BTreeSet<_>>().len(), 4_096);
        assert!(crowd.iter().any(|user| !people.is_local(user)));
        assert!(crowd.iter().any(|user| people.is_local(user)));
        assert_eq!(people.crowd(0), []);
    }

    #[test]
    fn the_same_seed_makes_the_same_states() {
        let draw = || {
            let mut random = Random::of(3);
            let people = People::of(&subject(json!({})), &mut random);
            let states = people
                .users()
                .iter()
                .map(|user| people.any_state(user, &mut random));
            states.collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }
}

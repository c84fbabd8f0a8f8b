//! Why somebody sees somebody else's presence, or why not.
//!
//! Looks at what readers are served by, and asks each module what it would be asked for a reader. Nothing that it answers is
//! delivered. Owns the facts; how they read is for the command line.

use std::sync::Arc;

use futures_util::future::join_all;
use presence_router_api::{InterestedUsers, PresenceState, SharedRoomPresence, UserId, UserPresenceState};
use serde::{Deserialize, Serialize};

use crate::config::Tracking;
use crate::engine::feed::{Feed, with_source};
use crate::engine::world::World;
use crate::engine::{Engine, Shared};
use crate::presence::UserKey;

/// Whether `to` sees the presence of `from`, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whose presence it is.
    pub from: UserId,
    /// Who would see it.
    pub to: UserId,
    /// The verdict.
    pub sees: bool,
    /// What decides it whatever rooms and modules say; then neither is looked at.
    pub decided_by: Option<Decided>,
    /// What `from` is now; nothing when they are not known.
    pub state: Option<String>,
    /// Whether a first sync tells of `from` as they are now: without `presence.include_offline_users_on_sync`, it does not
    /// of who is offline.
    pub on_first_sync: bool,
    /// The homeserver of `to`, when it is another: it is what is told, and its users see what it shows them.
    pub to_server: Option<String>,
    /// The rooms that both are in.
    pub rooms: Vec<SharedRoom>,
    /// What the modules say, in the order of the config.
    pub modules: Vec<ModuleWord>,
}

/// What decides whatever rooms and modules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decided {
    /// Everybody sees themselves.
    SameUser,
    /// `presence.enabled: false`: nobody sees anybody.
    PresenceDisabled,
    /// Nobody has told this server of `from`, so there is nothing to see.
    FromUnknown,
    /// `to` is of this homeserver's name, and no user of it: nobody can sync as them.
    ToUnknown,
    /// Both are of other homeservers: what they see of each other is not this server's business.
    NeitherIsOurs,
}

/// A room that both are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRoom {
    /// The room.
    pub room_id: String,
    /// Whether its members see each other for being in it.
    #[serde(flatten)]
    pub standing: RoomStanding,
}

/// Whether the members of a room see each other for being in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum RoomStanding {
    /// They do.
    Counts,
    /// They do not: the room is one of `exclude_rooms_from_presence`.
    Excluded,
    /// They do not: these modules take the place of shared rooms.
    Replaced {
        /// The modules' names.
        by: Vec<String>,
    },
}

/// What a module says of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleWord {
    /// What the config calls the instance.
    pub name: String,
    /// The version of its package.
    pub version: String,
    /// The generation that was asked.
    pub generation: u64,
    /// Whether `to` sees `from` by it.
    pub shows: bool,
    /// `get_interested_users` of `to`; nothing when `to` is of another homeserver, as it is then never called.
    pub interested: Option<Interested>,
    /// `get_users_for_states` of the state of `from`.
    pub routes: Routing,
    /// How the two methods contradict each other.
    pub misaligned: Option<Misaligned>,
}

/// What `get_interested_users` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Interested {
    /// They are interested in everybody: whom they see is what `get_users_for_states` says.
    Everybody,
    /// `from` is among those whom they are interested in.
    Includes,
    /// `from` is not.
    LeavesOut,
    /// It was not answered.
    NoAnswer {
        /// Why.
        error: String,
    },
}

/// What `get_users_for_states` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Routing {
    /// The state goes to `to`.
    ToThem,
    /// It does not.
    NotToThem,
    /// It was not answered.
    NoAnswer {
        /// Why.
        error: String,
    },
}

/// How the two methods contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misaligned {
    /// `get_users_for_states` routes to `to`, whose `get_interested_users` leaves `from` out: they hear of changes, and not by
    /// a first sync.
    RoutedOnly,
    /// `get_interested_users` of `to` has `from`, and `get_users_for_states` does not route to them: they see `from` by a
    /// first sync, and hear of no change.
    InterestedOnly,
}

/// What modules are asked about.
struct Question<'a> {
    from: &'a UserId,
    state: UserPresenceState,
    to: &'a UserId,
}

/// How `to` hears of presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// They sync here.
    BySync,
    /// Their homeserver is told.
    ByFederation,
}

impl Engine {
    /// Which room, or which module, makes `to` see the presence of `from`, or why none does. Modules are asked at once, each
    /// for two `call_timeout`s at most; such calls count as all others do.
    pub async fn explain(&self, from: &UserId, to: &UserId) -> Explanation {
        self.0.explain(from, to).await
    }
}

impl Shared {
    async fn explain(&self, from: &UserId, to: &UserId) -> Explanation {
        let feeds = self.feeds();
        let (mut explanation, state) = self.without_modules(&feeds, from, to);
        if let Some(state) = state {
            let question = &Question { from, state, to };
            let reads = match explanation.to_server {
                None => Reads::BySync,
                Some(_) => Reads::ByFederation,
            };
            let words = feeds.iter().map(|feed| word_of(feed, question, reads));
            explanation.modules = join_all(words).await;
        }
        let counts = |room: &SharedRoom| room.standing == RoomStanding::Counts;
        explanation.sees = explanation.decided_by == Some(Decided::SameUser)
            || explanation.rooms.iter().any(counts)
            || explanation.modules.iter().any(|module| module.shows);
        explanation
    }

    /// All but the modules' words, and the state that they are to be asked about, if they are.
    fn without_modules(
        &self,
        feeds: &[Arc<Feed>],
        from: &UserId,
        to: &UserId,
    ) -> (Explanation, Option<UserPresenceState>) {
        let world = self.world.read();
        let directory = &world.directory;
        let (from_key, to_key) = (directory.key(from.as_str()), directory.key(to.as_str()));
        let is_ours = |user: &UserId| user.server_name() == &**directory.server_name();
        let state = from_key.map(|key| world.presence.state(key).state);
        let mut explanation = Explanation {
            from: from.clone(),
            to: to.clone(),
            sees: false,
            decided_by: None,
            state: state.map(|state| state.to_string()),
            on_first_sync: state.is_some_and(|state| state != PresenceState::Offline)
                || self.presence.include_offline_users_on_sync,
            to_server: (!is_ours(to)).then(|| to.server_name().to_owned()),
            rooms: Vec::new(),
            modules: Vec::new(),
        };
        explanation.decided_by = if self.presence.enabled == Tracking::Disabled {
            Some(Decided::PresenceDisabled)
        } else if !is_ours(to) && !is_ours(from) {
            Some(Decided::NeitherIsOurs)
        } else if is_ours(to) && !to_key.is_some_and(|key| directory.is_local(key)) {
            Some(Decided::ToUnknown)
        } else if from == to {
            Some(Decided::SameUser)
        } else if from_key.is_none() {
            Some(Decided::FromUnknown)
        } else {
            None
        };
        if explanation.decided_by.is_some() {
            return (explanation, None);
        }
        if let (Some(from), Some(to)) = (from_key, to_key) {
            explanation.rooms = rooms_of_both(&world, feeds, from, to);
        }
        (explanation, from_key.and_then(|key| world.crossing(key)))
    }
}

/// The rooms that both are in, and whether each counts.
fn rooms_of_both(world: &World, feeds: &[Arc<Feed>], one: UserKey, other: UserKey) -> Vec<SharedRoom> {
    let directory = &world.directory;
    let replacing = || {
        let replacing = feeds.iter().filter(|feed| replaces_rooms(feed));
        replacing.map(|feed| feed.name().to_string()).collect()
    };
    let mut rooms: Vec<_> = directory
        .room_ids(one)
        .into_iter()
        .filter_map(|room_id| Some((room_id, directory.room_key(room_id)?)))
        .filter(|(_, room)| directory.members(*room).binary_search(&other).is_ok())
        .map(|(room_id, room)| SharedRoom {
            room_id: room_id.to_owned(),
            standing: if !directory.counts(room) {
                RoomStanding::Excluded
            } else if world.room_presence == SharedRoomPresence::Replace {
                RoomStanding::Replaced { by: replacing() }
            } else {
                RoomStanding::Counts
            },
        })
        .collect();
    rooms.sort_unstable_by(|one, other| one.room_id.cmp(&other.room_id));
    rooms
}

fn replaces_rooms(feed: &Feed) -> bool {
    feed.lease().shared_room_presence() == SharedRoomPresence::Replace
}

/// Asks a module, as it is asked for a reader.
async fn word_of(feed: &Feed, question: &Question<'_>, reads: Reads) -> ModuleWord {
    let Question { from, state, to } = question;
    let module = feed.lease();
    let interested = match reads {
        Reads::ByFederation => None,
        Reads::BySync => Some(match module.get_interested_users(to).await {
            Ok(InterestedUsers::All) => Interested::Everybody,
            Ok(InterestedUsers::Users(users)) if users.contains(*from) => Interested::Includes,
            Ok(InterestedUsers::Users(_)) => Interested::LeavesOut,
            Err(error) => Interested::NoAnswer {
                error: with_source(&error),
            },
        }),
    };
    let only_for = match reads {
        Reads::BySync => Some(*to),
        Reads::ByFederation => None,
    };
    // The state is the batch's only one.
    let routes = match module.get_users_for_states(vec![state.clone()], only_for).await {
        Ok(routed) if routed.part_of(to).contains(&0) => Routing::ToThem,
        Ok(_) => Routing::NotToThem,
        Err(error) => Routing::NoAnswer {
            error: with_source(&error),
        },
    };
    let identity = module.identity();
    ModuleWord {
        name: feed.name().to_string(),
        version: identity.version.clone(),
        generation: identity.generation,
        shows: routes == Routing::ToThem || interested == Some(Interested::Includes),
        misaligned: match (&interested, &routes) {
            (Some(Interested::LeavesOut), Routing::ToThem) => Some(Misaligned::RoutedOnly),
            (Some(Interested::Includes), Routing::NotToThem) => Some(Misaligned::InterestedOnly),
            _ => None,
        },
        interested,
        routes,
    }
}

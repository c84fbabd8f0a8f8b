//! The engine that the tests of the HTTP layer run against, and its access tokens.

use std::sync::Arc;

use presence_router_api::UserId;

use crate::clock::SystemClock;
use crate::config;
use crate::directory::StaticSource;
use crate::engine::{Engine, Setup};
use crate::http::Services;
use crate::metrics::Exposition;
use crate::storage::{Location, Storage};

/// Alice's token. She shares a room with Bob.
pub(in crate::http) const ALICE: &str = "token-of-alice";
/// Bob's token.
pub(in crate::http) const BOB: &str = "token-of-bob";
/// Carol's token. She shares no room.
pub(in crate::http) const CAROL: &str = "token-of-carol";
/// Dave's token. He shares no room and has never set his presence.
pub(in crate::http) const DAVE: &str = "token-of-dave";

/// Such an engine, and metrics that nobody records.
pub(in crate::http) fn services() -> Services {
    services_with(None)
}

/// The same, with a limit on how often a user may set presence.
pub(in crate::http) fn services_with(rc_presence: Option<config::RateLimit>) -> Services {
    Services {
        engine: engine_with(rc_presence),
        metrics: Exposition::for_test().1,
        federation: None,
    }
}

/// A new engine for `example.org`, without modules and with nobody's presence set.
fn engine_with(rc_presence: Option<config::RateLimit>) -> Engine {
    let id = |name: &str| UserId::parse(format!("@{name}:example.org")).expect("valid");
    let users = [("alice", ALICE), ("bob", BOB), ("carol", CAROL), ("dave", DAVE)];
    let user = |token: &str| config::StaticUser {
        access_tokens: vec![token.to_owned()],
    };
    let directory = config::Directory {
        users: users
            .iter()
            .map(|(name, token)| (id(name), user(token)))
            .collect(),
        rooms: [("!room:example.org".to_owned(), [id("alice"), id("bob")].into())].into(),
        ..config::Directory::default()
    };
    Engine::start(Setup {
        clock: Arc::new(SystemClock),
        server_name: "example.org".to_owned(),
        source: Arc::new(StaticSource::new(&directory)),
        presence: config::Presence::default(),
        excluded_rooms: Vec::new(),
        storage: Storage::open(&Location::Memory).expect("opens"),
        rc_presence,
        route_pace: std::time::Duration::ZERO,
    })
}

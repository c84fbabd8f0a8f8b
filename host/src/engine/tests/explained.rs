//! What an operator is told of why somebody sees somebody.

use std::sync::{Arc, OnceLock};

use presence_router_api::{InterestedUsers, PresenceState, Routes, UserId};

use crate::config;
use crate::config::Tracking;
use crate::engine::tests::kit::{CALL_TIMEOUT, clock, id, serve_routed, setup};
use crate::engine::{Decided, Engine, Explanation, Interested, Misaligned, RoomStanding, Routing, Setup};
use crate::modules::puppet::{Mood, Puppet};

/// Routes everybody's presence to these users.
fn routing_to(names: &'static [&'static str], interested: InterestedUsers) -> Arc<Puppet> {
    // Kept: what went to an audience is forgotten with it.
    let audience = OnceLock::new();
    Arc::new(Puppet::new(
        move |api, updates| {
            let mut routes = Routes::new();
            let users = || names.iter().map(|name| user(name));
            let audience =
                audience.get_or_init(|| api.register_audience(users()).expect("there is room for it"));
            for update in updates {
                routes.send(update, audience);
            }
            routes
        },
        move |_| interested.clone(),
    ))
}

/// By a localpart, or by a whole id.
fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap_or_else(|_| id(name))
}

fn in_alice() -> InterestedUsers {
    InterestedUsers::Users([id("alice")].into_iter().collect())
}

async fn explain(engine: &Engine, from: &str, to: &str) -> Explanation {
    engine.explain(&user(from), &user(to)).await
}

#[tokio::test(start_paused = true)]
async fn a_shared_room_that_counts_shows_and_an_excluded_one_does_not() {
    let rooms: &[&[&str]] = &[&["alice", "bob"], &["alice", "bob", "carol"]];
    let engine = Engine::start(Setup {
        excluded_rooms: vec!["!1:example.org".to_owned()],
        ..setup(clock(), rooms)
    });
    let found = explain(&engine, "alice", "bob").await;
    assert!(found.sees && found.decided_by.is_none(), "{found:?}");
    let standings: Vec<_> = found
        .rooms
        .iter()
        .map(|room| (room.room_id.as_str(), &room.standing))
        .collect();
    assert_eq!(
        standings,
        [
            ("!0:example.org", &RoomStanding::Counts),
            ("!1:example.org", &RoomStanding::Excluded)
        ]
    );
    let found = explain(&engine, "alice", "carol").await;
    assert!(!found.sees, "{found:?}");
    assert_eq!(found.rooms.len(), 1);
    assert!(explain(&engine, "alice", "dave").await.rooms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn modules_that_take_the_place_of_rooms_are_named() {
    let replacing = Arc::new(Puppet::new(|_, _| Routes::new(), |_| InterestedUsers::none()).replacing());
    let server = serve_routed(&[&["alice", "bob"]], &[&Arc::new(Puppet::silent()), &replacing]).await;
    let found = explain(&server.engine, "alice", "bob").await;
    let by = vec!["puppet1".to_owned()];
    assert_eq!(found.rooms[0].standing, RoomStanding::Replaced { by });
    assert!(!found.sees);
}

#[tokio::test(start_paused = true)]
async fn each_module_says_what_both_methods_say_of_the_two() {
    let all = routing_to(&["bob"], InterestedUsers::All);
    let lines_up = routing_to(&["bob"], in_alice());
    let routed_only = routing_to(&["bob"], InterestedUsers::none());
    let interested_only = routing_to(&["carol"], in_alice());
    let neither = Arc::new(Puppet::silent());
    let puppets = [&all, &lines_up, &routed_only, &interested_only, &neither];
    let server = serve_routed(&[], &puppets).await;
    let found = explain(&server.engine, "alice", "bob").await;
    let said: Vec<_> = found
        .modules
        .into_iter()
        .map(|word| (word.shows, word.interested, word.routes, word.misaligned))
        .collect();
    let expected = [
        (true, Some(Interested::Everybody), Routing::ToThem, None),
        (true, Some(Interested::Includes), Routing::ToThem, None),
        (
            true,
            Some(Interested::LeavesOut),
            Routing::ToThem,
            Some(Misaligned::RoutedOnly),
        ),
        (
            true,
            Some(Interested::Includes),
            Routing::NotToThem,
            Some(Misaligned::InterestedOnly),
        ),
        (false, Some(Interested::LeavesOut), Routing::NotToThem, None),
    ];
    assert_eq!(said, expected);
    assert!(found.sees);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_a_module_answers_is_delivered() {
    let server = serve_routed(&[], &[&routing_to(&["bob"], InterestedUsers::none())]).await;
    let mut bob = server.client("bob");
    bob.sync().await;
    assert!(explain(&server.engine, "alice", "bob").await.sees);
    assert!(bob.sync().await.is_empty());
    // The same answer to the same state, once it is routed.
    server.client("alice").put(PresenceState::Online, "hi").await;
    server.routed("alice").await;
    assert_eq!(bob.sync().await, ["alice online hi"]);
}

#[tokio::test(start_paused = true)]
async fn a_module_that_fails_is_told_with_its_error() {
    let puppet = routing_to(&["bob"], InterestedUsers::All);
    let server = serve_routed(&[&["alice", "bob"]], &[&puppet]).await;
    puppet.set_mood(Mood::Fail);
    let found = explain(&server.engine, "alice", "bob").await;
    let word = &found.modules[0];
    let error = "told to fail".to_owned();
    assert_eq!(
        word.interested,
        Some(Interested::NoAnswer { error: error.clone() })
    );
    assert_eq!(word.routes, Routing::NoAnswer { error });
    assert!(found.sees && !word.shows, "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_module_that_hangs_is_waited_for_until_its_deadline() {
    let puppet = Arc::new(Puppet::silent());
    let server = serve_routed(&[], &[&puppet]).await;
    puppet.set_mood(Mood::Hang);
    let engine = server.engine.clone();
    let explained = tokio::spawn(async move { explain(&engine, "alice", "bob").await });
    server.pass_until(|| explained.is_finished()).await;
    let found = explained.await.expect("no panic");
    let Some(Interested::NoAnswer { error }) = &found.modules[0].interested else {
        panic!("{found:?}");
    };
    assert_eq!(
        *error,
        format!("did not answer within {} ms", CALL_TIMEOUT.as_millis())
    );
    let Routing::NoAnswer { error } = &found.modules[0].routes else {
        panic!("{found:?}");
    };
    assert!(error.starts_with("is left alone for another"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn other_homeservers_are_told_by_rooms_and_by_routes() {
    let puppet = routing_to(&["@zoe:other.org"], InterestedUsers::none());
    let server = serve_routed(&[], &[&puppet]).await;
    let found = explain(&server.engine, "alice", "@zoe:other.org").await;
    assert_eq!(found.to_server.as_deref(), Some("other.org"));
    // They never sync here, so nobody asks whom they are interested in, and nothing contradicts.
    let word = &found.modules[0];
    assert_eq!((&word.interested, word.misaligned), (&None, None));
    assert!(found.sees && word.shows, "{found:?}");
    assert!(!explain(&server.engine, "alice", "@yan:other.org").await.sees);
}

#[tokio::test(start_paused = true)]
async fn what_decides_alone_is_told_alone() {
    let server = serve_routed(
        &[&["alice", "bob"]],
        &[&routing_to(&["bob"], InterestedUsers::All)],
    )
    .await;
    for (from, to, decided, sees) in [
        ("alice", "alice", Decided::SameUser, true),
        ("nobody", "bob", Decided::FromUnknown, false),
        ("alice", "nobody", Decided::ToUnknown, false),
        ("@a:b", "@c:d", Decided::NeitherIsOurs, false),
    ] {
        let found = explain(&server.engine, from, to).await;
        assert_eq!(
            (found.decided_by, found.sees),
            (Some(decided), sees),
            "{from} {to}"
        );
        assert!(found.rooms.is_empty() && found.modules.is_empty(), "{found:?}");
    }
    let presence = config::Presence {
        enabled: Tracking::Disabled,
        ..config::Presence::default()
    };
    let disabled = Engine::start(Setup {
        presence,
        ..setup(clock(), &[&["alice", "bob"]])
    });
    let found = explain(&disabled, "alice", "bob").await;
    assert_eq!(found.decided_by, Some(Decided::PresenceDisabled));
}

#[tokio::test(start_paused = true)]
async fn who_is_offline_is_told_to_be_left_out_of_a_first_sync() {
    let server = serve_routed(&[&["alice", "bob"]], &[]).await;
    let found = explain(&server.engine, "alice", "bob").await;
    assert_eq!(
        (found.state.as_deref(), found.on_first_sync),
        (Some("offline"), false)
    );
    server.client("alice").put(PresenceState::Online, "hi").await;
    let found = explain(&server.engine, "alice", "bob").await;
    assert_eq!(
        (found.state.as_deref(), found.on_first_sync),
        (Some("online"), true)
    );
}

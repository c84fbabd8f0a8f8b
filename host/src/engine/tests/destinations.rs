//! What waits to be sent to other homeservers: each local user once, in their newest state, for whoever shares a room or is
//! named by a module.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::{Busy, Offline, Online, Unavailable};
use presence_router_api::{InterestedUsers, PresenceUpdate, Routes, UserId};

use crate::clock::StandStill;
use crate::config;
use crate::config::Tracking;
use crate::directory::StaticSource;
use crate::engine::tests::kit::{CALL_TIMEOUT, Client, Routed, clock, directory, has_rooms, id, only, setup};
use crate::engine::{Engine, SetPresence};
use crate::metrics::Exposition;
use crate::modules::puppet::Puppet;

const AT_OTHER: &str = "@olga:other.test";
const AT_THIRD: &str = "@theo:third.test";
const ROOM: &str = "!0:example.org";
/// Less than the time after which other servers are due a sign of life of anybody, by more than a moment.
const ALMOST: Duration = Duration::from_secs(20 * 60 - 15);
const MOMENT: Duration = Duration::from_secs(10);
/// After `ALMOST` it is due within so many moments.
const MOMENTS: u32 = 5 * 6 + 3;

/// A server whose rooms have members of other homeservers.
struct Server {
    engine: Engine,
    source: Arc<StaticSource>,
}

fn user(id: &str) -> UserId {
    UserId::parse(id).expect("valid")
}

/// These rooms, with these people of other homeservers in the first one.
fn with_remote(rooms: &[&[&str]], remote: &[&str]) -> config::Directory {
    let mut directory = directory(rooms);
    let room = directory.rooms.entry(ROOM.to_owned()).or_default();
    room.extend(remote.iter().map(|id| user(id)));
    directory
}

impl Server {
    fn start(directory: &config::Directory) -> Self {
        Self::start_with(directory, Tracking::Enabled, &[])
    }

    fn start_with(directory: &config::Directory, tracking: Tracking, excluded: &[&str]) -> Self {
        let source = Arc::new(StaticSource::new(directory));
        let mut setup = setup(clock(), &[]);
        setup.source = Arc::<StaticSource>::clone(&source);
        setup.presence.enabled = tracking;
        setup.excluded_rooms = excluded.iter().map(ToString::to_string).collect();
        Self {
            engine: Engine::start(setup),
            source,
        }
    }

    /// With a module, whose time stands still.
    async fn with(self, puppet: &Arc<Puppet>) -> (Self, Routed) {
        let _still = StandStill::begin();
        let clock = Arc::clone(&self.engine.0.clock);
        let module = puppet.start(clock, CALL_TIMEOUT).await;
        self.engine.attach("puppet0", "", module.expect("starts"));
        let routed = Routed::of(self.engine.clone(), vec![Arc::clone(puppet)]);
        (self, routed)
    }

    fn client(&self, name: &str) -> Client {
        Client::new(&self.engine, name)
    }

    /// Returns when the server has applied it.
    async fn now_is(&self, directory: &config::Directory) {
        self.source.replace(directory);
        while !has_rooms(&self.engine, directory) {
            tokio::task::yield_now().await;
        }
    }

    async fn set_by_module(&self, name: &str, update: PresenceUpdate) {
        assert_eq!(update.user_id, id(name));
        let services = self.engine.services();
        services.set_presence_for_users(vec![update]).await.expect("set");
    }

    /// Takes what waits for the homeserver of a user: whose state, and what it is by now.
    fn taken_for(&self, remote: &str) -> Vec<String> {
        let mut guard = self.engine.0.world.write();
        let world = &mut *guard;
        let key = world.directory.key_or_insert(&user(remote));
        let server = world.directory.remote_server_or_insert(key).expect("is remote");
        let mut taken = Vec::new();
        for user in world.destinations.take(server, 100) {
            let user = user.user;
            let id = world.directory.id(user).expect("known").as_str();
            taken.push(format!("{id} {}", world.presence.state(user).state));
        }
        taken.sort_unstable();
        taken
    }

    fn nothing_waits(&self) -> bool {
        self.engine.0.world.read().destinations.is_empty()
    }
}

/// Sends everybody's presence to these people, and shows them everybody.
fn to(recipients: &'static [&'static str]) -> Puppet {
    Puppet::new(
        move |api, updates| {
            let to = recipients.iter().map(|id| user(id));
            let mut routes = Routes::new();
            routes.send_all(updates.iter(), &api.register_audience(to).expect("registers"));
            routes
        },
        move |user| {
            if recipients.contains(&user.as_str()) {
                InterestedUsers::All
            } else {
                InterestedUsers::none()
            }
        },
    )
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_once_for_each_homeserver_in_a_room_and_is_sent_as_it_is_by_then() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let two = ["@olga:other.test", "@oscar:other.test", AT_THIRD];
    let server = Server::start(&with_remote(
        &[&["alice", "bob"], &["alice", "carol"], &["dave"]],
        &two,
    ));
    let alice = server.client("alice");
    assert!(server.nothing_waits());
    alice.put(Online, "").await;
    alice.put(Unavailable, "later").await;
    // Dave shares a room with nobody.
    server.client("dave").put(Online, "").await;
    let waiting = "synapse_federation_transaction_queue_pending_edus 2";
    assert!(exposition.render().lines().any(|line| line == waiting));
    assert_eq!(server.taken_for(AT_OTHER), ["@alice:example.org unavailable"]);
    assert_eq!(server.taken_for(AT_THIRD), ["@alice:example.org unavailable"]);
    assert!(server.nothing_waits());
    // What is not worth telling to clients is not to servers either.
    alice.put(Unavailable, "later").await;
    assert!(server.nothing_waits());
    alice.put(Offline, "later").await;
    assert_eq!(server.taken_for(AT_OTHER), ["@alice:example.org offline"]);
}

// Synapse tests/handlers/test_presence.py: test_remote_joins.
#[tokio::test(start_paused = true)]
async fn a_homeserver_that_joins_is_introduced_to_the_room_s_local_people_alone() {
    let server = Server::start(&with_remote(
        &[&["alice", "bob", "carol"], &["dave"]],
        &[AT_OTHER],
    ));
    server.client("alice").put(Online, "").await;
    server.client("dave").put(Online, "").await;
    // Carol is offline, and was never active: there is nothing to say of her, nor of Bob.
    assert_eq!(server.taken_for(AT_OTHER), ["@alice:example.org online"]);
    let joined = with_remote(&[&["alice", "bob", "carol"], &["dave"]], &[AT_OTHER, AT_THIRD]);
    server.now_is(&joined).await;
    assert_eq!(server.taken_for(AT_THIRD), ["@alice:example.org online"]);
    // Those who were there hear nothing.
    assert!(server.nothing_waits());
    // Another user of a homeserver that is there gets them as well, as in Synapse.
    let again = with_remote(
        &[&["alice", "bob", "carol"], &["dave"]],
        &[AT_OTHER, AT_THIRD, "@tina:third.test"],
    );
    server.now_is(&again).await;
    assert_eq!(server.taken_for(AT_THIRD), ["@alice:example.org online"]);
    assert!(server.nothing_waits());
}

// Synapse tests/handlers/test_presence.py: test_remote_gets_presence_when_local_user_joins.
#[tokio::test(start_paused = true)]
async fn a_local_user_who_joins_is_introduced_to_all_homeservers_of_the_room() {
    let remote = [AT_OTHER, AT_THIRD];
    let server = Server::start(&with_remote(&[&["alice"]], &remote));
    server.client("alice").put(Online, "").await;
    server.client("bob").put(Busy, "").await;
    assert_eq!(server.taken_for(AT_OTHER), ["@alice:example.org online"]);
    assert_eq!(server.taken_for(AT_THIRD), ["@alice:example.org online"]);
    // With Carol, of whom there is nothing to say.
    server
        .now_is(&with_remote(&[&["alice", "bob", "carol"]], &remote))
        .await;
    assert_eq!(server.taken_for(AT_OTHER), ["@bob:example.org busy"]);
    assert_eq!(server.taken_for(AT_THIRD), ["@bob:example.org busy"]);
    // Who has left the room is of no interest to it.
    server.now_is(&with_remote(&[&["alice"]], &remote)).await;
    server.client("bob").put(Online, "").await;
    assert!(server.nothing_waits());
}

// Synapse tests/handlers/test_presence.py: test_get_interested_remotes_respects_excluded_rooms.
#[tokio::test(start_paused = true)]
async fn excluded_rooms_send_nothing_also_to_who_joins() {
    let rooms: &[&[&str]] = &[&["alice"]];
    let server = Server::start_with(&with_remote(rooms, &[AT_OTHER]), Tracking::Enabled, &[ROOM]);
    server.client("alice").put(Online, "").await;
    server.client("bob").put(Online, "").await;
    let joined = with_remote(&[&["alice", "bob"]], &[AT_OTHER, AT_THIRD]);
    server.now_is(&joined).await;
    assert!(server.nothing_waits());
}

#[tokio::test(start_paused = true)]
async fn a_module_that_replaces_shared_rooms_does_so_for_other_homeservers() {
    let rooms: &[&[&str]] = &[&["alice", "bob"]];
    let server = Server::start(&with_remote(rooms, &[AT_OTHER]));
    let puppet = Arc::new(to(&[AT_THIRD]).replacing());
    let (server, routed) = server.with(&puppet).await;
    server.client("alice").put(Online, "").await;
    routed.routed("alice").await;
    assert!(server.taken_for(AT_OTHER).is_empty());
    assert_eq!(server.taken_for(AT_THIRD), ["@alice:example.org online"]);
    server
        .now_is(&with_remote(rooms, &[AT_OTHER, "@oscar:other.test"]))
        .await;
    assert!(server.nothing_waits());
}

#[tokio::test(start_paused = true)]
async fn people_of_other_homeservers_whom_a_module_names_are_sent_local_states_once_a_server() {
    let puppet = Arc::new(to(&[AT_OTHER, "@oscar:other.test", "@eve:example.org"]));
    let server = Server::start(&with_remote(&[&["alice"]], &[AT_OTHER]));
    let (server, routed) = server.with(&puppet).await;
    let mut eve = server.client("eve");
    eve.sync().await;
    server.client("alice").put(Online, "").await;
    server.client("bob").put(Unavailable, "").await;
    routed.routed("alice").await;
    routed.routed("bob").await;
    // Alice both shares a room and is routed.
    assert_eq!(
        server.taken_for(AT_OTHER),
        ["@alice:example.org online", "@bob:example.org unavailable"]
    );
    assert_eq!(eve.sync().await, ["alice online", "bob unavailable"]);
    // A user of another homeserver is not ours to tell of.
    let olga = PresenceUpdate::new(user(AT_OTHER), Online);
    let services = server.engine.services();
    services.set_presence_for_users(vec![olga]).await.expect("set");
    server.client("bob").put(Busy, "").await;
    routed.routed("bob").await;
    assert_eq!(server.taken_for(AT_OTHER), ["@bob:example.org busy"]);
    assert!(server.nothing_waits());
}

// Synapse tests/module_api/test_api.py: test_send_local_online_presence_to_federation.
#[tokio::test(start_paused = true)]
async fn a_snapshot_for_somebody_elsewhere_is_all_who_are_online_and_seen() {
    let puppet = Arc::new(to(&[AT_THIRD]));
    let server = Server::start(&with_remote(&[&["alice", "bob"]], &[AT_OTHER]));
    let (server, routed) = server.with(&puppet).await;
    for (name, state) in [("alice", Online), ("bob", Offline), ("carol", Busy)] {
        server.client(name).put(state, "").await;
    }
    routed.settle().await;
    server.taken_for(AT_OTHER);
    server.taken_for(AT_THIRD);
    let services = server.engine.services();
    let both = vec![user(AT_OTHER), user(AT_THIRD)];
    services
        .send_local_online_presence_to(both)
        .await
        .expect("queued");
    assert_eq!(server.taken_for(AT_OTHER), ["@alice:example.org online"]);
    assert_eq!(
        server.taken_for(AT_THIRD),
        ["@alice:example.org online", "@carol:example.org busy"]
    );
    assert!(server.nothing_waits());
}

// Synapse tests/handlers/test_presence.py: test_federation_ping.
#[tokio::test(start_paused = true)]
async fn of_who_is_there_and_does_nothing_a_sign_of_life_waits_every_20_to_25_minutes() {
    let server = Server::start(&with_remote(&[&["alice", "bob"]], &[AT_OTHER]));
    let mut alice = server.client("alice");
    alice.set_presence = SetPresence::Unavailable;
    alice.filter = only([]);
    alice.sync().await;
    let syncing = alice.long_poll(Duration::from_mins(59));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.taken_for(AT_OTHER), ["@alice:example.org unavailable"]);
    let mut bob = server.client("bob");
    bob.sync().await;
    for _ in 0..2 {
        tokio::time::sleep(ALMOST).await;
        let mut moments = 0;
        while server.nothing_waits() {
            assert!(moments < MOMENTS, "it does not come");
            tokio::time::sleep(MOMENT).await;
            moments += 1;
        }
        assert!(moments > 0, "it comes too early");
        assert_eq!(server.taken_for(AT_OTHER), ["@alice:example.org unavailable"]);
        // To clients it is no news.
        assert!(bob.sync().await.is_empty());
    }
    syncing.abort();
}

#[tokio::test(start_paused = true)]
async fn while_presence_is_disabled_nothing_is_sent_and_while_untracked_what_modules_set_is() {
    let before = with_remote(&[&["alice"]], &[AT_OTHER]);
    let after = with_remote(&[&["alice", "bob"]], &[AT_OTHER, AT_THIRD]);
    for (tracking, by_modules) in [
        (Tracking::Disabled, &[][..]),
        (Tracking::Untracked, &["@alice:example.org busy"]),
    ] {
        let server = Server::start_with(&before, tracking, &[]);
        server.client("alice").put(Online, "").await;
        assert!(server.nothing_waits(), "{tracking:?}");
        server
            .set_by_module("alice", PresenceUpdate::new(id("alice"), Busy))
            .await;
        assert_eq!(server.taken_for(AT_OTHER), by_modules, "{tracking:?}");
        server.now_is(&after).await;
        assert_eq!(server.taken_for(AT_THIRD), by_modules, "{tracking:?}");
        assert!(server.nothing_waits(), "{tracking:?}");
    }
}

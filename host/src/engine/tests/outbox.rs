//! What is handed to the sender, what becomes of it when it arrives or does not, and what of it outlives a restart.

use std::sync::Arc;

use parking_lot::Mutex;
use presence_router_api::PresenceState::{Busy, Online, Unavailable};
use presence_router_api::{InterestedUsers, Routes, UserId};
use serde_json::Value;
use tokio::sync::watch;

use crate::clock::StandStill;
use crate::directory::StaticSource;
use crate::engine::Engine;
use crate::engine::tests::kit::{CALL_TIMEOUT, Client, Routed, directory, key};
use crate::engine::tests::restarts::Runs;
use crate::federation::{Carrier, Sender, Undelivered, Waits};
use crate::modules::puppet::Puppet;

const OLGA: &str = "@olga:other.test";
const OTHER: &str = "other.test";

/// How the other homeserver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    IsAway,
    NeverAnswers,
}

/// The way to the other homeserver.
struct Road {
    mood: Mutex<Mood>,
    /// What came, as `NAME STATE MESSAGE`.
    came: watch::Sender<Vec<String>>,
    /// How often somebody set off.
    tried: watch::Sender<usize>,
}

impl Road {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(mood),
            came: watch::Sender::default(),
            tried: watch::Sender::default(),
        })
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    fn came(&self) -> Vec<String> {
        self.came.borrow().clone()
    }

    fn tried(&self) -> usize {
        *self.tried.borrow()
    }
}

impl Carrier for Road {
    fn carry<'a>(&'a self, server: &'a str, _: &'a str, body: Value) -> Waits<'a, Result<(), Undelivered>> {
        Box::pin(async move {
            assert_eq!(server, OTHER);
            let mood = *self.mood.lock();
            self.tried.send_modify(|tried| *tried += 1);
            match mood {
                Mood::IsAway => return Err(Undelivered::Away("it is away".to_owned())),
                Mood::NeverAnswers => std::future::pending().await,
                Mood::Takes => {}
            }
            for entry in body["edus"][0]["content"]["push"].as_array().expect("a list") {
                let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
                let entry = [text("user_id"), text("presence"), text("status_msg")].join(" ");
                let entry = entry.replacen('@', "", 1).replacen(":example.org", "", 1);
                self.came.send_modify(|came| came.push(entry.trim().to_owned()));
            }
            Ok(())
        })
    }
}

/// Routes to Olga whoever says no secret.
fn discreet() -> Arc<Puppet> {
    Arc::new(Puppet::new(
        |api, updates| {
            let olga = UserId::parse(OLGA).expect("valid");
            let olga = api.register_audience([olga]).expect("registers");
            let mut routes = Routes::new();
            let open = updates
                .iter()
                .filter(|update| update.status_msg() != Some("secret"));
            routes.send_all(open, &olga);
            routes
        },
        |_| InterestedUsers::none(),
    ))
}

/// Alice and, when so, Olga share a room.
fn run(runs: &Runs, with_olga: &[&str]) -> Engine {
    runs.run_set(&[], |setup| {
        let mut directory = directory(&[&["alice", "bob"]]);
        let room = directory.rooms.get_mut("!0:example.org").expect("is there");
        room.extend(with_olga.iter().map(|id| UserId::parse(*id).expect("valid")));
        setup.source = Arc::new(StaticSource::new(&directory));
    })
}

async fn run_with(runs: &Runs, puppet: &Arc<Puppet>) -> Routed {
    let engine = run(runs, &[]);
    let module = puppet.start(Arc::clone(&engine.0.clock), CALL_TIMEOUT).await;
    engine.attach("puppet", "", module.expect("starts"));
    Routed::of(engine, vec![Arc::clone(puppet)])
}

fn sends(engine: &Engine, road: &Arc<Road>) -> Sender {
    let road: Arc<Road> = Arc::clone(road);
    engine.send_by(road)
}

/// Until the sender knows that the other homeserver is away.
async fn is_known_to_be_away(time: &StandStill, sender: &Sender) {
    time.until(|| sender.contacts().iter().any(|contact| contact.failures > 0))
        .await;
}

async fn all_is_sent(time: &StandStill, engine: &Engine) {
    time.until(|| engine.waiting_for_servers().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn who_shares_a_room_gets_the_newest_state_alone_when_they_are_back() {
    let (runs, time) = (Runs::new(), StandStill::begin());
    let engine = run(&runs, &[OLGA]);
    let road = Road::new(Mood::IsAway);
    let sender = sends(&engine, &road);
    let alice = Client::new(&engine, "alice");
    alice.put(Online, "one").await;
    is_known_to_be_away(&time, &sender).await;
    alice.put(Busy, "two").await;
    assert_eq!(engine.waiting_for_servers(), [(Arc::from(OTHER), 1)]);
    road.becomes(Mood::Takes);
    sender.heard_from(OTHER);
    time.until(|| !road.came().is_empty()).await;
    assert_eq!(road.came(), ["alice busy two"]);
    assert!(engine.waiting_for_servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_routed_state_that_has_changed_since_is_not_sent_unless_it_is_routed_again() {
    let (runs, time, puppet) = (Runs::new(), StandStill::begin(), discreet());
    let server = run_with(&runs, &puppet).await;
    let road = Road::new(Mood::IsAway);
    let sender = sends(&server.engine, &road);
    let alice = server.client("alice");
    alice.put(Online, "open").await;
    server.routed("alice").await;
    is_known_to_be_away(&time, &sender).await;
    alice.put(Busy, "secret").await;
    server.routed("alice").await;
    road.becomes(Mood::Takes);
    sender.heard_from(OTHER);
    all_is_sent(&time, &server.engine).await;
    alice.put(Unavailable, "open again").await;
    server.routed("alice").await;
    time.until(|| !road.came().is_empty()).await;
    assert_eq!(road.came(), ["alice unavailable open again"]);
}

#[tokio::test(start_paused = true)]
async fn a_state_routed_while_an_older_one_is_stored_outlives_a_restart() {
    let (runs, time, puppet) = (Runs::new(), StandStill::begin(), discreet());
    let server = run_with(&runs, &puppet).await;
    let away = Road::new(Mood::IsAway);
    let sender = sends(&server.engine, &away);
    let alice = server.client("alice");
    alice.put(Online, "one").await;
    server.routed("alice").await;
    is_known_to_be_away(&time, &sender).await;
    alice.put(Busy, "two").await;
    server.routed("alice").await;
    runs.stop(&server.engine).await;

    let engine = run(&runs, &[]);
    let road = Road::new(Mood::Takes);
    let sender = sends(&engine, &road);
    sender.heard_from(OTHER);
    time.until(|| !road.came().is_empty()).await;
    assert_eq!(road.came(), ["alice busy two"]);
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_is_not_sent_by_the_next_run() {
    let (runs, time) = (Runs::new(), StandStill::begin());
    let first = run(&runs, &[OLGA]);
    let sender = sends(&first, &Road::new(Mood::IsAway));
    Client::new(&first, "alice").put(Online, "one").await;
    is_known_to_be_away(&time, &sender).await;
    runs.stop(&first).await;

    let second = run(&runs, &[OLGA]);
    assert_eq!(second.waiting_for_servers(), [(Arc::from(OTHER), 1)]);
    let road = Road::new(Mood::Takes);
    let sender = sends(&second, &road);
    sender.heard_from(OTHER);
    time.until(|| sender.contacts().iter().all(|contact| contact.failures == 0))
        .await;
    assert_eq!(road.came(), ["alice online one"]);
    runs.stop(&second).await;

    let third = run(&runs, &[OLGA]);
    assert!(third.waiting_for_servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_the_server_stops_is_sent_by_the_next_run() {
    let (runs, time) = (Runs::new(), StandStill::begin());
    let first = run(&runs, &[OLGA]);
    let silent = Road::new(Mood::NeverAnswers);
    sends(&first, &silent);
    Client::new(&first, "alice").put(Online, "one").await;
    time.until(|| silent.tried() == 1).await;
    runs.stop(&first).await;

    let second = run(&runs, &[OLGA]);
    let road = Road::new(Mood::Takes);
    sends(&second, &road);
    time.until(|| !road.came().is_empty()).await;
    assert_eq!(road.came(), ["alice online one"]);
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_go_where_a_module_has_routed_the_same_state() {
    let (runs, time, puppet) = (Runs::new(), StandStill::begin(), discreet());
    let server = run_with(&runs, &puppet).await;
    let road = Road::new(Mood::Takes);
    sends(&server.engine, &road);
    let alice = server.client("alice");
    let again = || {
        let user = key(&server.engine, "alice");
        let mut world = server.engine.0.world.write();
        let newest = world.streams.last_change(user);
        world.destinations.queue_routed_again(user, newest);
    };
    alice.put(Online, "open").await;
    server.routed("alice").await;
    time.until(|| road.came().len() == 1).await;
    again();
    time.until(|| road.came().len() == 2).await;
    assert_eq!(road.came()[1], "alice online open");
    // What has changed since was not routed there.
    alice.put(Online, "secret").await;
    server.routed("alice").await;
    again();
    assert!(server.engine.waiting_for_servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_sent_nothing_waits() {
    let runs = Runs::new();
    let engine = run(&runs, &[OLGA]);
    Client::new(&engine, "alice").put(Online, "one").await;
    assert_eq!(engine.waiting_for_servers(), [(Arc::from(OTHER), 1)]);
    engine.send_nothing();
    assert!(engine.waiting_for_servers().is_empty());
    Client::new(&engine, "alice").put(Busy, "two").await;
    assert!(engine.waiting_for_servers().is_empty());
}

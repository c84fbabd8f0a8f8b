//! A router that panics, in each place where an author's code runs: each time an error names the place, and the process
//! lives on.

use std::panic::panic_any;
use std::time::Duration;

use serde::Deserialize;

use super::{recorded, start_recording};
use crate::testing::{FakeHost, Harness, HarnessError};
use crate::{
    ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes,
    SharedRoomPresence, StartError, StateUpdates, UserId,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Place {
    Nowhere,
    ParseConfig,
    DropOfConfig,
    New,
    SharedRoomPresence,
    FirstPoll,
    LaterPoll,
    DropOfFuture,
    DropOfReadyFuture,
    InterestedUsers,
    Shutdown,
    SpawnedTask,
    DropOfSpawnedTask,
    DropOfRouter,
}

/// What is thrown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Thrown {
    Text,
    Formatted,
    /// A payload that panics when it is dropped, with another such payload.
    Grenade,
}

struct Grenade(usize);

impl Drop for Grenade {
    fn drop(&mut self) {
        if self.0 > 0 && !std::thread::panicking() {
            panic_any(Self(self.0 - 1));
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Bomb {
    at: Place,
    thrown: Thrown,
}

impl Bomb {
    fn pass(self, place: Place) {
        if self.at == place {
            match self.thrown {
                Thrown::Text => panic!("boom"),
                Thrown::Formatted => panic!("boom at {place:?}"),
                Thrown::Grenade => panic_any(Grenade(2)),
            }
        }
    }
}

struct Armed(Bomb, Place);

impl Drop for Armed {
    fn drop(&mut self) {
        self.0.pass(self.1);
    }
}

struct Config {
    bomb: Bomb,
    armed: Armed,
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bomb = Bomb::deserialize(deserializer)?;
        let armed = Armed(bomb, Place::DropOfConfig);
        Ok(Self { bomb, armed })
    }
}

struct Panicking {
    bomb: Bomb,
    api: ModuleApi,
    _armed: Armed,
}

impl PresenceRouter for Panicking {
    type Config = Config;

    fn parse_config(config: ConfigValue) -> Result<Config, ConfigError> {
        let config: Config = config.parse()?;
        config.bomb.pass(Place::ParseConfig);
        Ok(config)
    }

    fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
        let Config {
            bomb,
            armed: _dropped_at_the_end,
        } = config;
        bomb.pass(Place::New);
        let armed = Armed(bomb, Place::DropOfSpawnedTask);
        let clock = api.clone();
        api.spawn(async move {
            let _armed = armed;
            bomb.pass(Place::SpawnedTask);
            clock.sleep(Duration::from_secs(3600)).await;
        })?;
        Ok(Self {
            bomb,
            api,
            _armed: Armed(bomb, Place::DropOfRouter),
        })
    }

    async fn get_users_for_states(&self, _: &StateUpdates) -> Result<Routes, RouterError> {
        let _ready = Armed(self.bomb, Place::DropOfReadyFuture);
        self.bomb.pass(Place::FirstPoll);
        let _waiting = Armed(self.bomb, Place::DropOfFuture);
        self.api.sleep(Duration::from_secs(1)).await;
        self.bomb.pass(Place::LaterPoll);
        Ok(Routes::new())
    }

    async fn get_interested_users(&self, _: &UserId) -> Result<InterestedUsers, RouterError> {
        self.bomb.pass(Place::InterestedUsers);
        Ok(InterestedUsers::none())
    }

    fn shared_room_presence(&self) -> SharedRoomPresence {
        self.bomb.pass(Place::SharedRoomPresence);
        SharedRoomPresence::Additive
    }

    async fn shutdown(&self) {
        self.bomb.pass(Place::Shutdown);
    }
}

fn config(at: Place, thrown: Thrown) -> String {
    format!(r#"{{"at": "{at:?}", "thrown": "{thrown:?}"}}"#)
}

/// One life of a router, as far as it comes: the error of the call that failed, and what the host has logged.
fn live(at: Place, thrown: Thrown) -> (Option<HarnessError>, Vec<String>) {
    let host = FakeHost::new("example.org");
    let outcome = Harness::start_on::<Panicking>(&host, &config(at, thrown)).and_then(|router| {
        router.host().run_tasks();
        let routed = router.route(["@alice:example.org"]);
        let interested = router.interested("@alice:example.org");
        let ended = router.shutdown();
        routed.map(drop).and(interested.map(drop)).and(ended.map(drop))
    });
    let log = host
        .log()
        .into_iter()
        .map(|(level, text)| format!("{level} {text}"));
    (outcome.err(), log.collect())
}

fn check(at: Place) -> String {
    let (error, log) = live(at, Thrown::Text);
    let error = error.map(|error| {
        assert!(error.panicked, "{error}");
        error.message
    });
    error.into_iter().chain(log).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_panic_in_a_method_is_an_error_that_names_the_method() {
    insta::assert_snapshot!(check(Place::Nowhere), @"");
    insta::assert_snapshot!(check(Place::ParseConfig), @"panicked in parse_config: boom");
    insta::assert_snapshot!(check(Place::New), @"panicked in new: boom");
    insta::assert_snapshot!(check(Place::SharedRoomPresence), @"panicked in shared_room_presence: boom");
    insta::assert_snapshot!(check(Place::FirstPoll), @"panicked in get_users_for_states: boom");
    insta::assert_snapshot!(check(Place::LaterPoll), @"panicked in get_users_for_states: boom");
    insta::assert_snapshot!(check(Place::InterestedUsers), @"panicked in get_interested_users: boom");
    insta::assert_snapshot!(check(Place::Shutdown), @"panicked in shutdown: boom");
    // The value is dropped as `new` ends, as the future's locals are when a poll ends it.
    insta::assert_snapshot!(check(Place::DropOfConfig), @"panicked in new: boom");
    insta::assert_snapshot!(check(Place::DropOfReadyFuture), @"panicked in get_users_for_states: boom");
}

#[test]
fn a_panic_for_which_nobody_waits_is_logged_with_its_place() {
    insta::assert_snapshot!(check(Place::SpawnedTask), @"ERROR panicked in a spawned task: boom");
    insta::assert_snapshot!(check(Place::DropOfSpawnedTask), @"ERROR panicked in the drop of the future of a spawned task: boom");
    insta::assert_snapshot!(check(Place::DropOfRouter), @"ERROR panicked in the drop of the router: boom");
}

#[test]
fn a_panic_in_the_drop_of_a_future_that_is_given_up_is_logged() {
    let host = FakeHost::new("example.org");
    let config = config(Place::DropOfFuture, Thrown::Text);
    let router = Harness::start_on::<Panicking>(&host, &config).expect("starts");
    router.give_up(["@alice:example.org"]);
    let (_, text) = host.log().pop().expect("a record");
    insta::assert_snapshot!(text, @"panicked in the drop of the future of get_users_for_states: boom");
}

#[test]
fn a_panic_in_the_drop_of_a_config_that_no_instance_took_is_logged() {
    start_recording();
    let config = config(Place::DropOfConfig, Thrown::Formatted);
    assert_eq!(Harness::check_config::<Panicking>(&config), Ok(()));
    let expected = "ERROR panicked in the drop of the config: boom at DropOfConfig";
    assert!(
        recorded().iter().any(|record| record == expected),
        "{:?}",
        recorded()
    );
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_is_survived_everywhere() {
    use Place::{
        DropOfConfig, DropOfFuture, DropOfReadyFuture, DropOfRouter, DropOfSpawnedTask, FirstPoll,
        InterestedUsers, LaterPoll, New, ParseConfig, Shutdown, SpawnedTask,
    };
    for at in [
        ParseConfig,
        DropOfConfig,
        New,
        Place::SharedRoomPresence,
        FirstPoll,
        LaterPoll,
        DropOfFuture,
        DropOfReadyFuture,
        InterestedUsers,
        Shutdown,
        SpawnedTask,
        DropOfSpawnedTask,
        DropOfRouter,
    ] {
        let (error, log) = live(at, Thrown::Grenade);
        let texts: Vec<_> = error.map(|error| error.message).into_iter().chain(log).collect();
        assert_eq!(texts.len(), 1, "{at:?}: {texts:?}");
        assert!(
            texts[0].ends_with(": a value that is no text"),
            "{at:?}: {texts:?}"
        );
    }
}

#[test]
fn a_router_that_panicked_answers_the_next_call() {
    let config = config(Place::LaterPoll, Thrown::Formatted);
    let router = Harness::start::<Panicking>("example.org", &config).expect("starts");
    let error = router.route(["@alice:example.org"]).expect_err("panics");
    assert_eq!(
        error.message,
        "panicked in get_users_for_states: boom at LaterPoll"
    );
    assert!(router.interested("@alice:example.org").is_ok());
}

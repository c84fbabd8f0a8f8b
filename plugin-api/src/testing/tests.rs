//! The fake host answers as a host does, and the harness finds what is wrong with a router.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use serde::Deserialize;

use super::{FakeHost, Harness};
use crate::{
    ApiError, Audience, ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, PresenceState,
    RouterError, Routes, SharedRoomPresence, StartError, StateUpdates, UserId, UserPresenceState,
};

const ALICE: &str = "@alice:example.org";
const BOB: &str = "@bob:example.org";
const CAROL: &str = "@carol:example.org";

fn user(id: &str) -> UserId {
    id.parse().expect("a test's user id is valid")
}

#[test]
fn the_clock_stands_still_until_it_is_moved() {
    let host = FakeHost::new("example.org");
    let api = host.api();
    assert_eq!(api.now(), FakeHost::START_MS);
    host.advance(Duration::from_millis(1_500));
    assert_eq!(api.now(), FakeHost::START_MS + 1_500);
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_sleep_ends_at_its_time_and_wakes_who_waits() {
    let host = FakeHost::new("example.org");
    let woken = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut sleep = Box::pin(host.api().sleep(Duration::from_millis(10)));
    assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);
    host.advance(Duration::from_millis(9));
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);
    host.advance(Duration::from_millis(1));
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert_eq!(sleep.as_mut().poll(&mut context), Poll::Ready(()));
}

#[test]
fn a_spawned_task_runs_when_time_passes_until_it_ends() {
    let host = FakeHost::new("example.org");
    let api = host.api();
    let ran = Arc::new(AtomicUsize::new(0));
    let (clock, counter) = (api.clone(), Arc::clone(&ran));
    api.spawn(async move {
        for _ in 0..2 {
            clock.sleep(Duration::from_secs(60)).await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    })
    .expect("spawns");
    let seen = |seconds| {
        host.advance(Duration::from_secs(seconds));
        (ran.load(Ordering::Relaxed), host.task_count())
    };
    assert_eq!(seen(0), (0, 1));
    assert_eq!(seen(59), (0, 1));
    assert_eq!(seen(1), (1, 1));
    assert_eq!(seen(60), (2, 0));
}

#[test]
fn a_task_may_spawn_another() {
    let host = FakeHost::new("example.org");
    let api = host.api();
    let inner = api.clone();
    api.spawn(async move { inner.spawn(async {}).expect("spawns") })
        .expect("spawns");
    host.run_tasks();
    assert_eq!(host.task_count(), 1);
    host.run_tasks();
    assert_eq!(host.task_count(), 0);
}

#[test]
fn after_a_shutdown_nothing_begins_and_what_tasks_held_is_given_back() {
    let host = FakeHost::new("example.org");
    let api = host.api();
    // The task's drop releases an audience, so it calls the host while the host ends it.
    let audience = api.register_audience([user(ALICE)]).expect("registers");
    api.spawn(async move {
        std::future::pending::<()>().await;
        drop(audience);
    })
    .expect("spawns");
    host.run_tasks();
    host.shut_down();
    assert_eq!((host.task_count(), host.audience_count()), (0, 0));
    assert_eq!(api.spawn(async {}), Err(ApiError::ShutDown));
    assert_eq!(api.register_audience([]).err(), Some(ApiError::ShutDown));
    assert_eq!(api.server_name(), "example.org");
}

#[test]
fn a_task_that_shuts_the_host_down_is_not_kept() {
    let host = FakeHost::new("example.org");
    let ending = host.clone();
    host.api()
        .spawn(async move {
            ending.shut_down();
            std::future::pending::<()>().await;
        })
        .expect("spawns");
    host.run_tasks();
    assert_eq!(host.task_count(), 0);
}

#[test]
fn ids_are_qualified_and_recognised_as_synapse_does() {
    let api = FakeHost::new("example.org:8448").api();
    let qualified = |id| api.get_qualified_user_id(id).map(|id| id.to_string());
    assert_eq!(qualified("alice").as_deref(), Ok("@alice:example.org:8448"));
    assert_eq!(qualified("@bob:far.example").as_deref(), Ok("@bob:far.example"));
    assert!(matches!(qualified("@bob"), Err(ApiError::Refused(_))));
    assert!(api.is_mine("@alice:example.org:8448"));
    assert!(api.is_mine("example.org:8448"));
    assert!(!api.is_mine("@alice:example.org"));
    assert!(!api.is_mine("@example.org:8448"));
}

/// A router whose methods are as its config says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    /// Everybody's states go to these.
    to: Vec<UserId>,
    /// Who is interested in everybody.
    all: Vec<UserId>,
    /// Everybody else is interested in these.
    some: Vec<UserId>,
    /// Asked for one recipient's part only, it sends nothing.
    nothing_only_for: bool,
    /// Names an audience of another host.
    strange_audience: bool,
}

struct Puppet {
    said: Said,
    audience: Audience,
}

impl PresenceRouter for Puppet {
    type Config = Said;

    fn new(said: Said, api: ModuleApi) -> Result<Self, StartError> {
        let api = if said.strange_audience {
            FakeHost::new("strange.example").api()
        } else {
            api
        };
        let audience = api.register_audience(said.to.iter().cloned())?;
        Ok(Self { said, audience })
    }

    async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
        let mut routes = Routes::new();
        if !(self.said.nothing_only_for && updates.only_for().is_some()) {
            routes.send_all(
                updates
                    .iter()
                    .filter(|update| update.state != PresenceState::Offline),
                &self.audience,
            );
        }
        Ok(routes)
    }

    async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
        Ok(if self.said.all.contains(user_id) {
            InterestedUsers::All
        } else {
            self.said.some.iter().cloned().collect()
        })
    }

    fn shared_room_presence(&self) -> SharedRoomPresence {
        SharedRoomPresence::Replace
    }
}

fn puppet(config: &str) -> Harness {
    Harness::start::<Puppet>("example.org", config).expect("starts")
}

/// What `assert_methods_line_up` says about a router, for Alice's presence and Carol's eyes.
fn misalignment(config: &str) -> Option<String> {
    let router = puppet(config);
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        router.assert_methods_line_up([ALICE, CAROL], [BOB, CAROL]);
    }));
    checked
        .err()
        .map(|panic| *panic.downcast::<String>().expect("a text"))
}

#[test]
fn methods_that_line_up_pass() {
    assert_eq!(misalignment("{}"), None);
    assert_eq!(
        misalignment(r#"{"to": ["@carol:example.org"], "all": ["@carol:example.org"]}"#),
        None
    );
    let everybody = r#"{"to": ["@bob:example.org", "@carol:example.org"], "some": ["@alice:example.org", "@carol:example.org"]}"#;
    assert_eq!(misalignment(everybody), None);
    // Interest in everybody leaves it to the other method whom.
    assert_eq!(misalignment(r#"{"all": ["@carol:example.org"]}"#), None);
}

#[test]
fn methods_that_do_not_line_up_are_found_in_each_direction() {
    insta::assert_snapshot!(
        misalignment(r#"{"to": ["@carol:example.org"]}"#).expect("sent, not wanted"),
        @"@alice:example.org is sent to @carol:example.org, who is not interested in them by get_interested_users"
    );
    insta::assert_snapshot!(
        misalignment(r#"{"some": ["@alice:example.org"]}"#).expect("wanted, not sent"),
        @"@bob:example.org is interested in @alice:example.org, whose state get_users_for_states does not send them"
    );
    let config = r#"{"to": ["@carol:example.org"], "all": ["@carol:example.org"], "nothing_only_for": true}"#;
    insta::assert_snapshot!(
        misalignment(config).expect("another part"),
        @"get_users_for_states sends @alice:example.org to @carol:example.org or not, as only_for is set or not"
    );
}

#[test]
fn an_audience_of_another_host_is_a_wrong_answer() {
    let router = puppet(r#"{"to": ["@carol:example.org"], "strange_audience": true}"#);
    let error = router.route([ALICE]).expect_err("rejected");
    assert_eq!(error.message, "an audience is not registered");
}

#[test]
fn any_states_can_be_routed_and_the_word_on_shared_rooms_is_kept() {
    let router = puppet(r#"{"to": ["@carol:example.org"]}"#);
    let away = UserPresenceState {
        state: PresenceState::Unavailable,
        ..UserPresenceState::offline(user(BOB)).with_status_msg("gone fishing")
    };
    let sent = router
        .route_states([UserPresenceState::offline(ALICE), away])
        .expect("routes");
    assert_eq!(sent.pairs().collect::<Vec<_>>(), [(CAROL, BOB)]);
    assert_eq!(router.shared_room_presence(), SharedRoomPresence::Replace);
}

#[test]
fn a_config_can_be_checked_alone() {
    assert_eq!(Harness::check_config::<Puppet>("{}"), Ok(()));
    let error = Harness::check_config::<Puppet>(r#"{"to": ["bob"]}"#).expect_err("refused");
    assert_eq!(error.path, "to[0]");
    assert!(!error.panicked);
}

/// Fails to end well.
struct Stubborn(ModuleApi);

impl PresenceRouter for Stubborn {
    type Config = ();

    fn parse_config(_: ConfigValue) -> Result<(), ConfigError> {
        Ok(())
    }

    fn new((): (), api: ModuleApi) -> Result<Self, StartError> {
        let clock = api.clone();
        api.spawn(async move { clock.sleep(Duration::MAX).await })?;
        Ok(Self(api))
    }

    async fn get_users_for_states(&self, _: &StateUpdates) -> Result<Routes, RouterError> {
        Err(RouterError::new("cannot"))
    }

    async fn get_interested_users(&self, _: &UserId) -> Result<InterestedUsers, RouterError> {
        Ok(InterestedUsers::none())
    }

    async fn shutdown(&self) {
        self.0.sleep(Duration::MAX).await;
    }
}

#[test]
fn a_shutdown_that_fails_still_ends_the_instance() {
    let host = FakeHost::new("example.org");
    let router = Harness::start_on::<Stubborn>(&host, "{}").expect("starts");
    assert_eq!(router.route([ALICE]).expect_err("an error").message, "cannot");
    assert!(router.shutdown().is_err());
    assert_eq!(host.task_count(), 0);
    assert_eq!(host.handle_count(), 1, "nothing is left that holds the host");
}

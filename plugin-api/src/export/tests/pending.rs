//! Answers that come later: how the first poll, the waiting and the giving up go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use abi_stable::std_types::{RArc, ROption, RStr, RVec};

use crate::abi::router::Reply;
use crate::export::instance::RouterEntry;
use crate::testing::{FakeHost, Harness};
use crate::{
    Audience, ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes,
    StartError, StateUpdates, UserId,
};

/// Answers after so many seconds; with an audience registered for this one answer.
struct Late {
    api: ModuleApi,
    wait: u64,
}

impl PresenceRouter for Late {
    type Config = u64;

    fn parse_config(config: ConfigValue) -> Result<u64, ConfigError> {
        config.as_json()["wait"]
            .as_u64()
            .ok_or_else(|| ConfigError::new("wait", "missing"))
    }

    fn new(wait: u64, api: ModuleApi) -> Result<Self, StartError> {
        Ok(Self { api, wait })
    }

    async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
        let audience: Audience = self.api.register_audience(updates.only_for().cloned())?;
        if self.wait > 0 {
            self.api.sleep(Duration::from_secs(self.wait)).await;
        }
        let mut routes = Routes::new();
        routes.send_all(updates, &audience);
        Ok(routes)
    }

    async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
        // Pending once, without a waker: the host polls again by itself after the first poll only.
        let mut polls = 0;
        std::future::poll_fn(|_| {
            polls += 1;
            if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok([user_id.clone()].into_iter().collect())
    }
}

fn late(wait: u64) -> Harness {
    Harness::start::<Late>("example.org", &format!(r#"{{"wait": {wait}}}"#)).expect("starts")
}

#[test]
fn an_answer_that_waits_comes_when_the_clock_has_moved() {
    let router = late(30);
    let before = router.host().api().now();
    let sent = router
        .route_only_for("@carol:example.org", ["@alice:example.org"])
        .expect("answers");
    assert!(sent.sees("@carol:example.org", "@alice:example.org"));
    assert_eq!(router.host().api().now() - before, 30_000);
    assert_eq!(
        router.host().audience_count(),
        0,
        "released after the answer was read"
    );
}

#[test]
fn an_answer_that_is_there_at_once_moves_no_clock() {
    let router = late(0);
    let before = router.host().api().now();
    assert!(router.route(["@alice:example.org"]).is_ok());
    assert_eq!(router.host().api().now(), before);
    assert_eq!(
        router.interested("@bob:example.org"),
        Ok(Some(["@bob:example.org".to_owned()].into()))
    );
}

#[test]
fn an_answer_that_never_comes_is_an_error() {
    let error = late(3_601).route(["@alice:example.org"]).expect_err("too late");
    assert_eq!(error.message, "did not answer within an hour of the fake clock");
    assert!(!error.panicked);
}

#[test]
fn what_is_not_a_user_id_never_reaches_the_router() {
    let router = late(0);
    let error = router.interested("bob").expect_err("no user id");
    assert!(error.message.starts_with("\"bob\" is not a user id"), "{error}");
    let error = router
        .route_only_for("bob", ["@alice:example.org"])
        .expect_err("no user id");
    assert!(error.message.starts_with("\"bob\" is not a user id"), "{error}");
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Waiting(Arc<AtomicUsize>);

thread_local! {
    static DROPS: Arc<AtomicUsize> = Arc::default();
}

impl PresenceRouter for Waiting {
    type Config = ();

    fn parse_config(_: ConfigValue) -> Result<(), ConfigError> {
        Ok(())
    }

    fn new((): (), _: ModuleApi) -> Result<Self, StartError> {
        Ok(Self(DROPS.with(Arc::clone)))
    }

    async fn get_users_for_states(&self, _: &StateUpdates) -> Result<Routes, RouterError> {
        let _counted = Counted(Arc::clone(&self.0));
        std::future::pending().await
    }

    async fn get_interested_users(&self, _: &UserId) -> Result<InterestedUsers, RouterError> {
        Ok(InterestedUsers::All)
    }
}

#[test]
fn a_pending_answer_outlives_the_router_and_gives_all_back_when_dropped() {
    let host = FakeHost::new("example.org");
    let entry = RouterEntry::of::<Waiting>("Waiting");
    let config = (entry.parse_config)("{}").expect("parses");
    let router = (entry.new)(config, host.api_box()).expect("starts");
    let batch = RArc::new(RVec::new());
    let none: ROption<RStr<'_>> = ROption::RNone;
    let Reply::Pending(answer) = router.get_users_for_states(&batch, none) else {
        panic!("it never answers");
    };
    drop(router);
    DROPS.with(|drops| assert_eq!(drops.load(Ordering::Relaxed), 0));
    drop(answer);
    DROPS.with(|drops| assert_eq!(drops.load(Ordering::Relaxed), 1));
    assert_eq!(host.handle_count(), 1, "nobody holds the host any more");
}

//! The operator's API before operations that a test decides on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use futures_util::future::join_all;
use insta::assert_snapshot;
use presence_router_api::UserId;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::*;
use crate::engine::Decided;
use crate::modules::Identity;
use crate::operations::{Containment, Counts, DestinationState, ModuleState, Step, What};
use crate::problems::Problems;
use crate::sha256::Sha256;

/// Has one module, `served`, of which no generation takes over, unless it is told to let one.
#[derive(Clone)]
struct Fake {
    begun: Arc<Notify>,
    /// An operation takes one, and ends.
    ends: Arc<Semaphore>,
    done: Arc<Notify>,
    destinations: Option<Vec<DestinationStatus>>,
}

impl Fake {
    fn new() -> Self {
        Self {
            begun: Arc::default(),
            ends: Arc::new(Semaphore::new(1_000)),
            done: Arc::default(),
            destinations: None,
        }
    }

    /// Its operations wait until the test lets them end.
    fn waiting() -> Self {
        Self {
            ends: Arc::new(Semaphore::new(0)),
            ..Self::new()
        }
    }
}

fn identity(generation: u64) -> Identity {
    Identity {
        name: "broadcast".to_owned(),
        version: "0.1.0".to_owned(),
        router: "Broadcast".to_owned(),
        generation,
        sha256: Sha256::of(b""),
        path: PathBuf::from("libbroadcast.so"),
    }
}

impl Operate for Fake {
    fn modules(&self) -> Vec<ModuleStatus> {
        vec![ModuleStatus {
            name: "served".to_owned(),
            library: identity(3).into(),
            state: ModuleState::Serving,
            since_ms: 1,
            calls: Counts::default(),
            latency: None,
            queue: 0,
            dirty_users: 0,
            containment: Containment::default(),
            previous: None,
        }]
    }

    fn destinations(&self) -> Option<Vec<DestinationStatus>> {
        self.destinations.clone()
    }

    async fn operate(&self, operation: Operation, name: &str) -> Result<Changed, NotDone> {
        self.begun.notify_one();
        self.ends.acquire().await.expect("never closed").forget();
        self.done.notify_one();
        match operation {
            Operation::Rollback if name == "served" => Ok(Changed {
                name: name.to_owned(),
                what: What::RolledBack,
                now: Some(identity(2)),
                before: Some(identity(3)),
                before_has_ended: true,
            }),
            Operation::Unload if name == "served" => panic!("told to panic"),
            Operation::Reload if name == "new" => Err(NotDone {
                step: Step::Find,
                problems: Problems::other("there is no `new`"),
            }),
            _ => Err(NotDone {
                step: Step::Configure,
                problems: Problems::other("it does not like its config"),
            }),
        }
    }

    async fn explain(&self, from: &UserId, to: &UserId) -> Explanation {
        Explanation {
            from: from.clone(),
            to: to.clone(),
            sees: false,
            decided_by: Some(Decided::FromUnknown),
            state: None,
            on_first_sync: false,
            to_server: None,
            rooms: Vec::new(),
            modules: Vec::new(),
        }
    }
}

async fn ask(router: &Front, method: Method, path: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).expect("the parts are valid");
    let answer = router.clone().oneshot(request).await;
    let answer = answer.expect("a router cannot fail");
    let (status, headers) = (answer.status(), answer.headers().clone());
    assert_eq!(headers[header::CONTENT_TYPE], "application/json", "{path}");
    for name in headers.keys() {
        assert!(!name.as_str().starts_with("access-control-"), "{path}: {name}");
    }
    let body = axum::body::to_bytes(answer.into_body(), 65_536).await;
    let body = serde_json::from_slice(&body.expect("the body is short")).expect("the body is JSON");
    (status, body)
}

fn router_of(fake: &Fake) -> Front {
    routes(fake.clone(), TaskTracker::new())
}

#[tokio::test]
async fn modules_are_listed_and_shown() {
    let router = router_of(&Fake::new());
    let (status, list) = ask(&router, Method::GET, "/modules").await;
    assert_eq!(status, StatusCode::OK);
    assert_snapshot!(list, @r#"{"modules":[{"calls":{"errors":0,"panics":0,"timeouts":0,"total":0,"wrong":0},"containment":{"blocked_threads":0,"crash_budget":null,"crashes":0,"quarantined_for_ms":null},"dirty_users":0,"generation":3,"latency":null,"name":"served","package":"broadcast","path":"libbroadcast.so","previous":null,"queue":0,"router":"Broadcast","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","since_ms":1,"state":"serving","version":"0.1.0"}]}"#);
    let (status, one) = ask(&router, Method::GET, "/modules/served").await;
    assert_eq!((status, one), (StatusCode::OK, list["modules"][0].clone()));
}

#[tokio::test]
async fn what_was_done_is_answered() {
    let (status, changed) = ask(&router_of(&Fake::new()), Method::POST, "/modules/served/rollback").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(changed["what"], "rolled_back");
    assert_eq!(changed["now"]["generation"], 2);
}

#[tokio::test]
async fn every_error_is_json_with_a_text_for_people() {
    let router = router_of(&Fake::new());
    let check = async |method: Method, path: &str| {
        let (status, body) = ask(&router, method, path).await;
        assert_eq!(body["ok"], json!(false), "{path}");
        assert_eq!(body["errors"].as_array().map(Vec::len), Some(1), "{path}");
        let step = body["step"].as_str().unwrap_or("no step");
        let serving = &body["serving"]["generation"];
        format!(
            "{} {step}, {serving} serves on: {}",
            status.as_u16(),
            body["text"].as_str().unwrap()
        )
    };
    let (get, post) = (Method::GET, Method::POST);
    assert_snapshot!(check(post.clone(), "/modules/served/reload").await, @"409 configure, 3 serves on: error: it does not like its config");
    assert_snapshot!(check(post.clone(), "/modules/new/load").await, @"409 configure, null serves on: error: it does not like its config");
    assert_snapshot!(check(post.clone(), "/modules/new/reload").await, @"404 find, null serves on: error: there is no `new`");
    assert_snapshot!(check(get.clone(), "/modules/new").await, @"404 no step, null serves on: error: no module `new` is loaded (loaded: `served`)");
    assert_snapshot!(check(post.clone(), "/modules/served/unload").await, @"500 no step, null serves on: error: internal server error; the server's log has more");
    assert_snapshot!(check(post.clone(), "/modules/served/delete").await, @"404 no step, null serves on: error: there is no such endpoint");
    assert_snapshot!(check(post, "/modules").await, @"405 no step, null serves on: error: the endpoint does not have this method");
    assert_snapshot!(check(get.clone(), "/nothing").await, @"404 no step, null serves on: error: there is no such endpoint");
    assert_snapshot!(check(get.clone(), "/modules/%ff").await, @"404 no step, null serves on: error: there is no such endpoint");
    assert_snapshot!(check(get.clone(), "/explain?from=@a:b").await, @"400 no step, null serves on: error: `to` is missing; give a user id such as @alice:example.org");
    assert_snapshot!(check(get, "/explain?from=@a:b&to=bob").await, @r#"400 no step, null serves on: error: `to`: "bob" is not a user id: it does not start with '@', as in "@alice:example.org""#);
}

#[tokio::test]
async fn explanations_and_the_version_are_answered() {
    let router = router_of(&Fake::new());
    let (status, found) = ask(&router, Method::GET, "/explain?from=%40a%3Ab&to=@b:b").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&found["from"], &found["to"]), (&json!("@a:b"), &json!("@b:b")));
    assert_eq!(found["decided_by"], "from_unknown");
    let (status, version) = ask(&router, Method::GET, "/version").await;
    assert_eq!(
        (status, &version["name"]),
        (StatusCode::OK, &json!("presence-router"))
    );
}

#[tokio::test]
async fn other_homeservers_are_listed_where_there_is_federation() {
    let mut fake = Fake::new();
    let (status, body) = ask(&router_of(&fake), Method::GET, "/destinations").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_snapshot!(body["text"].as_str().unwrap(), @"error: there is no federation; give the config a `signing_key_path`, and start the server again");
    fake.destinations = Some(Vec::new());
    let (status, list) = ask(&router_of(&fake), Method::GET, "/destinations").await;
    assert_eq!((status, list), (StatusCode::OK, json!({"destinations": []})));
    fake.destinations = Some(vec![DestinationStatus {
        destination: "other.test".to_owned(),
        state: DestinationState::BackingOff,
        waiting: 3,
        succeeded_ts: None,
        failed_ts: Some(5),
        failures: 2,
        retry_ts: Some(9),
    }]);
    let (status, list) = ask(&router_of(&fake), Method::GET, "/destinations").await;
    assert_eq!(status, StatusCode::OK);
    assert_snapshot!(list, @r#"{"destinations":[{"destination":"other.test","failed_ts":5,"failures":2,"retry_ts":9,"state":"backing_off","succeeded_ts":null,"waiting":3}]}"#);
}

#[tokio::test]
async fn a_client_that_goes_does_not_stop_an_operation() {
    let fake = Fake::waiting();
    let (router, tasks) = {
        let tasks = TaskTracker::new();
        (routes(fake.clone(), tasks.clone()), tasks)
    };
    tokio::select! {
        _ = ask(&router, Method::POST, "/modules/served/rollback") => panic!("it cannot have ended"),
        () = fake.begun.notified() => {}
    }
    fake.ends.add_permits(1);
    let ended = timeout(Duration::from_secs(30), fake.done.notified()).await;
    ended.expect("it goes on");
    // Who stops the server waits for it.
    tasks.close();
    tasks.wait().await;
}

#[tokio::test]
async fn operations_that_wait_are_bounded_in_number() {
    let fake = Fake::waiting();
    let router = router_of(&fake);
    let all = (0..MAX_AT_ONCE + 2).map(async |_| {
        let (status, _) = ask(&router, Method::POST, "/modules/served/rollback").await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // The last one is refused while all others wait.
            fake.ends.add_permits(MAX_AT_ONCE);
        }
        status
    });
    let answered = join_all(all).await;
    let refused = answered
        .iter()
        .filter(|status| **status != StatusCode::OK)
        .count();
    assert_eq!(refused, 2, "{answered:?}");
}

#[tokio::test]
async fn a_foreign_user_is_told_why_they_are_refused() {
    let (status, body) = ask(&refusal(), Method::GET, "/modules").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_snapshot!(body["text"].as_str().unwrap(), @"error: only the server's own user and root may use the admin socket");
}

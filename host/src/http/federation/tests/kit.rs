//! A server with one user, another homeserver that signs by `ruma-signatures`, and its requests.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use presence_router_api::UserId;
use ruma_common::{OwnedServerName, ServerName};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::config::Resource;
use crate::directory::StaticSource;
use crate::engine::{Engine, Setup};
use crate::federation::signing::Signer;
use crate::federation::{KeyFetcher, KeyRing, Seen};
use crate::http::federation::{Federation, OurKeys};
use crate::http::{Front, Services, router};
use crate::metrics::Exposition;
use crate::storage::{Location, Storage};

pub(super) const HERE: &str = "example.org";
pub(super) const OTHER: &str = "other.test";
pub(super) const SEND: &str = "/_matrix/federation/v1/send/";
const HOUR: u64 = 60 * 60 * 1_000;

/// This server's identity, and the keys of all others.
pub(super) struct Keys {
    name: OwnedServerName,
    others: HashMap<String, Value>,
    pub(super) asked: AtomicUsize,
}

impl OurKeys for Keys {
    fn server_name(&self) -> &ServerName {
        &self.name
    }

    fn key_response(&self, now_ms: u64) -> Value {
        ours().key_response(now_ms + HOUR)
    }
}

impl KeyFetcher for Keys {
    fn fetch<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let keys = self.others.get(server.as_str()).cloned();
        Box::pin(async move { keys.ok_or_else(|| "10.0.0.1 refused the connection".to_owned()) })
    }
}

pub(super) fn ours() -> Signer {
    Signer::new(HERE, "ours", 9)
}

/// A server on which Alice shares a room with Olga of another one.
pub(super) struct Server {
    pub(super) router: Front,
    /// That of another listener.
    pub(super) other_listener: Front,
    pub(super) keys: Arc<Keys>,
}

pub(super) fn other() -> Signer {
    Signer::new(OTHER, "a", 1)
}

impl Server {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(set: impl FnOnce(&mut Federation)) -> Self {
        let valid_until = SystemClock.now_ms() + HOUR;
        let keys = Arc::new(Keys {
            name: OwnedServerName::try_from(HERE).expect("valid"),
            // Our own would be found, if anybody looked.
            others: [(OTHER, other()), (HERE, ours())]
                .map(|(name, signer)| (name.to_owned(), signer.key_response(valid_until)))
                .into(),
            asked: AtomicUsize::new(0),
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut federation = Federation {
            clock: Arc::clone(&clock),
            ours: Arc::<Keys>::clone(&keys),
            keys: KeyRing::new(clock, Arc::<Keys>::clone(&keys)),
            allowed: None,
            sender: None,
            seen: Seen::new(),
        };
        set(&mut federation);
        let services = Services {
            engine: engine(),
            metrics: Exposition::for_test().1,
            federation: Some(federation),
        };
        let resources = BTreeSet::from([Resource::Client, Resource::Federation]);
        let listener = || router(&services, &resources, &CancellationToken::new());
        Self {
            router: listener(),
            other_listener: listener(),
            keys,
        }
    }

    pub(super) async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        read(
            self.router
                .clone()
                .oneshot(request)
                .await
                .expect("a router cannot fail"),
        )
        .await
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let request = Request::builder().uri(path).header(AUTHORIZATION, "Bearer alice");
        self.ask(request.body(Body::empty()).expect("valid")).await
    }

    /// Sends a transaction as `OTHER` does.
    pub(super) async fn send(&self, id: &str, content: &Value) -> (StatusCode, Value) {
        let uri = format!("{SEND}{id}");
        let header = other().header("PUT", &uri, HERE, Some(content));
        self.ask(put(&uri, &[&header], content.to_string())).await
    }

    pub(super) async fn olga(&self) -> String {
        let (_, answer) = self
            .get("/_matrix/client/v3/presence/@olga:other.test/status")
            .await;
        let message = answer["status_msg"].as_str().unwrap_or("-");
        format!("{} {message}", answer["presence"].as_str().expect("a presence"))
    }
}

pub(super) async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("short");
    (status, serde_json::from_slice(&body).expect("JSON"))
}

pub(super) fn put(uri: &str, headers: &[&str], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method("PUT").uri(uri);
    for header in headers {
        request = request.header(AUTHORIZATION, *header);
    }
    request.body(body.into()).expect("valid")
}

fn engine() -> Engine {
    let id = |id: &str| UserId::parse(id).expect("valid");
    let alice = config::StaticUser {
        access_tokens: vec!["alice".to_owned()],
    };
    let members = [id("@alice:example.org"), id("@olga:other.test")].into();
    let directory = config::Directory {
        users: [(id("@alice:example.org"), alice)].into(),
        rooms: [("!room:example.org".to_owned(), members)].into(),
        ..config::Directory::default()
    };
    Engine::start(Setup {
        clock: Arc::new(SystemClock),
        server_name: HERE.to_owned(),
        source: Arc::new(StaticSource::new(&directory)),
        presence: config::Presence::default(),
        excluded_rooms: Vec::new(),
        storage: Storage::open(&Location::Memory).expect("opens"),
        rc_presence: None,
        // Where time stands still, nothing is to wait for it.
        route_pace: std::time::Duration::ZERO,
    })
}

pub(super) fn olga_is(presence: &str, message: &str) -> Value {
    let entry = json!({"user_id": "@olga:other.test", "presence": presence, "status_msg": message});
    let foreign = json!({"user_id": "@alice:example.org", "presence": "busy", "status_msg": "forged"});
    let push = json!({"push": [foreign, entry, {"user_id": 5}]});
    json!({"origin": OTHER, "origin_server_ts": 1, "pdus": [], "edus": [{"edu_type": "m.presence", "content": push}]})
}

pub(super) fn check(case: &str, (status, body): &(StatusCode, Value), expected: &str) {
    let errcode = body["errcode"].as_str().unwrap_or_default();
    let got = format!("{} {errcode}", status.as_u16());
    assert_eq!(got.trim_end(), expected, "{case}: {body}");
    assert_ne!(*status, StatusCode::INTERNAL_SERVER_ERROR, "{case}");
    assert!(!body.to_string().contains("10.0.0.1"), "{case}: {body}");
}

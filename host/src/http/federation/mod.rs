//! The server-server API: what other homeservers send, and what they ask of this one.
//!
//! Owns the paths and the order of the checks. Must not know how keys are fetched, nor what becomes of presence.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::{get, put};
use ruma_common::{OwnedServerName, ServerName};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::federation::{KeyRing, Seen, Sender};
use crate::http::routes::Routes;
use crate::metrics::ReceivedMetrics;

mod send;
#[cfg(test)]
mod tests;

/// How many bodies of more than [`send::SMALL_BODY_BYTES`] are in memory at a time.
const LARGE_BODIES: usize = 8;
/// How many of them are read as JSON at a time.
const READERS: usize = 2;

/// Who this server is to others.
pub trait OurKeys: Send + Sync + 'static {
    /// The name.
    fn server_name(&self) -> &ServerName;
    /// The answer to `GET /_matrix/key/v2/server`, signed, at this time in milliseconds since the Unix epoch.
    fn key_response(&self, now_ms: u64) -> Value;
}

/// What is needed to speak to other homeservers. Clones are the same.
#[derive(Clone)]
pub struct Federation {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who this server is.
    pub ours: Arc<dyn OurKeys>,
    /// The keys of the others.
    pub keys: KeyRing,
    /// `federation_domain_whitelist`: who may send, if not everybody may.
    pub allowed: Option<Arc<BTreeSet<OwnedServerName>>>,
    /// What sends to the others, and is told who has spoken: they are there. Nothing where nothing is sent.
    pub sender: Option<Sender>,
    /// What was taken already, by whichever listener.
    pub seen: Seen,
}

/// What the handlers work with.
#[derive(Clone)]
struct FederationApi {
    federation: Federation,
    engine: Engine,
    large_bodies: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    metrics: ReceivedMetrics,
}

/// The routes. As in Synapse, a transaction's and a key's path may end with a slash.
pub(super) fn routes(engine: Engine, federation: &Federation) -> Routes {
    let api = FederationApi {
        federation: federation.clone(),
        engine,
        large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
        readers: Arc::new(Semaphore::new(READERS)),
        metrics: ReceivedMetrics::new(),
    };
    Routes::new()
        .route("/_matrix/federation/v1/send/{transaction_id}", put(send::put))
        .route("/_matrix/federation/v1/send/{transaction_id}/", put(send::put))
        .route("/_matrix/federation/v1/version", get(version))
        .route("/_matrix/key/v2/server", get(keys))
        .route("/_matrix/key/v2/server/", get(keys))
        // Which key is asked for makes no difference: the answer has all.
        .route("/_matrix/key/v2/server/{key_id}", get(keys))
        .with_state(api)
}

async fn version() -> Json<Value> {
    Json(json!({"server": {"name": "presence-router", "version": env!("CARGO_PKG_VERSION")}}))
}

async fn keys(State(api): State<FederationApi>) -> Json<Value> {
    let federation = &api.federation;
    Json(federation.ours.key_response(federation.clock.now_ms()))
}

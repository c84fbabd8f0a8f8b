//! The keys of other homeservers: asked for when they are needed, kept while they are valid.
//!
//! Owns when a server is asked, and what is believed of its answer. Knows nothing of how it is found and asked.
//!
//! Bounds: one fetch at a time a server, 32 in all; 4,096 servers whose keys are kept, and apart from them 4,096 of which
//! none came, so that made-up names push nobody's keys out.

mod answer;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ruma_common::{OwnedServerName, ServerName};
use ruma_signatures::SigningKeyAlgorithm;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, Semaphore};
use tokio::time::{Instant, timeout};

use crate::clock::Clock;
use crate::federation::recent::Recent;
use crate::metrics::{KeyFetch, ReceivedMetrics};

/// How many servers' keys are kept.
const MOST_KNOWN: usize = 4_096;
/// How many other servers it is remembered of when to ask them again.
const MOST_STRANGERS: usize = 4_096;
/// How many servers are asked at a time.
const FETCHES: usize = 32;
/// How long a server may take to be found and to answer.
const FETCH_DEADLINE: Duration = Duration::from_secs(20);
/// How long a fetch waits for its turn among those of other servers.
const TURN_DEADLINE: Duration = Duration::from_secs(5);
/// How long after a fetch a server is not asked again.
const PAUSE: Duration = Duration::from_mins(1);
/// How long a server is left alone that keeps failing.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Asks a homeserver for its keys: `GET /_matrix/key/v2/server`.
pub trait KeyFetcher: Send + Sync + 'static {
    /// What `server` answers, or why it does not. The text is for the log.
    fn fetch<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> Pin<Box<dyn Future<Output = Result<serde_json::Value, String>> + Send + 'a>>;
}

/// A key of a server. It is valid when it is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyKey {
    /// Its id, such as `ed25519:a_Kiew`.
    pub id: Box<str>,
    /// The public key.
    pub bytes: [u8; 32],
}

impl VerifyKey {
    /// All keys that are kept are of this one.
    pub(super) const ALGORITHM: SigningKeyAlgorithm = SigningKeyAlgorithm::Ed25519;
}

/// Why there is no key. It does not say what went wrong on the way to the server: who reads it may be anybody.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum NoKey {
    /// The server does not have these keys, by what it said last.
    #[error("the server does not have the key")]
    Unknown,
    /// The server could not be asked, or did not answer with valid keys.
    #[error("the keys of the server could not be fetched")]
    NotFetched,
    /// Too many other servers are being asked.
    #[error("too many keys are being fetched")]
    Busy,
}

/// The keys of other homeservers. Clones are the same.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    fetcher: Arc<dyn KeyFetcher>,
    servers: Mutex<Servers>,
    fetches: Semaphore,
    metrics: ReceivedMetrics,
}

struct Servers {
    known: Recent<OwnedServerName, Arc<Server>>,
    strangers: Recent<OwnedServerName, Arc<Server>>,
}

#[derive(Default)]
struct Server {
    /// Whoever holds it may ask the server.
    turn: Arc<Turn<()>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Arc<[VerifyKey]>,
    /// Until when the keys are valid, in milliseconds since the Unix epoch.
    valid_until: u64,
    /// Before this, the server is not asked.
    next_fetch: Option<Instant>,
    failures: u32,
}

impl KeyRing {
    /// Nobody's keys are known yet.
    pub fn new(clock: Arc<dyn Clock>, fetcher: Arc<dyn KeyFetcher>) -> Self {
        Self(Arc::new(Inner {
            clock,
            fetcher,
            servers: Mutex::new(Servers {
                known: Recent::new(MOST_KNOWN),
                strangers: Recent::new(MOST_STRANGERS),
            }),
            fetches: Semaphore::new(FETCHES),
            metrics: ReceivedMetrics::new(),
        }))
    }

    /// The valid keys of `server`, at least one of `key_ids` among them. The server is asked when none of these is known,
    /// once for all who want to know, and not again for a minute: longer, up to an hour, when it fails again and again.
    ///
    /// # Errors
    /// See [`NoKey`].
    pub async fn keys(&self, server: &ServerName, key_ids: &[&str]) -> Result<Arc<[VerifyKey]>, NoKey> {
        let inner = &self.0;
        let entry = inner.entry(server);
        if let Some(keys) = inner.usable(&entry, key_ids) {
            return Ok(keys);
        }
        // Each turn ends by its deadlines, and those who wait for theirs find the answer or a pause.
        let turn = Arc::clone(&entry.turn).lock_owned().await;
        if let Some(keys) = inner.usable(&entry, key_ids) {
            return Ok(keys);
        }
        if let Some(refused) = inner.too_soon(&entry) {
            return Err(refused);
        }
        // A task of its own: whoever asks, and goes, cannot have the server asked without an end to it.
        let fetch = Arc::clone(inner).fetch(server.to_owned(), Arc::clone(&entry), turn);
        tokio::spawn(fetch).await.map_err(|_| NoKey::NotFetched)??;
        inner.usable(&entry, key_ids).ok_or(NoKey::Unknown)
    }
}

impl Inner {
    fn entry(&self, server: &ServerName) -> Arc<Server> {
        let mut servers = self.servers.lock();
        if let Some(entry) = servers.known.get(server) {
            return Arc::clone(entry);
        }
        if let Some(entry) = servers.strangers.get(server) {
            return Arc::clone(entry);
        }
        let entry = Arc::<Server>::default();
        servers.strangers.insert(server.to_owned(), Arc::clone(&entry));
        entry
    }

    /// The keys of a server, when they are still valid and what is asked for is among them.
    fn usable(&self, entry: &Server, key_ids: &[&str]) -> Option<Arc<[VerifyKey]>> {
        let state = entry.state.lock();
        let valid = state.valid_until > self.clock.now_ms();
        let asked_for = |key: &VerifyKey| key_ids.contains(&&*key.id);
        (valid && state.keys.iter().any(asked_for)).then(|| Arc::clone(&state.keys))
    }

    /// What to answer, while the server is not to be asked again.
    fn too_soon(&self, entry: &Server) -> Option<NoKey> {
        let state = entry.state.lock();
        if state.next_fetch.is_none_or(|at| at <= Instant::now()) {
            return None;
        }
        let valid = state.valid_until > self.clock.now_ms();
        self.metrics.key_fetch(KeyFetch::TooSoon);
        Some(if valid { NoKey::Unknown } else { NoKey::NotFetched })
    }

    async fn fetch(
        self: Arc<Self>,
        server: OwnedServerName,
        entry: Arc<Server>,
        _turn: OwnedMutexGuard<()>,
    ) -> Result<(), NoKey> {
        let Ok(Ok(_permit)) = timeout(TURN_DEADLINE, self.fetches.acquire()).await else {
            // The server has done nothing wrong.
            self.metrics.key_fetch(KeyFetch::Busy);
            return Err(NoKey::Busy);
        };
        let fetched = timeout(FETCH_DEADLINE, self.fetcher.fetch(&server)).await;
        let now = self.clock.now_ms();
        let (counted, reason) = match fetched {
            Err(_) => (KeyFetch::Failed, "it did not answer by the deadline".to_owned()),
            Ok(Err(reason)) => (KeyFetch::Failed, reason),
            Ok(Ok(answer)) => match answer::read(&answer, &server, now) {
                Ok(answer) => {
                    entry.state.lock().succeeded(answer);
                    let mut servers = self.servers.lock();
                    servers.strangers.remove(&server);
                    servers.known.insert(server, entry);
                    self.metrics.key_fetch(KeyFetch::Ok);
                    return Ok(());
                }
                Err(error) => (KeyFetch::Refused, error.to_string()),
            },
        };
        self.metrics.key_fetch(counted);
        entry.state.lock().failed();
        // Anybody may have us ask anywhere, so this is no news to an operator.
        tracing::debug!(%server, reason, "the keys of a homeserver could not be fetched");
        Err(NoKey::NotFetched)
    }
}

impl State {
    fn succeeded(&mut self, answer: answer::Answer) {
        self.keys = answer.keys.into();
        self.valid_until = answer.valid_until;
        self.failures = 0;
        self.next_fetch = Some(Instant::now() + PAUSE);
    }

    /// What is known stays, while it is valid.
    fn failed(&mut self) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.next_fetch = Some(Instant::now() + pause);
    }
}

//! A homeserver that does as a test tells it: has a key, signs what it sends, keeps what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::client::{Answer, Request};
use crate::federation::authority::Authority;
use crate::federation::tls::{Received, Reply, TlsServer};
use crate::host::Host;

/// The id of its key.
const KEY_ID: &str = "ed25519:a_peer";
/// Further away than any test runs: the year 2100.
const VALID_UNTIL: u64 = 4_102_444_800_000;

/// What answers a request, where it is not to be answered as ever.
type Script = Box<dyn Fn(&Received) -> Option<Reply> + Send + Sync>;

/// A homeserver of the test.
pub struct Peer {
    server: TlsServer,
    shared: Arc<Shared>,
}

/// A transaction that it was sent.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Its id.
    pub id: String,
    /// When it came.
    pub came: Instant,
    /// Its body.
    pub body: Value,
}

struct Shared {
    key: Ed25519KeyPair,
    script: Mutex<Option<Script>>,
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    transactions: Vec<Transaction>,
    /// How often each path was asked for that is no transaction.
    asked: BTreeMap<String, usize>,
}

impl Peer {
    /// One that takes every transaction.
    pub fn start(authority: &Authority) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key can be made");
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pair.serialize_der());
        let shared = Arc::new(Shared {
            key: key.expect("it is a key"),
            script: Mutex::default(),
            seen: Mutex::default(),
            changed: Condvar::new(),
        });
        // Its name is not known before it listens.
        let name: Arc<Mutex<String>> = Arc::default();
        let (answers, named) = (Arc::clone(&shared), Arc::clone(&name));
        let server = TlsServer::start(authority, move |request| {
            let name = lock(&named).clone();
            answers.answer(&request, &name)
        });
        *lock(&name) = server.address.to_string();
        Self { server, shared }
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.server.address.to_string()
    }

    /// The id of a user of it.
    pub fn id(&self, name: &str) -> String {
        format!("@{name}:{}", self.name())
    }

    /// From now on, requests are answered so, where it says how.
    pub fn answers(&self, script: impl Fn(&Received) -> Option<Reply> + Send + Sync + 'static) {
        *lock(&self.shared.script) = Some(Box::new(script));
    }

    /// From now on, transactions are answered so, and their content is not taken.
    pub fn refuses(&self, reply: Reply) {
        self.answers(move |request| is_transaction(request).then(|| reply.clone()));
    }

    /// From now on, it is a homeserver like any other.
    pub fn behaves(&self) {
        *lock(&self.shared.script) = None;
    }

    /// All transactions so far, also those that were not taken.
    pub fn transactions(&self) -> Vec<Transaction> {
        lock(&self.shared.seen).transactions.clone()
    }

    /// How often a path was asked for.
    pub fn times_asked(&self, path: &str) -> usize {
        lock(&self.shared.seen).asked.get(path).copied().unwrap_or(0)
    }

    /// Waits for what its transactions are to show. Panics at the deadline with what they showed.
    #[track_caller]
    pub fn wait_until<T>(&self, within: Duration, look: impl Fn(&[Transaction]) -> Option<T>) -> T {
        let deadline = Instant::now() + within;
        let mut seen = lock(&self.shared.seen);
        loop {
            if let Some(found) = look(&seen.transactions) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} saw only {:#?}",
                self.name(),
                seen.transactions
            );
            let waited = self.shared.changed.wait_timeout(seen, left);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until it was told that a user says something, by a transaction beyond the first `after`; answers the entry.
    #[track_caller]
    pub fn wait_for_says(&self, user: &str, status_msg: &str, within: Duration) -> Value {
        self.wait_until(within, |transactions| {
            let entries = transactions.iter().flat_map(Transaction::entries);
            let mut wanted =
                entries.filter(|entry| entry["user_id"] == user && entry["status_msg"] == status_msg);
            wanted.next()
        })
    }

    /// Its signature of any object.
    fn signature(&self, object: &Value) -> String {
        sign(&self.shared.key, object)
    }

    /// The header of a request as it signs it.
    pub fn header(&self, uri: &str, destination: &str, content: &Value) -> String {
        let name = self.name();
        let signature = self.signature(&json!({
            "method": "PUT",
            "uri": uri,
            "origin": name,
            "destination": destination,
            "content": content,
        }));
        format!(r#"X-Matrix origin="{name}",destination="{destination}",key="{KEY_ID}",sig="{signature}""#)
    }

    /// A transaction with these entries of presence.
    pub fn transaction(&self, push: &[Value]) -> Value {
        json!({
            "origin": self.name(),
            "origin_server_ts": 1,
            "pdus": [],
            "edus": [{"edu_type": "m.presence", "content": {"push": push}}],
        })
    }

    /// Sends a transaction to the host of this name, as any homeserver does.
    #[track_caller]
    pub fn send(&self, host: &Host, name: &str, id: &str, body: &Value) -> Answer {
        let uri = send_uri(id);
        let header = self.header(&uri, name, body);
        host.client().send(&put(&uri, &header, body.to_string()))
    }
}

impl Transaction {
    /// The entries of presence in it.
    pub fn entries(&self) -> Vec<Value> {
        let edus = self.body["edus"].as_array().into_iter().flatten();
        edus.flat_map(|edu| edu["content"]["push"].as_array().cloned().unwrap_or_default())
            .collect()
    }
}

impl Shared {
    fn answer(&self, request: &Received, name: &str) -> Reply {
        let script = lock(&self.script);
        let scripted = script.as_ref().and_then(|script| script(request));
        drop(script);
        let mut seen = lock(&self.seen);
        if is_transaction(request) {
            let id = request.path.rsplit('/').next().unwrap_or_default();
            seen.transactions.push(Transaction {
                id: id.to_owned(),
                came: Instant::now(),
                body: serde_json::from_slice(&request.body).unwrap_or_default(),
            });
        } else {
            *seen.asked.entry(request.path.clone()).or_default() += 1;
        }
        drop(seen);
        self.changed.notify_all();
        if let Some(reply) = scripted {
            return reply;
        }
        if request.path.starts_with("/_matrix/key/v2/server") {
            let mut keys = json!({
                "server_name": name,
                "valid_until_ts": VALID_UNTIL,
                "verify_keys": {KEY_ID: {"key": STANDARD_NO_PAD.encode(self.key.public_key())}},
                "old_verify_keys": {},
            });
            let signature = sign(&self.key, &keys);
            keys["signatures"] = json!({name: {KEY_ID: signature}});
            return Reply::Answer(200, keys.to_string());
        }
        Reply::Answer(200, r#"{"pdus":{}}"#.to_owned())
    }
}

/// Where a transaction is sent.
pub fn send_uri(id: &str) -> String {
    format!("/_matrix/federation/v1/send/{id}")
}

/// A request with a body, and this header.
pub fn put(uri: &str, header: &str, body: impl Into<Vec<u8>>) -> Request {
    let request = Request::new("PUT", uri).header("Authorization", header);
    request.header("Content-Type", "application/json").body(body)
}

/// Objects of `serde_json` are sorted, and the tests have no numbers but small integers: as text they are canonical.
fn sign(key: &Ed25519KeyPair, object: &Value) -> String {
    STANDARD_NO_PAD.encode(key.sign(object.to_string().as_bytes()))
}

fn is_transaction(request: &Received) -> bool {
    request.path.starts_with("/_matrix/federation/v1/send/")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

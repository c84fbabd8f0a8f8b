//! A host of ours between a homeserver that misbehaves and one that does not.

use presence_router_tests::federation::{Authority, Gate, Peer, put, send_uri};
use presence_router_tests::{Host, User};
use serde_json::{Value, json};

/// alice shares rooms with users of a bad homeserver and of a good one.
pub(super) struct Stage {
    pub(super) gate: Gate,
    pub(super) host: Host,
    pub(super) bad: Peer,
    pub(super) good: Peer,
}

impl Stage {
    pub(super) fn new() -> Self {
        let authority = Authority::new();
        let gate = Gate::open(&authority);
        let (bad, good) = (Peer::start(&authority), Peer::start(&authority));
        let members = json!([gate.id("alice"), bad.id("mallory"), good.id("grace")]);
        let config = gate
            .config(&["alice"])
            .set(&["directory", "static", "rooms", "!all:example.org"], members);
        let host = Host::start(&config);
        gate.lead_to(&host);
        Self {
            gate,
            host,
            bad,
            good,
        }
    }

    pub(super) fn alice(&self) -> User {
        self.host.user("alice").at(&self.gate.name())
    }

    pub(super) fn mallory(&self, status_msg: &str) -> Value {
        online(&self.bad.id("mallory"), status_msg)
    }

    /// Puts a transaction with these headers and this body; answers the status and the code.
    pub(super) fn put(&self, id: &str, header: &str, body: impl Into<Vec<u8>>) -> (u16, String) {
        let answer = self.host.client().send(&put(&send_uri(id), header, body));
        (answer.status, answer.errcode())
    }

    /// The bad one's header for this host.
    pub(super) fn header(&self, id: &str, body: &Value) -> String {
        self.bad.header(&send_uri(id), &self.gate.name(), body)
    }

    /// The good one says something, and it is seen.
    #[track_caller]
    pub(super) fn good_is_heard(&self, status_msg: &str) {
        let alice = self.alice();
        let since = alice.now();
        let body = self
            .good
            .transaction(&[online(&self.good.id("grace"), status_msg)]);
        let answer = self.good.send(&self.host, &self.gate.name(), status_msg, &body);
        assert_eq!(answer.expect(200), json!({"pdus": {}}));
        alice.sync_until_says(&since, &self.good.id("grace"), status_msg);
    }

    /// What is known of the bad one's user.
    pub(super) fn known_of_mallory(&self) -> Value {
        self.alice().presence_of(&self.bad.id("mallory")).expect(200)
    }
}

pub(super) fn online(user: &str, status_msg: &str) -> Value {
    json!({"user_id": user, "presence": "online", "status_msg": status_msg, "last_active_ago": 5})
}

//! A user with a client: sets their presence, looks at others', syncs.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Answer, Client, Request};
use crate::sync::{PresenceEvent, SyncAnswer, SyncRequest};
use crate::{PATIENCE, id_of, token_of};

/// A user's client.
#[derive(Debug, Clone)]
pub struct User {
    client: Client,
    id: String,
    token: String,
}

impl User {
    /// A user of any homeserver, by their whole id and an access token.
    pub fn of(client: Client, id: &str, token: &str) -> Self {
        Self {
            client,
            id: id.to_owned(),
            token: token.to_owned(),
        }
    }

    /// The same user, whose server listens elsewhere by now.
    #[must_use]
    pub fn moved_to(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self {
            client,
            id: id_of(name),
            token: token_of(name),
        }
    }

    /// The same user with another access token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// The user of the same name at another homeserver, with the same access token.
    #[must_use]
    pub fn at(mut self, server: &str) -> Self {
        let name = self.id.split(':').next().unwrap_or_default();
        self.id = format!("{name}:{server}");
        self
    }

    /// The user's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends any request as this user.
    #[track_caller]
    pub fn send(&self, request: Request) -> Answer {
        self.client.send(&request.token(&self.token))
    }

    /// Sets the user's presence. Panics unless the server takes it.
    #[track_caller]
    pub fn set(&self, state: &str, status_msg: Option<&str>) {
        let mut body = json!({"presence": state});
        if let Some(status_msg) = status_msg {
            body["status_msg"] = json!(status_msg);
        }
        let answer = self.put(body.to_string());
        assert_eq!(answer.expect(200), json!({}));
    }

    /// Puts any body where the user's presence is set.
    #[track_caller]
    pub fn put(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.send(Request::new("PUT", status_path(&self.id)).body(body))
    }

    /// Sets the user's presence, where the server may be gone before it answers: whether it has taken it.
    pub fn try_set(&self, state: &str, status_msg: &str) -> bool {
        let body = json!({"presence": state, "status_msg": status_msg});
        let request = Request::new("PUT", status_path(&self.id)).body(body.to_string());
        let answer = self.client.try_send(&request.token(&self.token));
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Asks for somebody's presence.
    #[track_caller]
    pub fn presence_of(&self, user: &str) -> Answer {
        self.send(Request::new("GET", status_path(user)))
    }

    /// Syncs. Panics unless the server answers 200.
    #[track_caller]
    pub fn sync(&self, request: &SyncRequest) -> SyncAnswer {
        SyncAnswer::read(&self.send(request.to_request()).expect(200))
    }

    /// Where an incremental sync from now on begins.
    #[track_caller]
    pub fn now(&self) -> String {
        self.sync(&SyncRequest::initial()).next_batch
    }

    /// Syncs on, waiting each time, until an event comes that `wanted` takes. Panics when none comes in time.
    #[track_caller]
    pub fn sync_until(&self, since: &str, wanted: impl Fn(&PresenceEvent) -> bool) -> PresenceEvent {
        let deadline = Instant::now() + PATIENCE;
        let mut since = since.to_owned();
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} waited in vain; they saw {seen:#?}", self.id);
            let answer = self.sync(&SyncRequest::since(&since).wait(left.min(Duration::from_secs(5))));
            since = answer.next_batch;
            if let Some(event) = answer.presence.iter().find(|event| wanted(event)) {
                return event.clone();
            }
            seen.extend(answer.presence);
        }
    }

    /// [`sync_until`](Self::sync_until) `user` is in `state`.
    #[track_caller]
    pub fn sync_until_state(&self, since: &str, user: &str, state: &str) -> PresenceEvent {
        self.sync_until(since, |event| event.sender == user && event.presence == state)
    }

    /// [`sync_until`](Self::sync_until) `user` says `status_msg`.
    #[track_caller]
    pub fn sync_until_says(&self, since: &str, user: &str, status_msg: &str) -> PresenceEvent {
        self.sync_until(since, |event| {
            event.sender == user && event.status_msg.as_deref() == Some(status_msg)
        })
    }
}

/// Where a user's presence is set and asked for.
pub fn status_path(user: &str) -> String {
    format!(
        "/_matrix/client/v3/presence/{}/status",
        crate::client::percent_encode(user)
    )
}

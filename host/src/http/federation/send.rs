//! `PUT /send/{txnId}`: a transaction of another homeserver.
//!
//! The order of the checks is Synapse's: whether the body is JSON, who says to have sent it, whether they have, and only then
//! what it says. All is bounded before who has sent it is known.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use ruma_common::OwnedServerName;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::engine::{NotApplied, RemotePresence};
use crate::federation::{
    BadSignature, Begun, Malformed, NoKey, PresenceEntry, ScanError, SignedRequest, Transaction, VerifyKey,
    XMatrix, XMatrixError, scan,
};
use crate::http::body;
use crate::http::error::MatrixError;
use crate::http::federation::FederationApi;
use crate::metrics::{Entry, Received};

/// The longest body: 50 PDUs and 100 EDUs, each of the 64 KiB that a PDU may have.
pub(super) const MAX_BODY_BYTES: usize = 150 * 64 * 1024;
/// Up to this, a body is read without waiting for room. Most presence is shorter.
pub(super) const SMALL_BODY_BYTES: usize = 64 * 1024;
/// How long a large body waits for room.
const ROOM_DEADLINE: Duration = Duration::from_secs(5);
/// What a sender is told for whom there is no room.
const BUSY: MatrixError = MatrixError::LimitExceeded {
    retry_after: Duration::from_secs(1),
};

pub(super) async fn put(
    State(api): State<FederationApi>,
    transaction_id: Result<Path<String>, PathRejection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, MatrixError> {
    let Ok(Path(transaction_id)) = transaction_id else {
        let text = "the id of the transaction is not UTF-8".to_owned();
        return Err(MatrixError::InvalidParam(text));
    };
    let answer = receive(&api, &transaction_id, (method, uri), &headers, body).await;
    let outcome = match &answer {
        Ok((outcome, _)) => *outcome,
        Err(
            MatrixError::Unauthorized(_) | MatrixError::MalformedAuthorization(_) | MatrixError::Forbidden(_),
        ) => Received::Unauthorized,
        Err(MatrixError::LimitExceeded { .. }) => Received::Busy,
        Err(_) => Received::Refused,
    };
    api.metrics.transaction(outcome);
    answer.map(|(_, answer)| Json(answer))
}

async fn receive(
    api: &FederationApi,
    transaction_id: &str,
    (method, uri): (Method, Uri),
    headers: &HeaderMap,
    body: Body,
) -> Result<(Received, Value), MatrixError> {
    // Held until the body is gone.
    let room = room_for(api, body.size_hint().upper()).await?;
    let bytes = body::read(headers, body, MAX_BODY_BYTES).await?;
    scan(&bytes)?;
    let claim = claim(api, headers)?;
    let key_ids: Vec<&str> = claim.key_ids().collect();
    let keys = api.federation.keys.keys(&claim.origin, &key_ids).await?;
    let request = Request {
        method,
        uri,
        destination: api.federation.ours.server_name().to_owned(),
        claim,
        keys,
    };
    let (origin, transaction) = match room {
        None => request.read(&bytes)?,
        Some(room) => {
            // Read, a body takes a multiple of its length, and a moment. What bounds both goes with it, as the sender may go.
            let reader = Arc::clone(&api.readers).acquire_owned().await.map_err(|_| BUSY)?;
            let read = move || {
                let transaction = request.read(&bytes);
                drop((bytes, room, reader));
                transaction
            };
            spawn_blocking(read).await.map_err(|_| MatrixError::Internal)??
        }
    };
    if let Some(sender) = &api.federation.sender {
        sender.heard_from(origin.as_str());
    }
    let answer = transaction.answer();
    let in_flight = match api.federation.seen.begin(&origin, transaction_id).await {
        Begun::New(in_flight) => in_flight,
        Begun::Taken => return Ok((Received::Repeated, answer)),
        Begun::Busy => return Err(BUSY),
    };
    let counts = transaction.counts;
    let updates: Vec<_> = transaction.presence.into_iter().map(update).collect();
    let taken = updates.len();
    match api.engine.receive_presence(updates).await {
        // That it is not stored yet is for our operator to know, and in the log. The sender has done its part.
        Ok(()) | Err(NotApplied::NotStored(_)) => in_flight.taken(),
        Err(error) => return Err(error.into()),
    }
    api.metrics.entries(Entry::Taken, taken);
    api.metrics.entries(Entry::Foreign, counts.foreign);
    api.metrics.entries(Entry::Unreadable, counts.unreadable);
    Ok((Received::Ok, answer))
}

/// A place among the large bodies, for one that may become large: whose length is not given, or is.
async fn room_for(
    api: &FederationApi,
    longest: Option<u64>,
) -> Result<Option<OwnedSemaphorePermit>, MatrixError> {
    if longest.is_some_and(|longest| longest <= SMALL_BODY_BYTES as u64) {
        return Ok(None);
    }
    match timeout(ROOM_DEADLINE, Arc::clone(&api.large_bodies).acquire_owned()).await {
        Ok(Ok(room)) => Ok(Some(room)),
        Ok(Err(_)) | Err(_) => Err(BUSY),
    }
}

/// Who says to have sent it; checked as far as it can be without their keys.
fn claim(api: &FederationApi, headers: &HeaderMap) -> Result<XMatrix, MatrixError> {
    let values = headers.get_all(AUTHORIZATION).iter();
    let claim = XMatrix::parse(values.map(HeaderValue::as_bytes))?;
    let ours = api.federation.ours.server_name();
    if let Some(destination) = claim.destination.as_deref()
        && destination != ours.as_str()
    {
        return Err(MatrixError::Unauthorized(format!(
            "destination mismatch in the Authorization header, received: {destination:?}"
        )));
    }
    if claim.origin == ours {
        return Err(MatrixError::Unauthorized(
            "this server does not send to itself".to_owned(),
        ));
    }
    let allowed = api.federation.allowed.as_deref();
    if allowed.is_some_and(|allowed| !allowed.contains(&claim.origin)) {
        return Err(MatrixError::Forbidden(
            "federation with your homeserver is denied; see federation_domain_whitelist",
        ));
    }
    Ok(claim)
}

/// What a signature is checked over and by.
struct Request {
    method: Method,
    uri: Uri,
    destination: OwnedServerName,
    claim: XMatrix,
    keys: Arc<[VerifyKey]>,
}

impl Request {
    /// Reads the body, and checks that the origin has signed it.
    fn read(self, bytes: &[u8]) -> Result<(OwnedServerName, Transaction), MatrixError> {
        let content: Map<String, Value> = serde_json::from_slice(bytes).map_err(not_json)?;
        let signed = SignedRequest {
            method: self.method.as_str(),
            uri: self.uri.path_and_query().map_or("", |sent| sent.as_str()),
            destination: &self.destination,
            content: Some(&content),
        };
        self.claim.verify(&signed, &self.keys)?;
        let transaction = Transaction::read(&content, &self.claim.origin)?;
        Ok((self.claim.origin, transaction))
    }
}

fn update(entry: PresenceEntry) -> RemotePresence {
    let PresenceEntry {
        user_id,
        presence,
        last_active_ago,
        status_msg,
        currently_active,
    } = entry;
    RemotePresence {
        user_id,
        state: presence,
        last_active_ago,
        status_msg,
        currently_active,
    }
}

fn not_json(source: serde_json::Error) -> MatrixError {
    MatrixError::NotJson {
        what: "the body",
        source,
    }
}

impl From<ScanError> for MatrixError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::NotJson(source) => not_json(source),
            ScanError::NotAnObject => Self::BadJson(error.to_string()),
            ScanError::TooManyValues => Self::TooMany(error.to_string()),
        }
    }
}

impl From<XMatrixError> for MatrixError {
    fn from(error: XMatrixError) -> Self {
        match error {
            XMatrixError::Missing => Self::Unauthorized(error.to_string()),
            XMatrixError::Malformed(_) => Self::MalformedAuthorization(error.to_string()),
        }
    }
}

impl From<BadSignature> for MatrixError {
    fn from(error: BadSignature) -> Self {
        Self::Unauthorized(error.to_string())
    }
}

impl From<NoKey> for MatrixError {
    fn from(error: NoKey) -> Self {
        match error {
            NoKey::Unknown | NoKey::NotFetched => Self::Unauthorized(format!(
                "failed to find any key to check the signature by: {error}"
            )),
            NoKey::Busy => BUSY,
        }
    }
}

impl From<Malformed> for MatrixError {
    fn from(error: Malformed) -> Self {
        match error {
            Malformed::TooMany { .. } | Malformed::NotAList(_) => Self::BadJson(error.to_string()),
            Malformed::OtherOrigin => Self::Unauthorized(error.to_string()),
        }
    }
}

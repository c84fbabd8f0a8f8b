//! `/sync`, the presence part of it: what the asking user may see and has not seen yet.
//!
//! Owns the parameters and the shape of the answer. What is in it, and how long to wait, is the engine's.

use std::num::IntErrorKind;
use std::pin::pin;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Then, ready};
use serde::{Serialize, Serializer};

use crate::delivery::{Events as PresenceEvents, PresenceFilter, SyncToken};
use crate::engine::{Session, SetPresence, SyncAnswer, SyncRequest};
use crate::http::client::ClientApi;
use crate::http::client::auth::Authenticated;
use crate::http::client::known_filters::Found;
use crate::http::client::query::{Parameters, Value};
use crate::http::error::MatrixError;
use crate::http::front;

/// The longest that a long-poll waits; a longer `timeout` is taken as this.
const MAX_TIMEOUT: Duration = Duration::from_mins(10);

/// `GET`. The wait ends when the client goes (the engine's future is dropped) and when the server stops.
///
/// Not a function, which axum would call from a future that has room for the whole request beside the handler's: it would be
/// held for as long as the long-poll waits. What asks is freed here before the wait begins.
#[derive(Clone, Copy)]
pub(super) struct Get;

impl Handler<(), ClientApi> for Get {
    type Future = Then<
        BoxFuture<'static, Result<Asked, MatrixError>>,
        BoxFuture<'static, Response>,
        fn(Result<Asked, MatrixError>) -> BoxFuture<'static, Response>,
    >;

    fn call(self, request: Request, api: ClientApi) -> Self::Future {
        let asked: BoxFuture<'static, _> = Box::pin(Asked::by(request, api));
        asked.then(answer)
    }
}

/// A sync whose sender is known and whose parameters are valid.
pub(super) struct Asked {
    api: ClientApi,
    session: Session,
    /// On the heap: it is moved twice, and each place would have its size.
    request: Box<SyncRequest>,
}

impl Asked {
    async fn by(request: Request, api: ClientApi) -> Result<Self, MatrixError> {
        let (mut head, _) = request.into_parts();
        let Authenticated(session) = Authenticated::from_request_parts(&mut head, &api).await?;
        let (mut request, filter) = {
            let parameters = Parameters::of(&head.uri);
            let request = parse(&parameters)?;
            let filter = parameters.get("filter");
            let find = |filter| api.0.filters.find(filter, &session);
            (request, filter.map(find).transpose()?)
        };
        // It lies in the buffer from which the request was read. When nothing does any more, the connection reads on in the same
        // buffer, and does not take another 8 kB for as long as the long-poll waits.
        drop(head);
        if let Some(found) = filter {
            request.filter = match found {
                Found::Known(filter) => filter,
                Found::Stored(id) => api.0.filters.look_up(id, &api.0.engine, &session).await?,
            };
        }
        Ok(Self {
            api,
            session,
            request: Box::new(request),
        })
    }
}

fn answer(asked: Result<Asked, MatrixError>) -> BoxFuture<'static, Response> {
    match asked {
        Ok(asked) => Box::pin(wait(asked).map(IntoResponse::into_response)),
        Err(error) => Box::pin(ready(error.into_response())),
    }
}

/// Not an `async fn`: what it is given would be in the future twice.
fn wait(asked: Asked) -> impl Future<Output = Result<SyncBody, MatrixError>> + Send {
    let Asked {
        api: ClientApi(api),
        session,
        request,
    } = asked;
    let since = request.since.clone();
    async move {
        // Pinned here: moved into the `select!`, it would be there twice.
        let mut answer = pin!(api.engine.sync(&session, *request));
        let answer = match since {
            // Only an incremental sync waits; the first one has its answer at once.
            None => answer.await?,
            Some(since) => tokio::select! {
                biased;
                answer = answer.as_mut() => answer?,
                () = api.shutdown.cancelled() => SyncAnswer { next_batch: since, events: PresenceEvents::default() },
            },
        };
        Ok(SyncBody::from(answer))
    }
}

/// All but the filter, which may have to be looked up.
fn parse(parameters: &Parameters<'_>) -> Result<SyncRequest, MatrixError> {
    let get = |name| parameters.get(name).map(Value::decoded);
    let timeout = get("timeout").map_or(Ok(Duration::ZERO), |timeout| parse_timeout(&timeout))?;
    let set_presence = match get("set_presence").as_deref() {
        None | Some("online") => SetPresence::Online,
        Some("unavailable") => SetPresence::Unavailable,
        Some("offline") => SetPresence::Offline,
        Some(_) => return Err(must_be("set_presence", "one of online, unavailable, offline")),
    };
    let full_state = match get("full_state").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(must_be("full_state", "true or false")),
    };
    let since = match get("since") {
        None => None,
        Some(since) => Some(
            since
                .parse()
                .ok()
                .ok_or_else(|| must_be("since", "a next_batch that this server gave you"))?,
        ),
    };
    Ok(SyncRequest {
        since,
        timeout,
        set_presence,
        full_state,
        filter: PresenceFilter::default(),
    })
}

/// Milliseconds, capped.
fn parse_timeout(timeout: &str) -> Result<Duration, MatrixError> {
    match timeout.parse::<u64>() {
        Ok(millis) => Ok(Duration::from_millis(millis).min(MAX_TIMEOUT)),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Ok(MAX_TIMEOUT),
        Err(_) => Err(must_be(
            "timeout",
            "an integer, the milliseconds to wait, and not negative",
        )),
    }
}

fn must_be(name: &str, what: &str) -> MatrixError {
    MatrixError::InvalidParam(format!("the query parameter {name} must be {what}"))
}

/// The answer. `presence` is left out when it is empty; the keys for encryption are always there, as some
/// clients take their absence for a loss of keys. `rooms` and the rest are optional, and none of ours.
#[derive(Serialize)]
pub(super) struct SyncBody {
    #[serde(serialize_with = "as_text")]
    next_batch: SyncToken,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<Events>,
    device_one_time_keys_count: KeyCounts,
    device_unused_fallback_key_types: [&'static str; 0],
}

#[derive(Serialize)]
struct Events {
    events: PresenceEvents,
}

#[derive(Serialize)]
struct KeyCounts {
    signed_curve25519: u32,
}

fn as_text<S: Serializer>(token: &SyncToken, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(token)
}

impl From<SyncAnswer> for SyncBody {
    fn from(answer: SyncAnswer) -> Self {
        Self {
            next_batch: answer.next_batch,
            presence: (!answer.events.is_empty()).then_some(Events {
                events: answer.events,
            }),
            device_one_time_keys_count: KeyCounts { signed_curve25519: 0 },
            device_unused_fallback_key_types: [],
        }
    }
}

/// As much as most answers without events have, in bytes.
const ANSWER_BYTES: usize = 256;
/// As much as most events have, in bytes.
const EVENT_BYTES: usize = 256;

impl IntoResponse for SyncBody {
    /// As JSON, in one piece of memory that need not grow.
    fn into_response(self) -> Response {
        let events = self.presence.as_ref().map_or(0, |presence| presence.events.len());
        let mut body = Vec::with_capacity(ANSWER_BYTES + events * EVENT_BYTES);
        match serde_json::to_writer(&mut body, &self) {
            Ok(()) => front::json(body),
            // Memory does not refuse to be written, nor is there a key that is no text.
            Err(_) => MatrixError::Internal.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;

    fn check(query: &'static str) -> Result<SyncRequest, MatrixError> {
        parse(&Parameters::of(&Uri::from_static(query)))
    }

    #[test]
    fn a_timeout_is_capped_and_never_negative() {
        for (query, expected) in [
            ("/sync", Some(Duration::ZERO)),
            ("/sync?timeout=30000", Some(Duration::from_secs(30))),
            ("/sync?timeout=600001", Some(MAX_TIMEOUT)),
            ("/sync?timeout=99999999999999999999999", Some(MAX_TIMEOUT)),
            ("/sync?timeout=-1", None),
            ("/sync?timeout=1.5", None),
            ("/sync?timeout=", None),
        ] {
            assert_eq!(
                check(query).ok().map(|request| request.timeout),
                expected,
                "{query}"
            );
        }
    }

    #[test]
    fn the_other_parameters_have_their_defaults() {
        let request = check("/sync").expect("valid");
        assert!(request.since.is_none() && !request.full_state);
        assert!(matches!(request.set_presence, SetPresence::Online));
        let request =
            check("/sync?set_presence=offline&full_state=true&since=s1_2_3&unknown=1").expect("valid");
        assert!(request.full_state);
        assert!(matches!(request.set_presence, SetPresence::Offline));
        assert_eq!(
            request.since.map(|since| since.to_string()).as_deref(),
            Some("s1_2_3")
        );
    }

    #[test]
    fn each_refusal_names_its_parameter() {
        for (query, name) in [
            ("/sync?set_presence=busy", "set_presence"),
            ("/sync?full_state=1", "full_state"),
            ("/sync?since=", "since"),
            ("/sync?since=garbage", "since"),
            ("/sync?timeout=abc", "timeout"),
        ] {
            let Err(MatrixError::InvalidParam(text)) = check(query) else {
                panic!("{query} is accepted, or refused with another code");
            };
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn an_answer_without_events_has_no_presence() {
        let body = SyncBody::from(SyncAnswer {
            next_batch: "s1_0_0".parse().expect("a token"),
            events: PresenceEvents::default(),
        });
        assert_eq!(
            serde_json::to_string(&body).expect("serializable"),
            r#"{"next_batch":"s1_0_0","device_one_time_keys_count":{"signed_curve25519":0},"device_unused_fallback_key_types":[]}"#
        );
    }
}

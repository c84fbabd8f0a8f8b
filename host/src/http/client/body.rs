//! A request's body as a JSON object: read within bounds of size and time, parsed as strictly as Synapse does.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::http::error::MatrixError;

/// The longest body that is parsed. Each update fans out to everyone who may see it.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// How much of a longer body is read and thrown away, so that its sender is there to read the refusal: a
/// connection closed on unread bytes is reset. What Synapse reads of a body at most, and a bit.
const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads `body` and parses it. Of a key given twice, the last counts; unknown keys are the caller's affair.
pub(super) async fn json_object(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, MatrixError> {
    let bytes = timeout(BODY_TIMEOUT, read(headers, body))
        .await
        .map_err(|_| MatrixError::BodyTimeout)??;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(MatrixError::BadJson("the body must be a JSON object".to_owned())),
        Err(source) => Err(MatrixError::NotJson {
            what: "the body",
            source,
        }),
    }
}

async fn read(headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, MatrixError> {
    const TOO_LARGE: MatrixError = MatrixError::TooLarge {
        what: "the body",
        limit: MAX_BODY_BYTES,
    };
    // A sender who asks first is refused before the body leaves them.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_BODY_BYTES && headers.contains_key(EXPECT) {
        return Err(TOO_LARGE);
    }
    let mut bytes = Vec::with_capacity(announced.min(MAX_BODY_BYTES));
    let mut received = 0_usize;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| MatrixError::BodyTimeout)?;
        let Ok(data) = frame.into_data() else { continue };
        received = received.saturating_add(data.len());
        if received <= MAX_BODY_BYTES {
            bytes.extend_from_slice(&data);
        } else if received > MAX_DISCARDED_BYTES {
            break;
        }
    }
    if received > MAX_BODY_BYTES {
        return Err(TOO_LARGE);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    async fn check(body: impl Into<Body>) -> Result<Map<String, Value>, MatrixError> {
        json_object(&HeaderMap::new(), body.into()).await
    }

    #[tokio::test]
    async fn the_limit_is_exact() {
        let of_length = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        assert!(check(of_length(MAX_BODY_BYTES)).await.is_ok());
        let refused = check(of_length(MAX_BODY_BYTES + 1)).await;
        assert!(
            matches!(refused, Err(MatrixError::TooLarge { .. })),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn an_announced_giant_is_refused_unread() {
        let headers = HeaderMap::from_iter([(EXPECT, HeaderValue::from_static("100-continue"))]);
        let refused = json_object(&headers, Body::from(vec![b' '; MAX_BODY_BYTES + 1])).await;
        assert!(
            matches!(refused, Err(MatrixError::TooLarge { .. })),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn the_last_of_a_key_counts() {
        let object = check(r#"{"a":1,"a":2}"#).await.expect("an object");
        assert_eq!(object["a"], 2);
    }
}

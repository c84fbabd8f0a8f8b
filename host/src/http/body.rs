//! The bytes of a request's body, read within bounds of size and time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use tokio::time::timeout;

use crate::http::error::MatrixError;

/// How much of a body that is too long is read and thrown away, so that its sender is there to read the refusal: a
/// connection closed on unread bytes is reset. What Synapse reads of a body at most, and a bit.
const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;

/// How much room is made for a body before any of it has come.
const FIRST_BYTES: usize = 64 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body of `max_bytes` at most.
pub(super) async fn read(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Vec<u8>, MatrixError> {
    timeout(BODY_TIMEOUT, read_on(headers, body, max_bytes))
        .await
        .map_err(|_| MatrixError::BodyTimeout)?
}

async fn read_on(headers: &HeaderMap, mut body: Body, max_bytes: usize) -> Result<Vec<u8>, MatrixError> {
    let too_large = MatrixError::TooLarge {
        what: "the body",
        limit: max_bytes,
    };
    // A sender who asks first is refused before the body leaves them.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max_bytes && headers.contains_key(EXPECT) {
        return Err(too_large);
    }
    // What is announced is not yet there, and may never come.
    let mut bytes = Vec::with_capacity(announced.min(max_bytes).min(FIRST_BYTES));
    let mut received = 0_usize;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| MatrixError::BodyTimeout)?;
        let Ok(data) = frame.into_data() else { continue };
        received = received.saturating_add(data.len());
        if received <= max_bytes {
            bytes.extend_from_slice(&data);
        } else if received > MAX_DISCARDED_BYTES {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if received > max_bytes {
        return Err(too_large);
    }
    Ok(bytes)
}

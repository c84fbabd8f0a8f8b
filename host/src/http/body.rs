//! The bytes of a request's body, read within bounds of size and time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
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
pub(super) async fn read(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Bytes, MatrixError> {
    let mut reading = pin!(read_on(headers, body, max_bytes));
    // Most bodies are there with their headers, and need no timer.
    if let Poll::Ready(read) = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
        return read;
    }
    timeout(BODY_TIMEOUT, reading)
        .await
        .map_err(|_| MatrixError::BodyTimeout)?
}

async fn read_on(headers: &HeaderMap, mut body: Body, max_bytes: usize) -> Result<Bytes, MatrixError> {
    let too_large = MatrixError::TooLarge {
        what: "the body",
        limit: max_bytes,
    };
    // A sender who asks first is refused before the body leaves them.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max_bytes && headers.contains_key(EXPECT) {
        return Err(too_large);
    }
    let mut bytes = Read::Piece(Bytes::new());
    let mut received = 0_usize;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| MatrixError::BodyTimeout)?;
        let Ok(data) = frame.into_data() else { continue };
        received = received.saturating_add(data.len());
        if received <= max_bytes {
            bytes.add(data, announced);
        } else if received > MAX_DISCARDED_BYTES {
            break;
        } else {
            bytes = Read::Piece(Bytes::new());
        }
    }
    if received > max_bytes {
        return Err(too_large);
    }
    Ok(bytes.into_bytes())
}

/// What has come.
enum Read {
    /// In one piece: it stays where the connection has read it to.
    Piece(Bytes),
    Pieces(Vec<u8>),
}

impl Read {
    /// Adds `data` to it, of as many bytes as are `announced` in all.
    fn add(&mut self, data: Bytes, announced: usize) {
        match self {
            Self::Piece(piece) if piece.is_empty() => *piece = data,
            Self::Piece(piece) => {
                // What is announced is not yet there, and may never come.
                let room = announced.min(FIRST_BYTES).max(piece.len() + data.len());
                let mut pieces = Vec::with_capacity(room);
                pieces.extend_from_slice(piece);
                pieces.extend_from_slice(&data);
                *self = Self::Pieces(pieces);
            }
            Self::Pieces(pieces) => pieces.extend_from_slice(&data),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Piece(piece) => piece,
            Self::Pieces(pieces) => pieces.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_is_its_pieces_in_their_order_however_many() {
        for pieces in [
            &[][..],
            &["abc"],
            &["", "abc"],
            &["a", "b"],
            &["a", "", "bc", "d"],
        ] {
            let whole = pieces.concat();
            let body = Body::from_stream(stream::iter(
                pieces.iter().map(|piece| Ok::<_, MatrixError>(*piece)),
            ));
            let read = read(&HeaderMap::new(), body, whole.len()).await;
            assert_eq!(read.expect("short enough"), whole, "{pieces:?}");
        }
    }
}

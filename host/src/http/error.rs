//! What can go wrong with a request, as Matrix spells it: a status, an `errcode` and a text.
//!
//! Owns that mapping and nothing else; the texts are for people, the codes for clients.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::engine::{FilterError, NotApplied, Overloaded, RateLimited, SyncError};

/// The answer to a request that is refused or fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum MatrixError {
    /// There is no access token, or not exactly one. The text says which.
    #[error("{0}")]
    MissingToken(&'static str),
    /// The access token is nobody's.
    #[error("the access token is not known")]
    UnknownToken,
    /// Who sends it is not proven.
    #[error("{0}")]
    Unauthorized(String),
    /// Who sends it cannot be read.
    #[error("{0}")]
    MalformedAuthorization(String),
    /// The user may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A parameter, or a value in the body, is none of those allowed.
    #[error("{0}")]
    InvalidParam(String),
    /// What should be JSON is not.
    #[error("{what} is not JSON: {source}")]
    NotJson {
        /// What should be JSON.
        what: &'static str,
        /// Why and where it is not. Part of the text, as the client has no chain to read.
        source: serde_json::Error,
    },
    /// JSON, but of another shape than asked for.
    #[error("{0}")]
    BadJson(String),
    /// The body, or something in it, is longer than allowed.
    #[error("{what} is longer than the {limit} bytes allowed")]
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// There is more in the body than allowed.
    #[error("{0}")]
    TooMany(String),
    /// The body did not arrive in time, or the connection broke.
    #[error("the body did not arrive in time")]
    BodyTimeout,
    /// The server cannot keep up.
    #[error("too many requests, try again later")]
    LimitExceeded {
        /// When to try again.
        retry_after: Duration,
    },
    /// There is nothing of this name.
    #[error("{0}")]
    NotFound(&'static str),
    /// No such path.
    #[error("there is no such endpoint")]
    UnknownEndpoint,
    /// The path is known, the method is not one of its own.
    #[error("the endpoint does not have this method")]
    MethodNotAllowed,
    /// What was asked for is done, and may not last.
    #[error("{0}")]
    NotStored(String),
    /// Our fault.
    #[error("internal server error")]
    Internal,
}

impl MatrixError {
    fn status(&self) -> StatusCode {
        match self {
            Self::MissingToken(_) | Self::UnknownToken | Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::InvalidParam(_)
            | Self::NotJson { .. }
            | Self::BadJson(_)
            | Self::MalformedAuthorization(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } | Self::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::LimitExceeded { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound(_) | Self::UnknownEndpoint => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotStored(_) | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code, of those in the [specification].
    ///
    /// [specification]: https://spec.matrix.org/v1.16/client-server-api/#standard-error-response
    fn errcode(&self) -> &'static str {
        match self {
            Self::MissingToken(_) => "M_MISSING_TOKEN",
            Self::UnknownToken => "M_UNKNOWN_TOKEN",
            Self::Forbidden(_) => "M_FORBIDDEN",
            Self::InvalidParam(_) => "M_INVALID_PARAM",
            Self::NotJson { .. } => "M_NOT_JSON",
            Self::BadJson(_) => "M_BAD_JSON",
            Self::TooLarge { .. } | Self::TooMany(_) => "M_TOO_LARGE",
            Self::Unauthorized(_) | Self::MalformedAuthorization(_) => "M_UNAUTHORIZED",
            Self::LimitExceeded { .. } => "M_LIMIT_EXCEEDED",
            Self::NotFound(_) => "M_NOT_FOUND",
            Self::UnknownEndpoint | Self::MethodNotAllowed => "M_UNRECOGNIZED",
            Self::BodyTimeout | Self::NotStored(_) | Self::Internal => "M_UNKNOWN",
        }
    }
}

impl IntoResponse for MatrixError {
    fn into_response(self) -> Response {
        let mut body = ErrorBody {
            errcode: self.errcode(),
            error: self.to_string(),
            retry_after_ms: None,
            soft_logout: None,
        };
        match self {
            Self::LimitExceeded { retry_after } => {
                body.retry_after_ms = Some(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX));
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                let mut response = (self.status(), Json(body)).into_response();
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                return response;
            }
            // The device is gone for good: a client that logs out may throw its keys away.
            Self::UnknownToken => body.soft_logout = Some(false),
            _ => {}
        }
        (self.status(), Json(body)).into_response()
    }
}

impl From<Overloaded> for MatrixError {
    fn from(overloaded: Overloaded) -> Self {
        Self::LimitExceeded {
            retry_after: overloaded.retry_after,
        }
    }
}

impl From<RateLimited> for MatrixError {
    fn from(limited: RateLimited) -> Self {
        Self::LimitExceeded {
            retry_after: limited.retry_after,
        }
    }
}

impl From<FilterError> for MatrixError {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::TooMany => {
                Self::Forbidden("you have stored as many filters as you may; use one of these")
            }
            // Its successor will take it.
            FilterError::Stopped => Self::LimitExceeded {
                retry_after: Duration::from_secs(1),
            },
            FilterError::Storage(_) => Self::Internal,
        }
    }
}

impl From<NotApplied> for MatrixError {
    fn from(error: NotApplied) -> Self {
        match error {
            NotApplied::Overloaded(overloaded) => overloaded.into(),
            // Its successor will take it.
            NotApplied::Stopped => Self::LimitExceeded {
                retry_after: Duration::from_secs(1),
            },
            NotApplied::NotStored(_) => Self::NotStored(error.to_string()),
        }
    }
}

impl From<SyncError> for MatrixError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::NotApplied(error) => error.into(),
            SyncError::UnknownToken => Self::InvalidParam(
                "the query parameter since is not a token of this server; start without it".to_owned(),
            ),
        }
    }
}

#[derive(Serialize)]
struct ErrorBody {
    errcode: &'static str,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    soft_logout: Option<bool>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn answer(error: MatrixError) -> (StatusCode, Option<HeaderValue>, Value) {
        let response = error.into_response();
        let (status, retry_after) = (
            response.status(),
            response.headers().get(header::RETRY_AFTER).cloned(),
        );
        let body = axum::body::to_bytes(response.into_body(), 1024)
            .await
            .expect("the body is short");
        (
            status,
            retry_after,
            serde_json::from_slice(&body).expect("the body is JSON"),
        )
    }

    #[tokio::test]
    async fn an_overload_says_twice_when_to_try_again() {
        for (millis, seconds) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2")] {
            let overloaded = Overloaded {
                retry_after: Duration::from_millis(millis),
            };
            let (status, header, body) = answer(overloaded.into()).await;
            assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(header.expect("a Retry-After header"), seconds, "{millis}");
            assert_eq!(body["errcode"], "M_LIMIT_EXCEEDED");
            assert_eq!(body["retry_after_ms"], millis);
        }
    }

    #[tokio::test]
    async fn an_unknown_token_is_no_soft_logout() {
        let (status, _, body) = answer(MatrixError::UnknownToken).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            body,
            json!({"errcode": "M_UNKNOWN_TOKEN", "error": "the access token is not known", "soft_logout": false})
        );
    }

    #[tokio::test]
    async fn a_token_of_another_server_is_an_invalid_parameter() {
        let (status, _, body) = answer(SyncError::UnknownToken.into()).await;
        assert_eq!(
            (status, &body["errcode"]),
            (StatusCode::BAD_REQUEST, &json!("M_INVALID_PARAM"))
        );
    }
}

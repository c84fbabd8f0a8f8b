//! What can go wrong with a request.

use std::fmt;

use crate::abi::failure::{Failure, FailureKind};

/// Why a request over HTTP gave no answer, or not the wanted one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// The method, the URL, a header or the timeout is none that can be used; the text says which.
    BadRequest(String),
    /// The address, that of a redirect included, is one that modules may not call; the text names it. The operator may allow
    /// it.
    AddressRefused(String),
    /// No connection came about, or it broke: no such name, no such port, nobody listens, no HTTP.
    Connection(String),
    /// The server did not prove who it is.
    Tls(String),
    /// All of the answer was not there by the deadline.
    TimedOut(String),
    /// The answer, or the request, is larger than is allowed.
    TooLarge(String),
    /// The status is not one of success: [`HttpResponse::error_for_status`](super::HttpResponse::error_for_status).
    Status(u16),
    /// The body is not what it is read as: [`HttpResponse::json`](super::HttpResponse::json).
    BadBody(String),
    /// More waits than the host keeps, or it redirects too often; the text says which.
    Refused(String),
    /// The instance has been shut down.
    ShutDown,
    /// The host is of a version that makes no requests.
    TooOld(String),
}

impl From<Failure> for HttpError {
    fn from(failure: Failure) -> Self {
        let message = failure.message.into_string();
        match failure.kind {
            FailureKind::SHUT_DOWN => Self::ShutDown,
            FailureKind::TOO_OLD => Self::TooOld(message),
            FailureKind::TOO_LARGE => Self::TooLarge(message),
            FailureKind::TIMED_OUT => Self::TimedOut(message),
            FailureKind::BAD_REQUEST => Self::BadRequest(message),
            FailureKind::ADDRESS_REFUSED => Self::AddressRefused(message),
            FailureKind::CONNECTION => Self::Connection(message),
            FailureKind::TLS => Self::Tls(message),
            _ => Self::Refused(message),
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::BadRequest(message) => Self::new(FailureKind::BAD_REQUEST, message),
            HttpError::AddressRefused(message) => Self::new(FailureKind::ADDRESS_REFUSED, message),
            HttpError::Connection(message) => Self::new(FailureKind::CONNECTION, message),
            HttpError::Tls(message) => Self::new(FailureKind::TLS, message),
            HttpError::TimedOut(message) => Self::new(FailureKind::TIMED_OUT, message),
            HttpError::TooLarge(message) => Self::new(FailureKind::TOO_LARGE, message),
            HttpError::TooOld(message) => Self::new(FailureKind::TOO_OLD, message),
            HttpError::ShutDown => Self::shut_down(),
            // The first two are made of an answer, on the module's side.
            error @ (HttpError::Status(_) | HttpError::BadBody(_) | HttpError::Refused(_)) => {
                Self::error(error.to_string())
            }
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server answered with status {status}"),
            Self::ShutDown => f.write_str("the module has been shut down"),
            Self::BadRequest(text)
            | Self::AddressRefused(text)
            | Self::Connection(text)
            | Self::Tls(text)
            | Self::TimedOut(text)
            | Self::TooLarge(text)
            | Self::BadBody(text)
            | Self::Refused(text)
            | Self::TooOld(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for HttpError {}

//! What a module answers when it cannot do what it was asked. A text crosses, never an error object.

use std::error::Error;
use std::fmt;

use crate::abi::failure::{Failure, FailureKind};

macro_rules! text_error {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// An error with this text: lower case, no full stop; what was wrong, where, what to do.
            pub fn new(message: impl Into<String>) -> Self {
                Self(message.into())
            }

            /// The text.
            pub fn message(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// Keeps the text of the error and of its sources, joined by `: `.
        impl<E: Error> From<E> for $name {
            fn from(error: E) -> Self {
                Self(chain(&error))
            }
        }
    };
}

text_error! {
    /// Why a router could not start. Any [`Error`] converts into it, so `?` works in `new`.
    ///
    /// It is no `Error` itself, as that would forbid the conversion. An `anyhow::Error` is none either: turn it
    /// into one by `StartError::new(format!("{error:#}"))`.
    ///
    /// ```
    /// use presence_router_api::StartError;
    ///
    /// fn start(port: &str) -> Result<u16, StartError> {
    ///     let port: u16 = port.parse()?;
    ///     if port < 1024 {
    ///         return Err(StartError::new(format!("port {port} is reserved; choose one from 1024 on")));
    ///     }
    ///     Ok(port)
    /// }
    /// assert!(start("80").is_err());
    /// ```
    StartError
}

text_error! {
    /// Why a router could not answer. Any [`Error`] converts into it, so `?` works in both methods.
    ///
    /// The host logs and counts it, goes on with shared rooms and other modules, and asks again later. Like
    /// [`StartError`] it is no `Error` itself.
    ///
    /// ```
    /// use presence_router_api::{RouterError, UserId};
    ///
    /// fn team_lead(answer: &str) -> Result<UserId, RouterError> {
    ///     Ok(UserId::parse(answer)?)
    /// }
    /// assert!(team_lead("bob").unwrap_err().message().starts_with("\"bob\" is not a user id"));
    /// ```
    RouterError
}

/// Why the host did not do what the module asked of it. Requests over HTTP have [`HttpError`](crate::HttpError) instead.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiError {
    /// The instance has been shut down: end what you are doing.
    ShutDown,
    /// The host refused; the text says why, and what to do.
    Refused(String),
    /// What was given is larger than is allowed; the text says what, and how large it may be.
    TooLarge(String),
    /// The host cannot do it now, and may later; the text says why.
    Unavailable(String),
    /// The host is of a version that does not have this method; the text names it.
    TooOld(String),
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let message = failure.message.into_string();
        match failure.kind {
            FailureKind::SHUT_DOWN => Self::ShutDown,
            FailureKind::TOO_LARGE => Self::TooLarge(message),
            FailureKind::UNAVAILABLE | FailureKind::TIMED_OUT => Self::Unavailable(message),
            FailureKind::TOO_OLD => Self::TooOld(message),
            _ => Self::Refused(message),
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::ShutDown => Self::shut_down(),
            ApiError::Refused(message) => Self::error(message),
            ApiError::TooLarge(message) => Self::new(FailureKind::TOO_LARGE, message),
            ApiError::Unavailable(message) => Self::new(FailureKind::UNAVAILABLE, message),
            ApiError::TooOld(message) => Self::new(FailureKind::TOO_OLD, message),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShutDown => f.write_str("the module has been shut down"),
            Self::Refused(text) | Self::TooLarge(text) | Self::Unavailable(text) | Self::TooOld(text) => {
                f.write_str(text)
            }
        }
    }
}

impl Error for ApiError {}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

//! What can go wrong with an operator's request: a status, and the same to read for people and for programs.

use std::any::Any;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::operations::{LibraryStatus, NotDone, Step};
use crate::problems::Problems;

/// The body of every error.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// `false`.
    pub ok: bool,
    /// The step of an operation that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What was wrong, as `check --format json` has it.
    pub errors: serde_json::Value,
    /// The same as people read it: as `check` prints it.
    pub text: String,
    /// After an operation that was not done: what of the module serves on, if anything does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<Box<LibraryStatus>>,
}

/// The answer to a request that is refused or fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// An operation was not done; beside, what serves on.
    #[error("the operation was not done")]
    NotDone(NotDone, Option<Box<LibraryStatus>>),
    /// No such module is loaded.
    #[error("no module `{name}` is loaded ({})", listed(loaded))]
    NoSuchModule {
        /// What was asked for.
        name: String,
        /// What there is.
        loaded: Vec<String>,
    },
    /// `from` or `to` is missing, or no user id.
    #[error("{0}")]
    BadQuery(String),
    /// This server speaks to no other.
    #[error("there is no federation; give the config a `signing_key_path`, and start the server again")]
    NoFederation,
    /// No such path.
    #[error("there is no such endpoint")]
    UnknownEndpoint,
    /// The path is known, the method is not one of its own.
    #[error("the endpoint does not have this method")]
    MethodNotAllowed,
    /// Somebody else's connection.
    #[error("only the server's own user and root may use the admin socket")]
    Forbidden,
    /// There are enough already.
    #[error("too many operations are running or waiting; try again when they have ended")]
    Busy,
    /// Our fault.
    #[error("internal server error; the server's log has more")]
    Internal,
}

fn listed(loaded: &[String]) -> String {
    if loaded.is_empty() {
        return "none is".to_owned();
    }
    let loaded: Vec<_> = loaded.iter().map(|name| format!("`{name}`")).collect();
    format!("loaded: {}", loaded.join(", "))
}

impl AdminError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotDone(not_done, None) if not_done.step == Step::Find => StatusCode::NOT_FOUND,
            Self::NotDone(..) => StatusCode::CONFLICT,
            Self::NoSuchModule { .. } | Self::NoFederation | Self::UnknownEndpoint => StatusCode::NOT_FOUND,
            Self::BadQuery(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let status = self.status();
        let (step, problems, serving) = match self {
            Self::NotDone(NotDone { step, problems }, serving) => (Some(step), problems, serving),
            error => (None, Problems::other(error.to_string()), None),
        };
        let refused = Refused {
            ok: false,
            step,
            errors: serde_json::to_value(&problems).unwrap_or_default(),
            text: problems.to_string(),
            serving,
        };
        (status, Json(refused)).into_response()
    }
}

/// The answer of a handler that panicked.
#[expect(clippy::needless_pass_by_value, reason = "the payload is handed over")]
pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Response {
    crate::http::log_panic(&*payload);
    AdminError::Internal.into_response()
}

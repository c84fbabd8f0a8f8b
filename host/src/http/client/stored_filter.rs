//! `/user/{userId}/filter`: a user's own filters, stored for their syncs.
//!
//! The order of the checks is Synapse's: the user id, the token, whose filter it is, and then the rest.

use std::collections::HashMap;
use std::num::IntErrorKind;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use presence_router_api::UserId;
use serde::Serialize;
use serde_json::Value;

use crate::engine::{Engine, Session};
use crate::http::client::auth::Authenticated;
use crate::http::client::{body, filter};
use crate::http::error::MatrixError;

/// `POST`: stores a filter.
pub(super) async fn post(
    State(engine): State<Engine>,
    OfUser { target, .. }: OfUser,
    Authenticated(session): Authenticated,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Stored>, MatrixError> {
    check_own(&session, &target)?;
    let filter = Value::Object(body::json_object(&headers, body).await?);
    // By its keys in order: the same filter has the same id, however it was written.
    let text = filter.to_string();
    filter::check(filter)?;
    let id = engine.put_filter(&session, text).await?;
    Ok(Json(Stored {
        filter_id: id.to_string(),
    }))
}

/// The user and the id in the path of a filter.
pub(super) struct OfUser {
    target: UserId,
    id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for OfUser {
    type Rejection = MatrixError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let not_utf8 = |_| MatrixError::InvalidParam("the path is not UTF-8".to_owned());
        let Path(mut in_path) = Path::<HashMap<String, String>>::from_request_parts(parts, state)
            .await
            .map_err(not_utf8)?;
        // What is not there is empty: it has a route of its own.
        let mut take = |name| in_path.remove(name).unwrap_or_default();
        Ok(Self {
            target: UserId::try_from(take("user_id"))
                .map_err(|error| MatrixError::InvalidParam(error.to_string()))?,
            id: take("filter_id"),
        })
    }
}

/// `GET`: a filter that was stored.
pub(super) async fn get(
    State(engine): State<Engine>,
    OfUser { target, id }: OfUser,
    Authenticated(session): Authenticated,
) -> Result<Json<Value>, MatrixError> {
    check_own(&session, &target)?;
    let unknown = MatrixError::NotFound("there is no such filter");
    let Some(id) = parse_id(&id)? else {
        return Err(unknown);
    };
    let text = engine.filter(&session, id).await?.ok_or(unknown)?;
    serde_json::from_str(&text).map(Json).map_err(|error| {
        tracing::error!(%error, user = %session.user_id, id, "a stored filter is not JSON");
        MatrixError::Internal
    })
}

fn check_own(session: &Session, target: &UserId) -> Result<(), MatrixError> {
    if *target == session.user_id {
        Ok(())
    } else {
        Err(MatrixError::Forbidden(
            "you can store and see only your own filters",
        ))
    }
}

/// The number of a filter; `None` for one that no filter has.
fn parse_id(id: &str) -> Result<Option<u64>, MatrixError> {
    match id.parse::<i128>() {
        Ok(id) => Ok(u64::try_from(id).ok()),
        Err(error)
            if matches!(
                error.kind(),
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow
            ) =>
        {
            Ok(None)
        }
        Err(_) => Err(MatrixError::InvalidParam(
            "the id of a filter is a number, as it was given when the filter was stored".to_owned(),
        )),
    }
}

/// What is told of a filter that was stored.
#[derive(Serialize)]
pub(super) struct Stored {
    filter_id: String,
}

//! A request's body as a JSON object: read within bounds, parsed as strictly as Synapse does.

use axum::body::Body;
use axum::http::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::http::body;
use crate::http::error::MatrixError;

/// The longest body that is parsed. Each update fans out to everyone who may see it.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Reads `body` and parses it. Of a key given twice, the last counts; unknown keys are the caller's affair.
pub(super) async fn json_object(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, MatrixError> {
    match json(headers, body).await? {
        Value::Object(object) => Ok(object),
        _ => Err(not_an_object()),
    }
}

/// Reads `body` and parses it as something that any JSON can be.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, MatrixError> {
    let bytes = body::read(headers, body, MAX_BODY_BYTES).await?;
    serde_json::from_slice(&bytes).map_err(|source| MatrixError::NotJson {
        what: "the body",
        source,
    })
}

/// The refusal of other JSON than an object.
pub(super) fn not_an_object() -> MatrixError {
    MatrixError::BadJson("the body must be a JSON object".to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::EXPECT;

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

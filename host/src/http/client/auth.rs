//! Who asks: the access token of a request, and the session that it belongs to.
//!
//! Owns where a token may stand and how strictly it is read, which is Synapse's way. Must not know how
//! tokens are kept.

use std::borrow::Cow;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::engine::{Engine, Session};
use crate::http::client::query::{Parameters, Value};
use crate::http::error::MatrixError;
use crate::http::observe;

/// The session of the request. A handler that takes it is not called without one.
pub(super) struct Authenticated(pub(super) Session);

impl<S> FromRequestParts<S> for Authenticated
where
    Engine: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = MatrixError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let token = access_token(parts)?;
        Engine::from_ref(state)
            .session(&token)
            .await
            .inspect(|session| observe::asked_by(parts, &session.user_id))
            .map(Self)
            .ok_or(MatrixError::UnknownToken)
    }
}

/// The one access token of the request, in its header or in its query.
fn access_token(parts: &Parts) -> Result<Cow<'_, str>, MatrixError> {
    let parameters = Parameters::may_have(&parts.uri, "access_token").then(|| Parameters::of(&parts.uri));
    let in_query = parameters.and_then(|parameters| parameters.get("access_token"));
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(in_header) = headers.next() else {
        let in_query = in_query.map(Value::decoded);
        return in_query.ok_or(MatrixError::MissingToken("the access token is missing"));
    };
    if in_query.is_some() {
        return Err(MatrixError::MissingToken(
            "the access token stands in the header Authorization and in the query; give one of them",
        ));
    }
    if headers.next().is_some() {
        return Err(MatrixError::MissingToken(
            "there is more than one header Authorization",
        ));
    }
    in_header
        .to_str()
        .ok()
        .and_then(|value| value.strip_prefix("Bearer "))
        .filter(|token| !token.is_empty() && !token.contains(' '))
        .map(Cow::Borrowed)
        .ok_or(MatrixError::MissingToken(
            "the header Authorization is not of the form \"Bearer <access token>\"",
        ))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn check(query: &str, headers: &[&str], expected: Result<&str, &str>) {
        let mut request = Request::builder().uri(format!("/sync{query}"));
        for header in headers {
            request = request.header(AUTHORIZATION, *header);
        }
        let (parts, ()) = request.body(()).expect("the parts are valid").into_parts();
        match (access_token(&parts), expected) {
            (Ok(token), Ok(expected)) => assert_eq!(token, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, expected) => panic!("{query:?} {headers:?}: {got:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_token_stands_in_the_header_or_in_the_query() {
        check("", &["Bearer abc"], Ok("abc"));
        check("?access_token=a%20b", &[], Ok("a b"));
        check("?access_token=", &[], Ok(""));
        check("", &[], Err("missing"));
    }

    #[test]
    fn two_tokens_are_none() {
        check("?access_token=abc", &["Bearer abc"], Err("give one of them"));
        check("", &["Bearer abc", "Bearer abc"], Err("more than one"));
    }

    #[test]
    fn the_header_is_read_strictly() {
        for header in [
            "Bearer",
            "Bearer ",
            "Bearer  abc",
            "Bearer abc def",
            "bearer abc",
            "Basic YTpi",
            "Bearer \u{e9}",
            "",
        ] {
            check("", &[header], Err("not of the form"));
        }
    }
}

//! How a transaction is carried: a signed request, and what its answer means for the next one.

use std::time::Duration;

use hyper::{Method, StatusCode};
use ruma_common::{OwnedServerName, ServerName};
use serde_json::Value;

use crate::federation::client::{Answer, FederationClient, RequestError};
use crate::federation::keys::KeyFetcher;
use crate::federation::outbox::Waits;
use crate::federation::sender::{Carrier, Undelivered};

/// How long a homeserver that has had too many requests is left alone, when it does not say so.
const WITHOUT_A_WORD: Duration = Duration::from_secs(10);

impl Carrier for FederationClient {
    fn carry<'a>(
        &'a self,
        destination: &'a str,
        transaction_id: &'a str,
        body: Value,
    ) -> Waits<'a, Result<(), Undelivered>> {
        Box::pin(async move {
            let Ok(server) = OwnedServerName::try_from(destination) else {
                return Err(Undelivered::Refused(format!(
                    "{destination:?} is no name of a server"
                )));
            };
            let path = format!("/_matrix/federation/v1/send/{transaction_id}");
            match self.send(Method::PUT, &server, &path, Some(&body)).await {
                Ok(answer) => outcome(&answer),
                Err(
                    error @ (RequestError::NotAllowed(_) | RequestError::Path(_) | RequestError::Body(_)),
                ) => Err(Undelivered::Refused(error.to_string())),
                Err(error) => Err(Undelivered::Away(with_causes(error))),
            }
        })
    }
}

impl KeyFetcher for FederationClient {
    fn fetch<'a>(&'a self, server: &'a ServerName) -> Waits<'a, Result<Value, String>> {
        Box::pin(async move { self.get_server_keys(server).await.map_err(with_causes) })
    }
}

fn with_causes(error: RequestError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// As Synapse has it: who is not let in, or does not know the path, may be so for a while; whoever refuses this transaction
/// otherwise would refuse it again.
fn outcome(answer: &Answer) -> Result<(), Undelivered> {
    let status = answer.status;
    match status {
        StatusCode::TOO_MANY_REQUESTS => Err(Undelivered::TooMany(rest(answer))),
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => {
            Err(Undelivered::Away(format!("it answers with the status {status}")))
        }
        status if status.is_client_error() => Err(Undelivered::Refused(format!(
            "it answers with the status {status}"
        ))),
        status => Err(Undelivered::Away(format!("it answers with the status {status}"))),
    }
}

/// How long a homeserver asks to be left alone: `retry_after_ms` of its answer (Matrix specification, client-server API, rate
/// limiting), or its header `Retry-After` in seconds.
fn rest(answer: &Answer) -> Duration {
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let ms = said.and_then(|said| said.get("retry_after_ms")?.as_u64());
    let seconds = || {
        let header = answer.headers.get("retry-after")?;
        header.to_str().ok()?.trim().parse::<u64>().ok()
    };
    ms.map(Duration::from_millis)
        .or_else(|| seconds().map(Duration::from_secs))
        .unwrap_or(WITHOUT_A_WORD)
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::body::Bytes;

    use super::*;

    fn answer(status: u16, body: &'static str, retry_after: Option<&'static str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert("retry-after", hyper::header::HeaderValue::from_static(value));
        }
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn what_an_answer_means_follows_from_its_status() {
        for status in [200, 204] {
            assert_eq!(outcome(&answer(status, "", None)), Ok(()));
        }
        for status in [401, 404, 500, 502, 503, 302] {
            let outcome = outcome(&answer(status, "", None));
            assert!(
                matches!(outcome, Err(Undelivered::Away(_))),
                "{status}: {outcome:?}"
            );
        }
        for status in [400, 403, 413] {
            let outcome = outcome(&answer(status, "", None));
            assert!(
                matches!(outcome, Err(Undelivered::Refused(_))),
                "{status}: {outcome:?}"
            );
        }
    }

    #[test]
    fn too_many_requests_say_how_long_to_wait_in_the_body_or_the_header_or_not_at_all() {
        for (body, header, ms) in [
            (
                r#"{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500}"#,
                Some("9"),
                1_500,
            ),
            (r#"{"errcode": "M_LIMIT_EXCEEDED"}"#, Some("9"), 9_000),
            ("garbage", Some("soon"), 10_000),
            (r#"{"retry_after_ms": -1}"#, None, 10_000),
        ] {
            let expected = Undelivered::TooMany(Duration::from_millis(ms));
            assert_eq!(
                outcome(&answer(429, body, header)),
                Err(expected),
                "{body} {header:?}"
            );
        }
    }
}

//! The answer of a server.

use std::fmt;

use abi_stable::std_types::{RString, RVec};
use serde::de::DeserializeOwned;

use super::HttpError;
use crate::abi::requests::{HttpAnswer, HttpHeader};

/// The answer of a server, whatever its status.
///
/// ```
/// use presence_router_api::HttpResponse;
///
/// let response = HttpResponse::new(200)
///     .with_header("content-type", "application/json")
///     .with_body(r#"{"up": true}"#);
/// assert!(response.is_success());
/// assert_eq!(response.header("Content-Type"), Some("application/json"));
/// assert_eq!(response.json::<serde_json::Value>()?["up"], true);
/// # Ok::<(), presence_router_api::HttpError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status, such as 200.
    pub status: u16,
    /// The headers, in their order, names in lower case. A name may be there more than once.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body: bytes, as they came.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// An answer without headers and body, for tests: the fake host's `answer_http` takes it.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Whether the status is one of success: 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer, if its status is one of success.
    ///
    /// # Errors
    /// [`HttpError::Status`].
    pub fn error_for_status(self) -> Result<Self, HttpError> {
        if self.is_success() {
            Ok(self)
        } else {
            Err(HttpError::Status(self.status))
        }
    }

    /// The first header of this name, in whatever case, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The body as text.
    ///
    /// # Errors
    /// [`HttpError::BadBody`] when it is not UTF-8.
    pub fn text(&self) -> Result<&str, HttpError> {
        std::str::from_utf8(&self.body)
            .map_err(|error| HttpError::BadBody(format!("the body of the answer is not UTF-8: {error}")))
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// [`HttpError::BadBody`] that names the key at fault.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        serde_path_to_error::deserialize(&mut json)
            .map_err(|error| error.to_string())
            .and_then(|value| json.end().map(|()| value).map_err(|error| error.to_string()))
            .map_err(|error| {
                HttpError::BadBody(format!(
                    "the body of the answer is not the JSON expected: {error}"
                ))
            })
    }
}

impl fmt::Debug for HttpResponse {
    /// Leaves out the contents of headers and body, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (headers, bytes) = (self.headers.len(), self.body.len());
        write!(
            f,
            "HttpResponse({}, {headers} headers, {bytes} bytes)",
            self.status
        )
    }
}

impl From<HttpAnswer> for HttpResponse {
    fn from(answer: HttpAnswer) -> Self {
        let headers = answer.headers.into_iter();
        Self {
            status: answer.status,
            headers: headers
                .map(|header| (header.name.into_string(), header.value.into_vec()))
                .collect(),
            body: answer.body.into_vec(),
        }
    }
}

impl From<HttpResponse> for HttpAnswer {
    fn from(response: HttpResponse) -> Self {
        let headers = response.headers.into_iter();
        Self {
            status: response.status,
            headers: headers
                .map(|(name, value)| HttpHeader {
                    name: RString::from(name),
                    value: RVec::from(value),
                })
                .collect(),
            body: RVec::from(response.body),
        }
    }
}

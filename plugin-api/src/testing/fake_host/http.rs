//! The servers that the fake host can reach: a script of answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{FakeHost, Service};
use crate::abi::failure::{Failure, FailureKind};
use crate::abi::requests::{HttpAnswer, HttpCall};
use crate::module_api::http::{Http, HttpError, HttpResponse};

/// A request that a module has sent, as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentRequest {
    /// The method, such as `GET`.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The headers, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// The deadline.
    pub timeout: Duration,
}

type Outcome = Result<HttpResponse, HttpError>;

#[derive(Default)]
pub(super) struct Script {
    answers: BTreeMap<(String, String), VecDeque<Outcome>>,
    sent: Vec<SentRequest>,
}

impl FakeHost {
    /// The next request of this method to exactly this URL is answered so. Several answers are given in the order in which
    /// they were added; the last one stays. What has no answer fails with [`HttpError::Connection`].
    ///
    /// ```
    /// # use presence_router_api::ModuleApi;
    /// use std::time::Duration;
    /// use presence_router_api::HttpResponse;
    /// use presence_router_api::testing::FakeHost;
    ///
    /// # fn start(api: &ModuleApi) {
    /// #     let client = api.clone();
    /// #     api.looping_background_call(Duration::from_secs(60), move || {
    /// #         let request = client.http().get("https://example.org/services").send();
    /// #         async move { let _ = request.await; }
    /// #     }).unwrap();
    /// # }
    /// let host = FakeHost::new("example.org");
    /// host.answer_http("GET", "https://example.org/services", HttpResponse::new(200).with_body("[]"));
    /// start(&host.api()); // the module asks once a minute
    /// host.advance(Duration::from_secs(60));
    /// assert_eq!(host.http_requests().len(), 1);
    /// ```
    pub fn answer_http(&self, method: &str, url: &str, answer: HttpResponse) {
        self.script(method, url, Ok(answer));
    }

    /// The next request of this method to this URL fails so: as [`answer_http`](Self::answer_http). An
    /// [`HttpError::Status`] or [`HttpError::BadBody`] is none of a host: answer with such a status or body instead.
    pub fn fail_http(&self, method: &str, url: &str, error: HttpError) {
        self.script(method, url, Err(error));
    }

    fn script(&self, method: &str, url: &str, outcome: Outcome) {
        self.state()
            .http
            .answers
            .entry((method.to_owned(), url.to_owned()))
            .or_default()
            .push_back(outcome);
    }

    /// All requests that the module has sent, also those that failed.
    pub fn http_requests(&self) -> Vec<SentRequest> {
        self.state().http.sent.clone()
    }

    pub(super) fn answer(&self, call: HttpCall) -> Result<HttpAnswer, Failure> {
        self.serving(Service::Http)?;
        let limit = match call.max_response_bytes {
            0 => Http::DEFAULT_MAX_RESPONSE,
            bytes => bytes,
        };
        let sent = SentRequest::from(call);
        let key = (sent.method.clone(), sent.url.clone());
        let mut state = self.state();
        state.http.sent.push(sent);
        let outcome = match state.http.answers.get_mut(&key) {
            Some(answers) if answers.len() > 1 => answers.pop_front(),
            Some(answers) => answers.front().cloned(),
            None => None,
        };
        match outcome {
            Some(Ok(answer)) if answer.body.len() as u64 > limit => Err(Failure::new(
                FailureKind::TOO_LARGE,
                format!("the body of the answer has more than {limit} bytes"),
            )),
            Some(Ok(answer)) => Ok(answer.into()),
            Some(Err(error)) => Err(error.into()),
            None => Err(Failure::new(
                FailureKind::CONNECTION,
                format!("the test has no answer for {} {}", key.0, key.1),
            )),
        }
    }
}

impl From<HttpCall> for SentRequest {
    fn from(call: HttpCall) -> Self {
        let headers = call.headers.into_iter();
        Self {
            method: call.method.into_string(),
            url: call.url.into_string(),
            headers: headers
                .map(|header| (header.name.into_string(), header.value.into_vec()))
                .collect(),
            body: call.body.into_vec(),
            timeout: match call.timeout_ms {
                0 => Http::DEFAULT_TIMEOUT,
                ms => Duration::from_millis(ms),
            },
        }
    }
}

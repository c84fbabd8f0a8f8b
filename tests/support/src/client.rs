//! A small blocking HTTP client. Every call has a deadline; an answer is an answer, whatever its status.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http;

/// How long an answer may take, beyond what the request itself asks the server to wait.
const DEADLINE: Duration = Duration::from_secs(20);

/// A client of one listener. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    address: String,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    deadline: Duration,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: String,
}

impl Client {
    /// A client of `address`, such as `http://127.0.0.1:8008`.
    pub fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Self {
            agent: config.into(),
            address: address.trim_end_matches('/').to_owned(),
        }
    }

    /// Sends a request and waits for its answer. Panics when there is none.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Answer {
        self.try_send(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.path))
    }

    /// Sends a request and waits for its answer, or for the reason why there is none.
    pub fn try_send(&self, request: &Request) -> Result<Answer, ureq::Error> {
        let mut head = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("{}{}", self.address, request.path));
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        let answer = match &request.body {
            Some(body) => self.run(head.body(body.as_slice())?, request.deadline),
            None => self.run(head.body(())?, request.deadline),
        };
        let (head, mut body) = answer?.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.read_to_string()?,
        })
    }

    fn run(
        &self,
        request: http::Request<impl ureq::AsSendBody>,
        deadline: Duration,
    ) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(deadline))
            .build();
        self.agent.run(request)
    }
}

impl Request {
    /// A request by its method and path, query included.
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.into(),
            headers: Vec::new(),
            body: None,
            deadline: DEADLINE,
        }
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this access token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// When the server is asked to wait so long before it answers.
    #[must_use]
    pub fn server_waits(mut self, time: Duration) -> Self {
        self.deadline = DEADLINE + time;
        self
    }
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| {
            panic!(
                "{} with a body that is not JSON: {error}: {:?}",
                self.status, self.body
            )
        })
    }

    /// Matrix's code of an error; empty when there is none.
    pub fn errcode(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["errcode"].as_str().unwrap_or_default().to_owned()
    }

    /// Checks the status, and answers the body.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }
}

/// Writes what may stand in a query.
pub(crate) fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

//! From what a module asks to a request that can be made. All that can be refused without a connection is refused here.

use std::net::IpAddr;
use std::time::Duration;

use presence_router_api::Http;
use presence_router_api::abi::requests::{HttpCall, HttpHeader};
use presence_router_api::abi::{Failure, FailureKind};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};

use crate::config::Outgoing;
use crate::modules::http_client::fault::Fault;

/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 8 * 1024;

/// The most headers, and the most bytes of their names and values together.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// What the host says of the connection and of the body's length: a module that says otherwise would desynchronise it.
const OWN_HEADERS: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request that can be made.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) request: Request,
    pub(super) timeout: Duration,
    pub(super) max_response: u64,
}

impl Parsed {
    pub(super) fn new(call: HttpCall, access: &Outgoing) -> Result<Self, Failure> {
        let method = method(call.method.as_str())?;
        let url = url(call.url.as_str())?;
        check_url(&url, access)?;
        let headers = headers(call.headers.into_vec())?;
        if call.body.len() as u64 > Http::MAX_BODY {
            return Err(Failure::new(
                FailureKind::TOO_LARGE,
                format!(
                    "the body of the request has {} bytes, {} are allowed",
                    call.body.len(),
                    Http::MAX_BODY
                ),
            ));
        }
        let timeout = match call.timeout_ms {
            0 => Http::DEFAULT_TIMEOUT,
            ms => Duration::from_millis(ms),
        };
        if timeout > Http::MAX_TIMEOUT {
            return Err(bad(format!(
                "a timeout of {} ms; {} are allowed",
                timeout.as_millis(),
                Http::MAX_TIMEOUT.as_millis()
            )));
        }
        let max_response = match call.max_response_bytes {
            0 => Http::DEFAULT_MAX_RESPONSE,
            bytes => bytes,
        };
        if max_response > Http::MAX_BODY {
            return Err(bad(format!(
                "an answer of up to {max_response} bytes; {} are allowed",
                Http::MAX_BODY
            )));
        }
        let mut request = Request::new(method, url);
        *request.headers_mut() = headers;
        if !call.body.is_empty() {
            *request.body_mut() = Some(call.body.into_vec().into());
        }
        Ok(Self {
            request,
            timeout,
            max_response,
        })
    }

    /// How errors name it: by method and server. The rest of a URL may hold secrets.
    pub(super) fn place(&self) -> String {
        let server = self.request.url().origin().ascii_serialization();
        format!("{} {server}", self.request.method())
    }
}

fn bad(message: String) -> Failure {
    Failure::new(FailureKind::BAD_REQUEST, message)
}

fn method(name: &str) -> Result<Method, Failure> {
    match Method::from_bytes(name.as_bytes()) {
        Ok(Method::CONNECT) | Err(_) => Err(bad(format!("{name:?} is not a method of a request"))),
        Ok(method) => Ok(method),
    }
}

fn url(text: &str) -> Result<Url, Failure> {
    if text.len() > MAX_URL_BYTES {
        return Err(bad(format!(
            "a URL of {} bytes; {MAX_URL_BYTES} are allowed",
            text.len()
        )));
    }
    Url::parse(text).map_err(|error| bad(format!("not a URL: {error}")))
}

/// Whether a URL may be called, as far as it tells.
pub(super) fn check_url(url: &Url, access: &Outgoing) -> Result<(), Fault> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Fault::Scheme(url.scheme().to_owned()));
    }
    let host = url.host_str().ok_or(Fault::NoHost)?;
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    match address {
        Ok(address) if !access.may_reach(address) => Err(Fault::Address {
            host: host.to_owned(),
            address: None,
        }),
        // What a name resolves to is checked when it is resolved.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn headers(given: Vec<HttpHeader>) -> Result<HeaderMap, Failure> {
    let bytes: usize = given
        .iter()
        .map(|header| header.name.len() + header.value.len())
        .sum();
    if given.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(bad(format!(
            "{} headers of {bytes} bytes together; {MAX_HEADERS} of {MAX_HEADER_BYTES} bytes are allowed",
            given.len()
        )));
    }
    let mut headers = HeaderMap::with_capacity(given.len());
    for HttpHeader { name, value } in given {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| bad(format!("{:?} is not the name of a header", name.as_str())))?;
        if OWN_HEADERS.contains(&parsed.as_str()) {
            return Err(bad(format!(
                "the header {parsed} is the host's to set; leave it out"
            )));
        }
        let value = HeaderValue::from_bytes(&value).map_err(|_| {
            bad(format!(
                "the value of the header {parsed} holds control characters"
            ))
        })?;
        headers.append(parsed, value);
    }
    Ok(headers)
}

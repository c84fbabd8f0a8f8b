//! Requests over HTTP that the host makes for a module.

mod error;
mod response;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use abi_stable::std_types::{RString, RVec};
use serde::Serialize;

pub use self::error::HttpError;
pub use self::response::HttpResponse;
use super::ModuleApi;
use crate::abi::requests::{HttpCall, HttpHeader};

/// Makes HTTP requests by the host; made by [`ModuleApi::http`]. Cheap to clone. As with Synapse's `http_client`, the
/// module brings no client, no TLS and no runtime of its own.
///
/// The host refuses addresses that an outsider could not reach either: loopback, private and other special ranges, as
/// Synapse's `ip_range_blacklist` has them, unless the operator allows them in the config. What a name resolves to is
/// checked, not the name, and again for each redirect; up to 5 of these are followed. No proxy is used. Of an instance, 16
/// requests run at once; others wait, and their time counts.
///
/// ```
/// # use presence_router_api::{HttpError, ModuleApi, UserId};
/// use std::time::Duration;
///
/// #[derive(serde::Deserialize)]
/// struct Service { user_id: UserId }
///
/// async fn services(api: &ModuleApi, token: &str) -> Result<Vec<Service>, HttpError> {
///     let answer = api
///         .http()
///         .get("https://registry.example.org/services")
///         .header("authorization", format!("Bearer {token}"))
///         .timeout(Duration::from_secs(5))
///         .send()
///         .await?
///         .error_for_status()?;
///     answer.json()
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Http(ModuleApi);

/// A request that is being put together; sent by [`send`](Self::send). Made by [`Http`].
#[derive(Clone)]
#[must_use = "a request does nothing until it is sent"]
pub struct HttpRequest {
    api: ModuleApi,
    call: HttpCall,
    /// What could not be put into the request.
    fault: Option<String>,
}

impl ModuleApi {
    /// Requests over HTTP. Asks nothing by itself.
    ///
    /// ```
    /// # use presence_router_api::{HttpError, ModuleApi};
    /// async fn is_up(api: &ModuleApi) -> Result<bool, HttpError> {
    ///     Ok(api.http().get("https://example.org/health").send().await?.is_success())
    /// }
    /// ```
    pub fn http(&self) -> Http {
        Http(self.clone())
    }
}

impl Http {
    /// The deadline of a request that says none.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
    /// The longest deadline of a request.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);
    /// How long the body of an answer may be, in bytes, when the request does not say.
    pub const DEFAULT_MAX_RESPONSE: u64 = 1024 * 1024;
    /// The longest body of a request, and of an answer, in bytes.
    pub const MAX_BODY: u64 = 16 * 1024 * 1024;

    /// A request with any method.
    ///
    /// ```
    /// # use presence_router_api::{HttpError, ModuleApi};
    /// async fn forget(api: &ModuleApi, url: &str) -> Result<(), HttpError> {
    ///     api.http().request("DELETE", url).send().await?.error_for_status()?;
    ///     Ok(())
    /// }
    /// ```
    pub fn request(&self, method: &str, url: &str) -> HttpRequest {
        HttpRequest {
            api: self.0.clone(),
            call: HttpCall {
                method: RString::from(method),
                url: RString::from(url),
                headers: RVec::new(),
                body: RVec::new(),
                timeout_ms: 0,
                max_response_bytes: 0,
            },
            fault: None,
        }
    }

    /// A `GET`.
    pub fn get(&self, url: &str) -> HttpRequest {
        self.request("GET", url)
    }

    /// A `POST`.
    pub fn post(&self, url: &str) -> HttpRequest {
        self.request("POST", url)
    }

    /// A `PUT`.
    pub fn put(&self, url: &str) -> HttpRequest {
        self.request("PUT", url)
    }
}

impl HttpRequest {
    /// Adds a header. One that is there stays.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.call.headers.push(HttpHeader {
            name: RString::from(name),
            value: RVec::from(value.into()),
        });
        self
    }

    /// Sets the body, up to [`Http::MAX_BODY`].
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.call.body = RVec::from(body.into());
        self
    }

    /// Sets the body to a value as JSON, and says so in `content-type`. One that is no JSON fails when it is sent.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body(body).header("content-type", "application/json"),
            Err(error) => {
                self.fault = Some(format!("the body is no JSON: {error}"));
                self
            }
        }
    }

    /// By when all of the answer must be there, counted from [`send`](Self::send), with all redirects; up to
    /// [`Http::MAX_TIMEOUT`], 10 seconds by default. In whole milliseconds, at least one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        self
    }

    /// How long the body of the answer may be, in bytes. 1 MiB by default, up to
    /// [`Http::MAX_BODY`].
    pub fn max_response_bytes(mut self, bytes: u64) -> Self {
        self.call.max_response_bytes = bytes.max(1);
        self
    }

    /// Makes the request. Dropped before its end, it is ended.
    ///
    /// # Errors
    /// An [`HttpError`]. An answer with a status of failure is none: see [`HttpResponse::error_for_status`].
    pub fn send(self) -> impl Future<Output = Result<HttpResponse, HttpError>> + Send + 'static {
        let Self { api, call, fault } = self;
        async move {
            if let Some(fault) = fault {
                return Err(HttpError::BadRequest(fault));
            }
            Ok(api.ask(move |host| host.http(call)).await?.into())
        }
    }
}

impl fmt::Debug for HttpRequest {
    /// Leaves out what may hold secrets: the URL, the headers, the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({})", self.call.method)
    }
}

//! What a module may ask of the host: who it is, the time, audiences, tasks. The rest is in the files below.

mod background;
pub(crate) mod http;
pub(crate) mod logger;
pub(crate) mod metrics;
pub(crate) mod presence;
mod rooms;
pub(crate) mod storage;

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use abi_stable::std_types::{RStr, RString, RVec};
use async_ffi::FutureExt;

use crate::abi::failure::Failure;
use crate::abi::host::{Answer, HostApiBox};
use crate::error::ApiError;
use crate::export::guard::GuardedFuture;
use crate::routes::Audience;
use crate::user_id::UserId;

/// The host, as one module instance sees it. Cheap to clone; may be used from any thread.
///
/// Logging needs no method here: use the `log` crate's macros (or `tracing`'s, with its feature
/// `log`), and the records appear in the host's log under the module's name. Set up no logger of your own.
///
/// The names are those of Synapse's [`ModuleApi`] where it has the method. Everything may be asked from `new` on. After the
/// instance's `shutdown`, methods that would wait for, start or keep something answer [`ApiError::ShutDown`], also those
/// that were waiting then; the others still work. In a host that is older than a method, the method answers
/// [`ApiError::TooOld`].
/// Do not keep a `ModuleApi` in a static: the host's side of an instance lives as long as the last clone.
///
/// # What waits
/// An `async` method asks when its future is first polled, and does nothing before. A future that is dropped later
/// does not take back what it asked for; only a request over HTTP ends with its future. In a routing method the wait
/// counts against the call's deadline. An instance may wait for 1,024 answers at once, and for each no longer than 30
/// seconds (HTTP has deadlines of its own); beyond that it is answered [`ApiError::Unavailable`].
///
/// ```
/// use std::time::Duration;
/// use presence_router_api::{ApiError, ModuleApi};
///
/// /// Says once a minute what time it is.
/// fn start_clock(api: &ModuleApi) -> Result<(), ApiError> {
///     let clock = api.clone();
///     api.spawn(async move {
///         loop {
///             clock.sleep(Duration::from_secs(60)).await;
///             log::info!("{} ms since 1970 on {}", clock.now(), clock.server_name());
///         }
///     })
/// }
/// ```
///
/// [`ModuleApi`]: https://element-hq.github.io/synapse/latest/modules/writing_a_module.html
#[derive(Clone)]
pub struct ModuleApi {
    host: Arc<HostApiBox>,
}

impl ModuleApi {
    pub(crate) fn new(host: HostApiBox) -> Self {
        Self { host: Arc::new(host) }
    }

    pub(crate) fn downgrade(&self) -> WeakModuleApi {
        WeakModuleApi(Arc::downgrade(&self.host))
    }

    pub(crate) fn log(&self, level: log::Level, target: &str, message: &str) {
        self.host
            .log(level as u8, RStr::from(target), RStr::from(message));
    }

    pub(crate) fn max_log_level(&self) -> log::LevelFilter {
        log::LevelFilter::iter()
            .nth(usize::from(self.host.max_log_level()))
            .unwrap_or(log::LevelFilter::Trace)
    }

    /// Asks for what must be waited for, once the future is polled.
    fn ask<T, Q>(&self, question: Q) -> impl Future<Output = Result<T, Failure>> + Send + 'static + use<T, Q>
    where
        T: Send + 'static,
        Q: FnOnce(&HostApiBox) -> Answer<T> + Send + 'static,
    {
        let host = Arc::clone(&self.host);
        async move { question(&host).await.into_result() }
    }

    /// The name of the homeserver that the host serves, such as `example.org`: the part of its users' ids behind the
    /// first `:`.
    pub fn server_name(&self) -> &str {
        self.host.server_name().as_str()
    }

    /// The name of this worker; nothing where the server is one process, as it is today. As in Synapse's `worker_name`.
    ///
    /// ```
    /// # use presence_router_api::ModuleApi;
    /// fn is_main_process(api: &ModuleApi) -> bool {
    ///     api.worker_name().is_none()
    /// }
    /// ```
    pub fn worker_name(&self) -> Option<&str> {
        let name = self.host.worker_name().into_option()?;
        Some(name.as_str())
    }

    /// Whether a user id, or a bare server name, is this homeserver's. As in Synapse's `is_mine`.
    ///
    /// Compares text and does not ask whether the user exists.
    pub fn is_mine(&self, id: impl AsRef<str>) -> bool {
        self.host.is_mine(RStr::from(id.as_ref()))
    }

    /// `alice` becomes `@alice:` and the server's name; what starts with `@` stays as it is. As in Synapse's
    /// `get_qualified_user_id`.
    ///
    /// # Errors
    /// [`ApiError::Refused`] when the result is not a user id.
    pub fn get_qualified_user_id(&self, localpart: &str) -> Result<UserId, ApiError> {
        let id = self
            .host
            .get_qualified_user_id(RStr::from(localpart))
            .into_result()?;
        UserId::try_from(id.into_string()).map_err(|error| ApiError::Refused(error.to_string()))
    }

    /// Has the host keep a list of users, local or remote, to be named in answers. Duplicates count once; the list
    /// may be empty.
    ///
    /// # Errors
    /// [`ApiError::Refused`] when there are more than a million users in the list or too many audiences
    /// (the host keeps 65,536 for an instance at once), [`ApiError::ShutDown`] after `shutdown`.
    pub fn register_audience(&self, users: impl IntoIterator<Item = UserId>) -> Result<Audience, ApiError> {
        let users: RVec<RString> = users
            .into_iter()
            .map(|user| RString::from(user.as_str()))
            .collect();
        let handle = self.host.register_audience(users).into_result()?;
        Ok(Audience::new(handle, Arc::clone(&self.host)))
    }

    /// The time in milliseconds since the Unix epoch, by the host's clock. Prefer it to the system's: a
    /// test can drive it.
    pub fn now(&self) -> u64 {
        self.host.now_ms()
    }

    /// Waits for so long, in whole milliseconds; what is below one is cut off. A module needs no runtime of its own
    /// for it, and may wait in any of its futures.
    ///
    /// The wait counts from this call, not from the first poll. In a routing method it counts against the call's
    /// deadline.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.host
            .sleep(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// Runs a task in the background, on a thread that belongs to this instance, until it ends or the
    /// instance is shut down; then it is dropped at its next `await`. A panic in it is logged and ends this task
    /// alone.
    ///
    /// The tasks of an instance share that thread: one that blocks it holds up the others, but no routing.
    ///
    /// # Errors
    /// [`ApiError::ShutDown`] after `shutdown`, [`ApiError::Refused`] when no thread can be started.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), ApiError> {
        let api = self.clone();
        let guarded = GuardedFuture::new("a spawned task", self.clone(), task);
        let task = async move {
            if let Err(failure) = guarded.await {
                api.log(log::Level::Error, module_path!(), &failure.message);
            }
        };
        Ok(self.host.spawn(task.into_ffi()).into_result()?)
    }

    /// What the host answers to the method that only the tests of growth have.
    #[cfg(feature = "growth-probe")]
    #[doc(hidden)]
    pub fn growth_probe(&self) -> u32 {
        self.host.growth_probe()
    }
}

impl std::fmt::Debug for ModuleApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModuleApi({})", self.server_name())
    }
}

/// A [`ModuleApi`] that does not keep the host's side of the instance alive.
pub(crate) struct WeakModuleApi(Weak<HostApiBox>);

impl WeakModuleApi {
    pub(crate) fn upgrade(&self) -> Option<ModuleApi> {
        self.0.upgrade().map(|host| ModuleApi { host })
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

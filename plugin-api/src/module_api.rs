//! What a module may ask of the host.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use abi_stable::std_types::{RStr, RString, RVec};
use async_ffi::FutureExt;

use crate::abi::host::HostApiBox;
use crate::error::ApiError;
use crate::export::guard::GuardedFuture;
use crate::routes::Audience;
use crate::user_id::UserId;

/// The host, as one module instance sees it. Cheap to clone; may be used from any thread.
///
/// Logging needs no method here: use the `log` crate's macros (or `tracing`'s, with its feature
/// `log`), and the records appear in the host's log under the module's name. Set up no logger of your own.
///
/// The names are those of Synapse's [`ModuleApi`] where it has the method. After the instance's
/// `shutdown`, methods that would start or keep something answer [`ApiError::ShutDown`]; the others still work.
/// Do not keep a `ModuleApi` in a static: the host's side of an instance lives as long as the last clone.
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

    /// The name of the homeserver that the host serves, such as `example.org`: the part of its users' ids behind the
    /// first `:`.
    pub fn server_name(&self) -> &str {
        self.host.server_name().as_str()
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
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
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

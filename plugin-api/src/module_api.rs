//! What a module may ask of the host.

use std::future::Future;
use std::sync::Arc;
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
/// `log`), and the records appear in the host's log under the module's name.
///
/// The names are those of Synapse's `ModuleApi` where it has the method. After the instance's
/// `shutdown`, methods that would start something answer [`ApiError::ShutDown`].
#[derive(Clone)]
pub struct ModuleApi {
    host: Arc<HostApiBox>,
}

impl ModuleApi {
    pub(crate) fn new(host: HostApiBox) -> Self {
        Self { host: Arc::new(host) }
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

    /// The name of the homeserver that the host serves, such as `example.org`.
    pub fn server_name(&self) -> &str {
        self.host.server_name().as_str()
    }

    /// Whether a user id, or a bare server name, is this homeserver's.
    pub fn is_mine(&self, id: impl AsRef<str>) -> bool {
        self.host.is_mine(RStr::from(id.as_ref()))
    }

    /// `alice` becomes `@alice:` and the server's name; a full user id stays as it is.
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

    /// Has the host keep a list of users, local or remote, to be named in answers.
    ///
    /// # Errors
    /// [`ApiError::Refused`] when there are more than a million users in the list or too many audiences
    /// (the host allows 65,536 a module), [`ApiError::ShutDown`] after `shutdown`.
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

    /// Waits. A module needs no runtime of its own for it.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.host
            .sleep(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// Runs a task in the background, on a runtime that belongs to this instance, until it ends or the
    /// instance is shut down. A panic in it is logged and ends this task alone.
    ///
    /// # Errors
    /// [`ApiError::ShutDown`] after `shutdown`.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), ApiError> {
        let api = self.clone();
        let guarded = GuardedFuture::new("spawned task", self.clone(), task);
        let task = async move {
            if let Err(panic) = guarded.await {
                api.log(
                    log::Level::Error,
                    module_path!(),
                    &format!("a spawned task panicked: {}", panic.message),
                );
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

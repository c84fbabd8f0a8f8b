//! The host's side of `ModuleApi`: what one module instance may ask, and what it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use abi_stable::std_types::{RResult, RStr, RString, RVec};
use async_ffi::{FfiFuture, FutureExt};
use presence_router_api::UserId;
use presence_router_api::abi::Failure;
use presence_router_api::abi::host::{HostApi, LogLevel};
use tokio::runtime::Handle;
use tracing::Level;
use tracing::level_filters::LevelFilter;

use crate::clock::Clock;
use crate::modules::audience::Audiences;
use crate::modules::quarantine::Quarantine;
use crate::modules::runtime::{CallThread, ModuleRuntime};

/// What the host is to its modules.
#[derive(Clone)]
pub struct HostFacts {
    /// The homeserver's name.
    pub server_name: Arc<str>,
    /// The clock that `now` reads.
    pub clock: Arc<dyn Clock>,
    /// The runtime whose timers `sleep` uses.
    pub timers: Handle,
}

/// What a module instance and its host share.
pub(super) struct Shared {
    pub(super) module: Arc<str>,
    pub(super) facts: HostFacts,
    pub(super) audiences: Audiences,
    pub(super) runtime: ModuleRuntime,
    pub(super) quarantine: Quarantine,
    pub(super) shut_down: AtomicBool,
}

impl Shared {
    /// A call blocks the thread of calls: the module gets another.
    pub(super) fn leave_behind(&self, thread: &CallThread) {
        match self.runtime.replace(thread) {
            Ok(false) => {}
            Ok(true) => tracing::warn!(module = &*self.module, "blocks its thread, which is left behind"),
            Err(error) => {
                tracing::error!(module = &*self.module, %error, "no thread can be started for the module");
            }
        }
    }

    fn running(&self) -> Result<(), Failure> {
        if self.shut_down.load(Ordering::Acquire) {
            Err(Failure::shut_down())
        } else {
            Ok(())
        }
    }
}

/// The vtable's object. It outlives the instance when the module keeps a copy, and then answers that the module has been
/// shut down.
pub(super) struct InstanceApi(pub(super) Arc<Shared>);

impl HostApi for InstanceApi {
    fn log(&self, level: LogLevel, target: RStr<'_>, message: RStr<'_>) {
        let (module, target, message) = (&*self.0.module, target.as_str(), message.as_str());
        macro_rules! record {
            ($level:ident) => {
                tracing::event!(target: "module", Level::$level, module, target, "{message}")
            };
        }
        match level {
            0 | 1 => record!(ERROR),
            2 => record!(WARN),
            3 => record!(INFO),
            4 => record!(DEBUG),
            _ => record!(TRACE),
        }
    }

    fn max_log_level(&self) -> LogLevel {
        match LevelFilter::current().into_level() {
            None => 0,
            Some(Level::ERROR) => 1,
            Some(Level::WARN) => 2,
            Some(Level::INFO) => 3,
            Some(Level::DEBUG) => 4,
            Some(_) => 5,
        }
    }

    fn server_name(&self) -> RStr<'_> {
        RStr::from(&*self.0.facts.server_name)
    }

    fn is_mine(&self, id: RStr<'_>) -> bool {
        let id = id.as_str();
        let server = match id.strip_prefix('@').and_then(|rest| rest.split_once(':')) {
            Some((_, server)) => server,
            None => id,
        };
        server == &*self.0.facts.server_name
    }

    fn get_qualified_user_id(&self, localpart: RStr<'_>) -> RResult<RString, Failure> {
        let id = match localpart.as_str() {
            id if id.starts_with('@') => id.to_owned(),
            localpart => format!("@{localpart}:{}", self.0.facts.server_name),
        };
        UserId::parse(&id)
            .map(|_| RString::from(id))
            .map_err(|error| Failure::error(error.to_string()))
            .into()
    }

    fn register_audience(&self, users: RVec<RString>) -> RResult<u64, Failure> {
        self.0
            .running()
            .and_then(|()| {
                self.0
                    .audiences
                    .register(users.iter())
                    .map_err(|error| Failure::error(error.to_string()))
            })
            .into()
    }

    fn release_audience(&self, audience: u64) {
        self.0.audiences.release(audience);
    }

    fn now_ms(&self) -> u64 {
        self.0.facts.clock.now_ms()
    }

    fn sleep(&self, ms: u64) -> FfiFuture<()> {
        // The timer belongs to the host's runtime, so the future works wherever the module polls it.
        let _timers = self.0.facts.timers.enter();
        tokio::time::sleep(Duration::from_millis(ms)).into_ffi()
    }

    fn spawn(&self, task: FfiFuture<()>) -> RResult<(), Failure> {
        let spawned = self.0.running().and_then(|()| match self.0.runtime.spawn(task) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::shut_down()),
            Err(error) => Err(Failure::error(format!(
                "no thread can be started for the task: {error}"
            ))),
        });
        spawned.into()
    }

    #[cfg(feature = "growth-probe")]
    fn growth_probe(&self) -> u32 {
        1
    }
}

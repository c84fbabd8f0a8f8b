//! A host that keeps what a module asks of it where a test can look, with a clock that a test drives.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RResult, RStr, RString, RVec};
use async_ffi::{FfiFuture, FutureExt};

use crate::abi::failure::Failure;
use crate::abi::host::{HostApi, HostApi_TO, HostApiBox, LogLevel};
use crate::module_api::ModuleApi;
use crate::user_id::UserId;

/// A host for tests. Clones are the same host.
///
/// Its clock stands still until [`advance`](Self::advance). It has no threads: spawned tasks run in `advance` and
/// [`run_tasks`](Self::run_tasks). Like a real host it keeps an audience that is released during a call until the
/// call's end.
///
/// ```
/// use std::time::Duration;
/// use presence_router_api::testing::FakeHost;
///
/// let host = FakeHost::new("example.org");
/// let api = host.api();
/// assert!(api.is_mine("@alice:example.org"));
///
/// let before = api.now();
/// host.advance(Duration::from_secs(60));
/// assert_eq!(api.now() - before, 60_000);
/// ```
#[derive(Clone)]
pub struct FakeHost(Arc<Shared>);

struct Shared {
    server_name: String,
    now_ms: AtomicU64,
    shut_down: AtomicBool,
    refuse_audiences: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    audiences: BTreeMap<u64, Vec<String>>,
    calls: usize,
    released_during_calls: Vec<u64>,
    tasks: Vec<FfiFuture<()>>,
    sleepers: Vec<Waker>,
    log: Vec<(log::Level, String)>,
}

/// Handles are never used twice, over all hosts, so that one host's audience is unknown to another.
static NEXT_AUDIENCE: AtomicU64 = AtomicU64::new(1);

impl FakeHost {
    /// What [`ModuleApi::now`] answers before the first [`advance`](Self::advance): 2026-01-01, 00:00 UTC.
    pub const START_MS: u64 = 1_767_225_600_000;

    /// A host that serves `server_name`.
    pub fn new(server_name: impl Into<String>) -> Self {
        Self(Arc::new(Shared {
            server_name: server_name.into(),
            now_ms: AtomicU64::new(Self::START_MS),
            shut_down: AtomicBool::new(false),
            refuse_audiences: AtomicBool::new(false),
            state: Mutex::default(),
        }))
    }

    /// The API of a module instance on this host.
    pub fn api(&self) -> ModuleApi {
        ModuleApi::new(self.api_box())
    }

    pub(crate) fn api_box(&self) -> HostApiBox {
        HostApi_TO::from_value(self.clone(), TD_Opaque)
    }

    /// Lets time pass, in whole milliseconds, wakes what sleeps, and polls each spawned task once.
    pub fn advance(&self, duration: Duration) {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.0.now_ms.fetch_add(ms, Ordering::SeqCst);
        let sleepers = std::mem::take(&mut self.state().sleepers);
        sleepers.into_iter().for_each(Waker::wake);
        self.run_tasks();
    }

    /// Polls each spawned task once. One that these spawn is polled the next time.
    pub fn run_tasks(&self) {
        // No lock is held while a module's code runs, be it the drop of a task: it may call the host.
        let tasks = std::mem::take(&mut self.state().tasks);
        let mut context = Context::from_waker(Waker::noop());
        let waiting: Vec<_> = tasks
            .into_iter()
            .filter_map(|mut task| {
                Pin::new(&mut task)
                    .poll(&mut context)
                    .is_pending()
                    .then_some(task)
            })
            .collect();
        if self.running().is_ok() {
            self.state().tasks.splice(0..0, waiting);
        }
    }

    /// Ends the spawned tasks; from now on, answers as a host does after the instance's `shutdown`.
    pub fn shut_down(&self) {
        self.0.shut_down.store(true, Ordering::SeqCst);
        let tasks = std::mem::take(&mut self.state().tasks);
        drop(tasks);
    }

    /// From now on, refuses to register audiences.
    pub fn refuse_audiences(&self) {
        self.0.refuse_audiences.store(true, Ordering::SeqCst);
    }

    /// How many audiences are registered and not released.
    pub fn audience_count(&self) -> usize {
        self.state().audiences.len()
    }

    /// How many spawned tasks have not ended.
    pub fn task_count(&self) -> usize {
        self.state().tasks.len()
    }

    /// What was logged through the API. (Records of the `log` macros go to the test's own logger.)
    pub fn log(&self) -> Vec<(log::Level, String)> {
        self.state().log.clone()
    }

    /// A call is running until the guard is dropped.
    pub(super) fn call(&self) -> RunningCall<'_> {
        self.state().calls += 1;
        RunningCall(self)
    }

    #[cfg(test)]
    pub(crate) fn handle_count(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    pub(super) fn audience(&self, handle: u64) -> Option<Vec<String>> {
        self.state().audiences.get(&handle).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<(), Failure> {
        if self.0.shut_down.load(Ordering::SeqCst) {
            Err(Failure::shut_down())
        } else {
            Ok(())
        }
    }
}

/// While it lives, released audiences are kept.
pub(super) struct RunningCall<'a>(&'a FakeHost);

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.calls -= 1;
        if state.calls == 0 {
            for handle in std::mem::take(&mut state.released_during_calls) {
                state.audiences.remove(&handle);
            }
        }
    }
}

impl HostApi for FakeHost {
    fn log(&self, level: LogLevel, _target: RStr<'_>, message: RStr<'_>) {
        let level = log::Level::iter()
            .nth(usize::from(level).saturating_sub(1))
            .unwrap_or(log::Level::Trace);
        self.state().log.push((level, message.to_string()));
    }

    fn max_log_level(&self) -> LogLevel {
        log::LevelFilter::Trace as LogLevel
    }

    fn server_name(&self) -> RStr<'_> {
        RStr::from(self.0.server_name.as_str())
    }

    fn is_mine(&self, id: RStr<'_>) -> bool {
        let id = id.as_str();
        id.split_once(':')
            .filter(|_| id.starts_with('@'))
            .map_or(id, |(_, server)| server)
            == self.0.server_name
    }

    fn get_qualified_user_id(&self, localpart: RStr<'_>) -> RResult<RString, Failure> {
        let id = match localpart.as_str() {
            id if id.starts_with('@') => id.to_owned(),
            localpart => format!("@{localpart}:{}", self.0.server_name),
        };
        UserId::parse(&id)
            .map(|_| RString::from(id))
            .map_err(|error| Failure::error(error.to_string()))
            .into()
    }

    fn register_audience(&self, users: RVec<RString>) -> RResult<u64, Failure> {
        if let Err(failure) = self.running() {
            return RResult::RErr(failure);
        }
        if self.0.refuse_audiences.load(Ordering::SeqCst) {
            return RResult::RErr(Failure::error("the test refuses audiences"));
        }
        let handle = NEXT_AUDIENCE.fetch_add(1, Ordering::Relaxed);
        let users = users.into_iter().map(RString::into_string).collect();
        self.state().audiences.insert(handle, users);
        RResult::ROk(handle)
    }

    fn release_audience(&self, audience: u64) {
        let mut state = self.state();
        if state.calls > 0 {
            state.released_during_calls.push(audience);
        } else {
            state.audiences.remove(&audience);
        }
    }

    fn now_ms(&self) -> u64 {
        self.0.now_ms.load(Ordering::SeqCst)
    }

    fn sleep(&self, ms: u64) -> FfiFuture<()> {
        let host = self.clone();
        let until = self.now_ms().saturating_add(ms);
        poll_fn(move |context| {
            if host.now_ms() >= until {
                return Poll::Ready(());
            }
            host.state().sleepers.push(context.waker().clone());
            Poll::Pending
        })
        .into_ffi()
    }

    fn spawn(&self, task: FfiFuture<()>) -> RResult<(), Failure> {
        let running = self.running();
        if running.is_ok() {
            self.state().tasks.push(task);
        }
        running.into()
    }
}

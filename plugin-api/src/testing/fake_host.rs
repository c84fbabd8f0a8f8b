//! A host that keeps what a module asks of it where a test can look, with a clock that a test drives. This file has the
//! clock, the tasks and the audiences; what a module is answered is in the files below.

mod host_api;
mod http;
mod metrics;
mod presence;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use async_ffi::FfiFuture;

pub use self::http::SentRequest;
pub use self::metrics::Recorded;
use crate::abi::failure::Failure;
use crate::abi::host::{HostApi_TO, HostApiBox};
use crate::error::ApiError;
use crate::module_api::ModuleApi;

/// A host for tests. Clones are the same host.
///
/// Its clock stands still until [`advance`](Self::advance). It has no threads: spawned tasks run in `advance` and
/// [`run_tasks`](Self::run_tasks). Like a real host it keeps an audience that is released during a call until the
/// call's end. What a real host would have to wait for is answered at once.
///
/// | a module uses | a test prepares | a test looks at |
/// |---|---|---|
/// | presence | [`set_state`](Self::set_state) | [`state_of`](Self::state_of), [`presence_set`](Self::presence_set), [`snapshots_asked`](Self::snapshots_asked) |
/// | rooms | [`set_room`](Self::set_room) | |
/// | HTTP | [`answer_http`](Self::answer_http), [`fail_http`](Self::fail_http) | [`http_requests`](Self::http_requests) |
/// | storage | [`store`](Self::store) | [`stored`](Self::stored) |
/// | metrics | | [`metric`](Self::metric) |
/// | audiences, tasks, log | | [`audience_count`](Self::audience_count), [`task_count`](Self::task_count), [`log`](Self::log) |
///
/// [`refuse`](Self::refuse) makes any of them fail.
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
    worker_name: OnceLock<String>,
    now_ms: AtomicU64,
    shut_down: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    refused: BTreeMap<Service, ApiError>,
    presence: presence::Presence,
    rooms: presence::Rooms,
    http: http::Script,
    storage: BTreeMap<String, Vec<u8>>,
    metrics: metrics::Metrics,
    audiences: BTreeMap<u64, Vec<String>>,
    calls: usize,
    released_during_calls: Vec<u64>,
    tasks: Vec<FfiFuture<()>>,
    sleepers: Vec<Waker>,
    log: Vec<(log::Level, String)>,
}

/// What a fake host can be told to refuse: [`FakeHost::refuse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Service {
    /// [`ModuleApi::register_audience`].
    Audiences,
    /// [`ModuleApi::spawn`], and what is made of it.
    Tasks,
    /// Reading, setting and sending presence.
    Presence,
    /// Who is in which room.
    Rooms,
    /// All requests over HTTP, before the script of answers is looked at.
    Http,
    /// [`ModuleApi::storage`].
    Storage,
    /// Making metrics. Recording goes on.
    Metrics,
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
            worker_name: OnceLock::new(),
            now_ms: AtomicU64::new(Self::START_MS),
            shut_down: AtomicBool::new(false),
            state: Mutex::default(),
        }))
    }

    /// The same host as a worker of this name. To be called before the module is; a second name is ignored.
    #[must_use]
    pub fn as_worker(self, name: impl Into<String>) -> Self {
        self.0.worker_name.get_or_init(|| name.into());
        self
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

    /// Runs a future to its end, such as one of the API's, and lets time pass where it waits: a second at a time, and
    /// for an hour at most.
    ///
    /// ```
    /// use presence_router_api::testing::FakeHost;
    ///
    /// let host = FakeHost::new("example.org");
    /// let storage = host.api().storage();
    /// host.block_on(storage.put("cursor", "7"))?;
    /// assert_eq!(host.block_on(storage.get("cursor"))?, Some(b"7".to_vec()));
    /// # Ok::<(), presence_router_api::ApiError>(())
    /// ```
    ///
    /// # Panics
    /// When it has not ended by then.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3600 {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            self.advance(Duration::from_secs(1));
        }
        panic!("the future did not end within an hour of the fake clock");
    }

    /// Ends the spawned tasks; from now on, answers as a host does after the instance's `shutdown`.
    pub fn shut_down(&self) {
        self.0.shut_down.store(true, Ordering::SeqCst);
        let tasks = std::mem::take(&mut self.state().tasks);
        drop(tasks);
    }

    /// From now on, answers so whenever the module uses this, until [`serve`](Self::serve). To see what a module makes of a
    /// host that is older than a method, refuse with [`ApiError::TooOld`].
    ///
    /// ```
    /// use presence_router_api::ApiError;
    /// use presence_router_api::testing::{FakeHost, Service};
    ///
    /// let host = FakeHost::new("example.org");
    /// host.refuse(Service::Tasks, ApiError::Refused("no threads".to_owned()));
    /// assert!(host.api().spawn(async {}).is_err());
    /// host.serve(Service::Tasks);
    /// assert!(host.api().spawn(async {}).is_ok());
    /// ```
    pub fn refuse(&self, service: Service, error: ApiError) {
        self.state().refused.insert(service, error);
    }

    /// Ends what [`refuse`](Self::refuse) began.
    pub fn serve(&self, service: Service) {
        self.state().refused.remove(&service);
    }

    /// From now on, refuses to register audiences.
    pub fn refuse_audiences(&self) {
        self.refuse(
            Service::Audiences,
            ApiError::Refused("the test refuses audiences".to_owned()),
        );
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

    fn serving(&self, service: Service) -> Result<(), Failure> {
        self.running()?;
        match self.state().refused.get(&service) {
            Some(error) => Err(error.clone().into()),
            None => Ok(()),
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

//! The host's side of `ModuleApi`: what one module instance may ask, and what it is answered.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use abi_stable::std_types::{ROption, RResult, RStr, RString, RVec};
use async_ffi::{FfiFuture, FutureExt};
use presence_router_api::abi::Failure;
use presence_router_api::abi::bounds::{check_key, check_scan, check_users, check_value};
use presence_router_api::abi::host::{Answer, HostApi, LogLevel};
use presence_router_api::abi::requests::{
    HttpAnswer, HttpCall, Metric, MetricAction, PresenceSetting, StoredValue,
};
use presence_router_api::{InvalidUserId, PresenceUpdate, UserId, UserPresenceState};
use tokio::runtime::Handle;
use tracing::Level;
use tracing::level_filters::LevelFilter;

use crate::clock::Clock;
use crate::config::Outgoing;
use crate::modules::audience::Audiences;
use crate::modules::crashes::Crashes;
use crate::modules::http_client::HttpClient;
use crate::modules::limits::CrashBudget;
use crate::modules::quarantine::Quarantine;
use crate::modules::questions::Questions;
use crate::modules::runtime::ModuleRuntime;
use crate::modules::series::AllSeries;
use crate::modules::services::{self, NoServices, Services};
use crate::modules::turns::{CallThread, Queue};

/// What the host is to its modules.
#[derive(Clone)]
pub struct HostFacts {
    /// The homeserver's name.
    pub server_name: Arc<str>,
    /// The clock that `now` reads.
    pub clock: Arc<dyn Clock>,
    /// The host's runtime: its timers are those of `sleep`, and what a module waits for runs on it.
    pub timers: Handle,
    /// What the server offers to its modules.
    pub services: Arc<dyn Services>,
    /// Which addresses modules may call by the host.
    pub http: Arc<Outgoing>,
    /// The name of this worker; nothing where the server is one process.
    pub worker_name: Option<Arc<str>>,
}

impl HostFacts {
    /// A host without a server: what only that could answer is unavailable. Of HTTP, modules may call the public addresses.
    pub fn without_services(server_name: &str, clock: Arc<dyn Clock>, timers: Handle) -> Self {
        Self {
            server_name: Arc::from(server_name),
            clock,
            timers,
            services: Arc::new(NoServices),
            http: Arc::default(),
            worker_name: None,
        }
    }
}

/// What a module instance and its host share.
pub(super) struct Shared {
    pub(super) module: Arc<str>,
    pub(super) facts: HostFacts,
    pub(super) audiences: Audiences,
    pub(super) runtime: ModuleRuntime,
    pub(super) quarantine: Quarantine,
    pub(super) queue: Arc<Queue>,
    pub(super) crashes: Crashes,
    pub(super) questions: Questions,
    http: Arc<HttpClient>,
    series: AllSeries,
}

impl Shared {
    /// `module` is the name of the instance.
    pub(super) fn new(
        module: Arc<str>,
        facts: HostFacts,
        runtime: ModuleRuntime,
        crash_budget: Option<CrashBudget>,
    ) -> Self {
        Self {
            audiences: Audiences::default(),
            runtime,
            quarantine: Quarantine::default(),
            queue: Arc::default(),
            crashes: Crashes::new(crash_budget),
            questions: Questions::new(facts.timers.clone()),
            http: Arc::new(HttpClient::new(Arc::clone(&facts.http))),
            series: AllSeries::of(Arc::clone(&module)),
            module,
            facts,
        }
    }

    /// A call panicked, or overran.
    pub(super) fn crashed(&self) {
        if let Some(CrashBudget { crashes, within }) = self.crashes.count() {
            let module = &*self.module;
            tracing::error!(
                module,
                "has crashed {crashes} times within {} s, and is off: see to it, then run `presence-router modules \
                 reload {module}`, or `rollback` in the place of `reload`",
                within.as_secs()
            );
        }
    }

    /// A call blocks the thread of calls: the module gets another, if one can be started.
    pub(super) fn leave_behind(&self, thread: &CallThread) {
        match self.runtime.replace(thread) {
            Ok(false) => {}
            Ok(true) => tracing::warn!(module = &*self.module, "blocks its thread, which is left behind"),
            Err(error) => {
                tracing::error!(module = &*self.module, %error, "no thread can be started for the module");
            }
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
            .questions
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
        let spawned = self
            .0
            .questions
            .running()
            .and_then(|()| match self.0.runtime.spawn(task) {
                Ok(true) => Ok(()),
                Ok(false) => Err(Failure::shut_down()),
                Err(error) => Err(Failure::error(format!(
                    "no thread can be started for the task: {error}"
                ))),
            });
        spawned.into()
    }

    fn worker_name(&self) -> ROption<RStr<'_>> {
        ROption::from(self.0.facts.worker_name.as_deref().map(RStr::from))
    }

    fn send_local_online_presence_to(&self, users: RVec<RString>) -> Answer<()> {
        self.ask(
            parse_users(users),
            |services, users| services.send_local_online_presence_to(users),
            |()| (),
        )
    }

    fn set_presence_for_users(&self, updates: RVec<PresenceSetting>) -> Answer<()> {
        self.ask(
            check_users(updates.len()).and_then(|()| parse_all(updates, PresenceUpdate::try_from)),
            |services, updates| services.set_presence_for_users(updates),
            |()| (),
        )
    }

    fn current_state_for_users(&self, users: RVec<RString>) -> Answer<RVec<UserPresenceState>> {
        self.ask(
            parse_users(users),
            |services, users| services.current_state_for_users(users),
            RVec::from,
        )
    }

    fn get_users_in_room(&self, room_id: RString) -> Answer<RVec<RString>> {
        self.ask(
            Ok(room_id.into_string()),
            |services, room_id| services.users_in_room(room_id),
            |users| users.iter().map(|user| RString::from(user.as_str())).collect(),
        )
    }

    fn get_rooms_for_user(&self, user_id: RString) -> Answer<RVec<RString>> {
        let user_id = UserId::try_from(user_id.into_string());
        self.ask(
            user_id.map_err(|error| Failure::error(error.to_string())),
            |services, user_id| services.rooms_for_user(user_id),
            texts,
        )
    }

    fn get_current_hosts_in_room(&self, room_id: RString) -> Answer<RVec<RString>> {
        self.ask(
            Ok(room_id.into_string()),
            |services, room_id| services.hosts_in_room(room_id),
            texts,
        )
    }

    fn http(&self, call: HttpCall) -> Answer<HttpAnswer> {
        let http = Arc::clone(&self.0.http);
        self.0
            .questions
            .ask_while_wanted(async move { http.call(call).await })
    }

    fn storage_get(&self, key: RString) -> Answer<ROption<RVec<u8>>> {
        let module = self.module();
        self.ask(
            check_key(&key).map(|()| key.into_string()),
            |services, key| services.get(module, key),
            |value| ROption::from(value.map(RVec::from)),
        )
    }

    fn storage_put(&self, key: RString, value: RVec<u8>) -> Answer<()> {
        let module = self.module();
        let checked = check_key(&key).and_then(|()| check_value(&value));
        self.ask(
            checked.map(|()| (key.into_string(), value.into_vec())),
            |services, (key, value)| services.put(module, key, value),
            |()| (),
        )
    }

    fn storage_delete(&self, key: RString) -> Answer<bool> {
        let module = self.module();
        self.ask(
            check_key(&key).map(|()| key.into_string()),
            |services, key| services.delete(module, key),
            |was_there| was_there,
        )
    }

    fn storage_scan(
        &self,
        prefix: RString,
        after: ROption<RString>,
        limit: u32,
    ) -> Answer<RVec<StoredValue>> {
        let module = self.module();
        let after = after.into_option().map(RString::into_string);
        self.ask(
            check_scan(&prefix, after.as_deref(), limit).map(|()| (prefix.into_string(), after)),
            move |services, (prefix, after)| services.scan(module, prefix, after, limit),
            |pairs| {
                let pairs = pairs.into_iter();
                pairs
                    .map(|(key, value)| StoredValue {
                        key: RString::from(key),
                        value: RVec::from(value),
                    })
                    .collect()
            },
        )
    }

    fn register_metric(&self, metric: Metric) -> RResult<u64, Failure> {
        let running = self.0.questions.running();
        running.and_then(|()| self.0.series.register(metric)).into()
    }

    fn record_metric(&self, metric: u64, action: MetricAction, value: f64) {
        if self.0.questions.running().is_ok() {
            self.0.series.record(metric, action, value);
        }
    }

    #[cfg(feature = "growth-probe")]
    fn growth_probe(&self) -> u32 {
        1
    }
}

impl InstanceApi {
    fn module(&self) -> Arc<str> {
        Arc::clone(&self.0.module)
    }

    /// Puts a question to the server, and its answer into the form in which it crosses.
    fn ask<I, T, C>(
        &self,
        input: Result<I, Failure>,
        question: impl FnOnce(&dyn Services, I) -> services::Answer<T> + Send + 'static,
        crossing: impl FnOnce(T) -> C + Send + 'static,
    ) -> Answer<C>
    where
        I: Send + 'static,
        T: Send + 'static,
        C: Send + 'static,
    {
        let services = Arc::clone(&self.0.facts.services);
        self.0.questions.ask(input.map(|input| async move {
            let answer = question(&*services, input).await?;
            Ok(crossing(answer))
        }))
    }
}

fn parse_users(users: RVec<RString>) -> Result<Vec<UserId>, Failure> {
    check_users(users.len())?;
    parse_all(users, |user| UserId::try_from(user.into_string()))
}

fn parse_all<T, P>(
    entries: RVec<T>,
    parse: impl Fn(T) -> Result<P, InvalidUserId>,
) -> Result<Vec<P>, Failure> {
    let parsed = entries.into_iter().enumerate();
    parsed
        .map(|(index, entry)| {
            parse(entry).map_err(|error| Failure::error(format!("user {index} of the list: {error}")))
        })
        .collect()
}

fn texts(texts: Vec<String>) -> RVec<RString> {
    texts.into_iter().map(RString::from).collect()
}

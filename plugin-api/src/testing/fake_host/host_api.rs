//! What the fake host answers a module.

use std::future::{poll_fn, ready};
use std::sync::atomic::Ordering;
use std::task::Poll;

use abi_stable::std_types::{ROption, RResult, RStr, RString, RVec};
use async_ffi::{FfiFuture, FutureExt};

use super::{FakeHost, NEXT_AUDIENCE, Service};
use crate::abi::failure::Failure;
use crate::abi::host::{Answer, HostApi, LogLevel};
use crate::abi::requests::{HttpAnswer, HttpCall, Metric, MetricAction, PresenceSetting, StoredValue};
use crate::abi::state::UserPresenceState;
use crate::user_id::UserId;

/// The answer is there at once.
fn at_once<T: Send + 'static>(answer: Result<T, Failure>) -> Answer<T> {
    ready(RResult::from(answer)).into_ffi()
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
        if let Err(failure) = self.serving(Service::Audiences) {
            return RResult::RErr(failure);
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
        let serving = self.serving(Service::Tasks);
        if serving.is_ok() {
            self.state().tasks.push(task);
        }
        serving.into()
    }

    fn worker_name(&self) -> ROption<RStr<'_>> {
        match self.0.worker_name.get() {
            Some(name) => ROption::RSome(RStr::from(name.as_str())),
            None => ROption::RNone,
        }
    }

    fn send_local_online_presence_to(&self, users: RVec<RString>) -> Answer<()> {
        at_once(self.send_snapshots(users))
    }

    fn set_presence_for_users(&self, updates: RVec<PresenceSetting>) -> Answer<()> {
        at_once(self.set_presence(updates))
    }

    fn current_state_for_users(&self, users: RVec<RString>) -> Answer<RVec<UserPresenceState>> {
        at_once(self.current_states(&users))
    }

    fn get_users_in_room(&self, room_id: RString) -> Answer<RVec<RString>> {
        at_once(self.users_in(&room_id))
    }

    fn get_rooms_for_user(&self, user_id: RString) -> Answer<RVec<RString>> {
        at_once(self.rooms_of(&user_id))
    }

    fn get_current_hosts_in_room(&self, room_id: RString) -> Answer<RVec<RString>> {
        at_once(self.hosts_in(&room_id))
    }

    fn http(&self, call: HttpCall) -> Answer<HttpAnswer> {
        at_once(self.answer(call))
    }

    fn storage_get(&self, key: RString) -> Answer<ROption<RVec<u8>>> {
        at_once(self.get(&key))
    }

    fn storage_put(&self, key: RString, value: RVec<u8>) -> Answer<()> {
        at_once(self.put(key, value))
    }

    fn storage_delete(&self, key: RString) -> Answer<bool> {
        at_once(self.delete(&key))
    }

    fn storage_scan(
        &self,
        prefix: RString,
        after: ROption<RString>,
        limit: u32,
    ) -> Answer<RVec<StoredValue>> {
        at_once(self.scan(&prefix, after.as_ref().map(RString::as_str).into_option(), limit))
    }

    fn register_metric(&self, metric: Metric) -> RResult<u64, Failure> {
        self.register(metric).into()
    }

    fn record_metric(&self, metric: u64, action: MetricAction, value: f64) {
        if self.running().is_ok() {
            self.state().metrics.record(metric, action, value);
        }
    }
}

//! Hosts that do not do what they are asked: one that has shut the instance down, one that is older than the methods.

use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RResult, RStr, RString, RVec};
use async_ffi::FfiFuture;

use super::{SERVER, user};
use crate::abi::failure::Failure;
use crate::abi::host::{HostApi, HostApi_TO, LogLevel};
use crate::testing::FakeHost;
use crate::{ApiError, HttpError, ModuleApi};

fn ask_everything(host: &FakeHost, api: &ModuleApi) -> Vec<ApiError> {
    let (storage, id) = (api.storage(), user("a"));
    let mut errors = Vec::new();
    errors.extend(host.block_on(api.send_local_online_presence_to([])).err());
    errors.extend(host.block_on(api.set_presence_for_users([])).err());
    errors.extend(host.block_on(api.current_state_for_users([])).err());
    errors.extend(host.block_on(api.get_users_in_room("!a:x")).err());
    errors.extend(host.block_on(api.get_rooms_for_user(&id)).err());
    errors.extend(host.block_on(api.get_current_hosts_in_room("!a:x")).err());
    errors.extend(host.block_on(storage.get("a")).err());
    errors.extend(host.block_on(storage.put("a", "b")).err());
    errors.extend(host.block_on(storage.delete("a")).err());
    errors.extend(host.block_on(storage.scan("", None, 1)).err());
    errors.extend(api.counter("a", "").err());
    errors.extend(api.gauge("b", "").err());
    errors.extend(api.histogram("c", "").err());
    errors
}

#[test]
fn after_shutdown_nothing_is_done_any_more() {
    let host = FakeHost::new(SERVER);
    assert_eq!(ask_everything(&host, &host.api()), []);
    host.shut_down();
    assert_eq!(ask_everything(&host, &host.api()), vec![ApiError::ShutDown; 13]);
    let request = host.api().http().get("https://x").send();
    assert_eq!(host.block_on(request), Err(HttpError::ShutDown));
    let api = host.api();
    let second = Duration::from_secs(1);
    assert_eq!(
        api.looping_background_call(second, || async {}),
        Err(ApiError::ShutDown)
    );
    assert_eq!(
        api.delayed_background_call(second, || async {}),
        Err(ApiError::ShutDown)
    );
}

/// A host of version 0.1.0: it has the methods that every version has.
struct OldHost;

impl HostApi for OldHost {
    fn log(&self, _: LogLevel, _: RStr<'_>, _: RStr<'_>) {}

    fn max_log_level(&self) -> LogLevel {
        0
    }

    fn server_name(&self) -> RStr<'_> {
        RStr::from(SERVER)
    }

    fn is_mine(&self, _: RStr<'_>) -> bool {
        true
    }

    fn get_qualified_user_id(&self, localpart: RStr<'_>) -> RResult<RString, Failure> {
        RResult::ROk(localpart.into())
    }

    fn register_audience(&self, _: RVec<RString>) -> RResult<u64, Failure> {
        RResult::ROk(1)
    }

    fn release_audience(&self, _: u64) {}

    fn now_ms(&self) -> u64 {
        0
    }

    fn sleep(&self, _: u64) -> FfiFuture<()> {
        FfiFuture::new(std::future::pending())
    }

    fn spawn(&self, _: FfiFuture<()>) -> RResult<(), Failure> {
        RResult::ROk(())
    }
}

#[test]
fn a_host_that_is_too_old_for_a_method_says_which() {
    let api = ModuleApi::new(HostApi_TO::from_value(OldHost, TD_Opaque));
    assert_eq!(api.worker_name(), None);
    let host = FakeHost::new(SERVER);
    let named: Vec<String> = ask_everything(&host, &api)
        .into_iter()
        .map(|error| match error {
            ApiError::TooOld(text) => text.split('`').nth(1).unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    let metrics = "counter, gauge and histogram";
    assert_eq!(
        named,
        [
            "send_local_online_presence_to",
            "set_presence_for_users",
            "current_state_for_users",
            "get_users_in_room",
            "get_rooms_for_user",
            "get_current_hosts_in_room",
            "storage",
            "storage",
            "storage",
            "storage",
            metrics,
            metrics,
            metrics,
        ]
    );
    let request = host.block_on(api.http().get("https://x").send());
    assert!(matches!(request, Err(HttpError::TooOld(text)) if text.contains("`http`")));
}

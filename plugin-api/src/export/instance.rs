//! Puts an author's `PresenceRouter` behind the vtable that crosses.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use abi_stable::DynTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RBox, ROption, RResult, RStr, RString};
use async_ffi::FutureExt;

use super::guard::{GuardedFuture, guard, guarded_drop};
use crate::abi::failure::Failure;
use crate::abi::host::HostApiBox;
use crate::abi::module::ConfigBox;
use crate::abi::router::{
    InterestedAnswer, Reply, Router, Router_TO, RouterBox, RoutesAnswer, SharedRoomPresence, StateBatch,
};
use crate::config::ConfigValue;
use crate::module_api::ModuleApi;
use crate::router::{InterestedUsers, PresenceRouter};
use crate::updates::StateUpdates;
use crate::user_id::UserId;

/// One router of a library: its name, and its two entry points.
#[derive(Clone, Copy)]
pub struct RouterEntry {
    /// The name that picks it, the `RouterName` of `module: library.RouterName`.
    pub name: &'static str,
    /// See [`crate::abi::RouterModule::parse_config`].
    pub parse_config: fn(&str) -> Result<ConfigBox, Failure>,
    /// See [`crate::abi::RouterModule::new`].
    pub new: fn(ConfigBox, HostApiBox) -> Result<RouterBox, Failure>,
}

impl RouterEntry {
    /// The entry of `R` under a name.
    pub const fn of<R: PresenceRouter>(name: &'static str) -> Self {
        Self {
            name,
            parse_config: parse_config::<R>,
            new: new::<R>,
        }
    }
}

/// An author's value whose drop is guarded.
struct Guarded<T> {
    what: &'static str,
    api: Option<ModuleApi>,
    value: Option<T>,
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            guarded_drop(self.what, self.api.as_ref(), value);
        }
    }
}

fn parse_config<R: PresenceRouter>(json: &str) -> Result<ConfigBox, Failure> {
    let config = guard("parse_config", None, || {
        R::parse_config(ConfigValue::from_json(json)?)
    })??;
    let config = Guarded {
        what: "the drop of the config",
        api: None,
        value: Some(config),
    };
    Ok(DynTrait::from_value(config))
}

fn new<R: PresenceRouter>(config: ConfigBox, api: HostApiBox) -> Result<RouterBox, Failure> {
    let config: RBox<Guarded<R::Config>> = config
        .downcast_into()
        .map_err(|_| Failure::error("the config was parsed by another router or another library"))?;
    let config = RBox::into_inner(config)
        .value
        .take()
        .expect("a config is taken once, here");
    let api = ModuleApi::new(api);
    super::library::adopt(&api);
    let router = guard("new", Some(&api), || R::new(config, api.clone()))?
        .map_err(|error| Failure::error(error.message()))?;
    let router = Guarded {
        what: "the drop of the router",
        api: Some(api),
        value: Some(router),
    };
    Ok(Router_TO::from_value(Instance(Arc::new(router)), TD_Opaque))
}

struct Instance<R>(Arc<Guarded<R>>);

impl<R: PresenceRouter> Instance<R> {
    fn api(&self) -> ModuleApi {
        self.0
            .api
            .clone()
            .expect("an instance is made with its API, in new")
    }

    /// Answers at once when the method ends at its first poll, else with a future.
    fn answer<T, F>(
        &self,
        method: &'static str,
        call: impl FnOnce(Arc<Guarded<R>>) -> F,
    ) -> Reply<RResult<T, Failure>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let future = call(Arc::clone(&self.0));
        let mut answer = Answer(GuardedFuture::new(method, self.api(), future));
        match Pin::new(&mut answer).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Reply::Ready(answer),
            Poll::Pending => Reply::Pending(answer.into_ffi()),
        }
    }
}

/// The future of a method, in the form in which its outcome crosses.
struct Answer<F>(GuardedFuture<F>);

impl<T, F: Future<Output = Result<T, Failure>>> Future for Answer<F> {
    type Output = RResult<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|answer| answer.and_then(|answer| answer).into())
    }
}

fn router_of<R>(instance: &Guarded<R>) -> &R {
    instance
        .value
        .as_ref()
        .expect("the router is taken by its drop alone")
}

impl<R: PresenceRouter> Router for Instance<R> {
    fn get_users_for_states(
        &self,
        batch: &StateBatch,
        only_for: ROption<RStr<'_>>,
    ) -> Reply<RResult<RoutesAnswer, Failure>> {
        let batch = batch.clone();
        let only_for = only_for.map(RString::from).into_option();
        self.answer("get_users_for_states", move |instance| async move {
            let only_for = only_for
                .map(UserId::parse)
                .transpose()
                .map_err(|e| Failure::error(e.to_string()))?;
            let updates = StateUpdates::new(batch, only_for);
            let routes = router_of(&instance).get_users_for_states(&updates).await;
            match routes {
                Ok(routes) => Ok(routes.into_answer(updates.batch())),
                Err(error) => Err(Failure::error(error.message())),
            }
        })
    }

    fn get_interested_users(&self, user_id: RStr<'_>) -> Reply<RResult<InterestedAnswer, Failure>> {
        let user_id = UserId::parse(user_id.as_str());
        self.answer("get_interested_users", move |instance| async move {
            let user_id = user_id.map_err(|error| Failure::error(error.to_string()))?;
            match router_of(&instance).get_interested_users(&user_id).await {
                Ok(InterestedUsers::All) => Ok(InterestedAnswer::All),
                Ok(InterestedUsers::Users(users)) => Ok(InterestedAnswer::Users(
                    users.iter().map(|user| RString::from(user.as_str())).collect(),
                )),
                Err(error) => Err(Failure::error(error.message())),
            }
        })
    }

    fn shared_room_presence(&self) -> RResult<SharedRoomPresence, Failure> {
        guard("shared_room_presence", Some(&self.api()), || {
            router_of(&self.0).shared_room_presence()
        })
        .into()
    }

    fn shutdown(&self) -> Reply<RResult<(), Failure>> {
        self.answer("shutdown", |instance| async move {
            router_of(&instance).shutdown().await;
            Ok(())
        })
    }

    #[cfg(feature = "growth-probe")]
    fn growth_probe(&self) -> u32 {
        1
    }
}

//! Calls that come back by themselves: after a while, or again and again.

use std::future::Future;
use std::time::Duration;

use super::ModuleApi;
use crate::error::ApiError;
use crate::export::guard::GuardedFuture;

impl ModuleApi {
    /// Calls `call` again and again, in the background, until the instance is shut down. As in Synapse's
    /// `looping_background_call`.
    ///
    /// The first turn begins after `every`, and each later one `every` after the last one began, or at once when that took
    /// longer: turns never overlap. A panic in a turn is logged, and the next turn comes all the same. For what may
    /// run at once, call it yourself before. See [`spawn`](Self::spawn) on where it runs.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, ModuleApi};
    /// use std::time::Duration;
    ///
    /// fn start(api: &ModuleApi) -> Result<(), ApiError> {
    ///     let clock = api.clone();
    ///     api.looping_background_call(Duration::from_secs(60), move || {
    ///         let clock = clock.clone();
    ///         async move { log::info!("it is {}", clock.now()) }
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::Refused`] when `every` is below a millisecond, and the errors of [`spawn`](Self::spawn).
    pub fn looping_background_call<F>(
        &self,
        every: Duration,
        mut call: impl FnMut() -> F + Send + 'static,
    ) -> Result<(), ApiError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if every < Duration::from_millis(1) {
            return Err(ApiError::Refused(
                "a background call every 0 ms would never end; give at least 1 ms".to_owned(),
            ));
        }
        let api = self.clone();
        let mut next = self.sleep(every);
        self.spawn(async move {
            loop {
                next.await;
                next = api.sleep(every);
                // The call itself may panic, too, not only the future that it makes.
                let turn =
                    GuardedFuture::new("a looping background call", api.clone(), async { call().await });
                if let Err(failure) = turn.await {
                    api.log(log::Level::Error, module_path!(), &failure.message);
                }
            }
        })
    }

    /// Calls `call` once, in the background, when `after` has passed; not if the instance is shut down before. As in
    /// Synapse's `delayed_background_call`.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, ModuleApi};
    /// use std::time::Duration;
    ///
    /// fn remind(api: &ModuleApi, text: String) -> Result<(), ApiError> {
    ///     api.delayed_background_call(Duration::from_secs(300), || async move { log::info!("{text}") })
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn).
    pub fn delayed_background_call<F>(
        &self,
        after: Duration,
        call: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(), ApiError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let wait = self.sleep(after);
        self.spawn(async move {
            wait.await;
            call().await;
        })
    }
}

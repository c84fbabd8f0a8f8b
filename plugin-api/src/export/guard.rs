//! Catches panics before they reach the boundary, where they would end the process.
//!
//! Every entry into a module, every poll of its futures, and every drop of what it owns runs inside
//! [`guard`]. A panic hook notes where the panic happened; it is installed by [`super::library`],
//! so only where the module is a library of its own.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use crate::abi::failure::Failure;
use crate::module_api::ModuleApi;

thread_local! {
    /// How many guards are active on this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Where the last panic on this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// The instance whose code runs on this thread.
    static CURRENT: RefCell<Option<ModuleApi>> = const { RefCell::new(None) };
}

/// Runs `body`, which may be an author's code; a panic in it becomes a failure that names `method`.
pub(crate) fn guard<T>(
    method: &'static str,
    api: Option<&ModuleApi>,
    body: impl FnOnce() -> T,
) -> Result<T, Failure> {
    let _scope = Scope::enter(api);
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let place = PLACE
            .with_borrow_mut(Option::take)
            .map(|place| format!(" at {place}"))
            .unwrap_or_default();
        let text = payload_text(payload.as_ref());
        dispose(payload);
        Failure::panic(format!("panicked in {method}{place}: {text}"))
    })
}

/// Drops an author's value; a panic in its drop is logged.
pub(crate) fn guarded_drop<T>(what: &'static str, api: Option<&ModuleApi>, value: T) {
    if let Err(failure) = guard(what, api, || drop(value)) {
        if let Some(api) = api {
            api.log(log::Level::Error, module_path!(), &failure.message);
        }
    }
}

/// The instance whose code runs on this thread, if any does.
pub(crate) fn current() -> Option<ModuleApi> {
    CURRENT
        .try_with(|current| current.try_borrow().ok().and_then(|api| api.clone()))
        .ok()
        .flatten()
}

struct Scope {
    outer: Option<ModuleApi>,
}

impl Scope {
    fn enter(api: Option<&ModuleApi>) -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self {
            outer: CURRENT.replace(api.cloned()),
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        CURRENT.set(self.outer.take());
    }
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".to_owned())
}

/// A panic's payload may itself panic when dropped; what that one leaves behind is leaked.
fn dispose(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// Makes panics on guarded threads silent here (the host reports them), and those on the module's own
/// threads a log record.
pub(super) fn install_panic_hook(log: fn(&str)) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        std::panic::set_hook(Box::new(move |info| note_panic(info, log)));
    });
}

fn note_panic(info: &PanicHookInfo<'_>, log: fn(&str)) {
    let place = info.location().map(ToString::to_string);
    if DEPTH.get() > 0 {
        PLACE.set(place);
        return;
    }
    let thread = std::thread::current();
    log(&format!(
        "the module's own thread {:?} panicked at {}: {}",
        thread.name().unwrap_or("<unnamed>"),
        place.as_deref().unwrap_or("an unknown place"),
        payload_text(info.payload())
    ));
}

/// A future of an author, each poll and the drop of which is guarded.
pub(crate) struct GuardedFuture<F> {
    method: &'static str,
    api: ModuleApi,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> GuardedFuture<F> {
    pub(crate) fn new(method: &'static str, api: ModuleApi, future: F) -> Self {
        Self {
            method,
            api,
            future: Some(Box::pin(future)),
        }
    }
}

impl<F: Future> Future for GuardedFuture<F> {
    type Output = Result<F::Output, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(future) = this.future.as_mut() else {
            return Poll::Ready(Err(Failure::error("polled again after its end")));
        };
        let polled = guard(this.method, Some(&this.api), || future.as_mut().poll(cx));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => {
                this.drop_future();
                Poll::Ready(Ok(output))
            }
            Err(failure) => {
                this.drop_future();
                Poll::Ready(Err(failure))
            }
        }
    }
}

impl<F> GuardedFuture<F> {
    fn drop_future(&mut self) {
        if let Some(future) = self.future.take() {
            guarded_drop(drop_of(self.method), Some(&self.api), future);
        }
    }
}

impl<F> Drop for GuardedFuture<F> {
    fn drop(&mut self) {
        self.drop_future();
    }
}

fn drop_of(method: &'static str) -> &'static str {
    match method {
        "get_users_for_states" => "the drop of the future of get_users_for_states",
        "get_interested_users" => "the drop of the future of get_interested_users",
        "shutdown" => "the drop of the future of shutdown",
        _ => "the drop of a spawned task",
    }
}

//! Catches panics before they reach the boundary, where they would end the process.
//!
//! Every entry into a module, every poll of its futures, and every drop of what it owns runs inside
//! [`guard`]. A panic hook notes where the panic happened; it is installed by [`super::library`],
//! so only where the module is a library of its own.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::Display;
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
    /// Where the last panic under the innermost guard of this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// The instance whose code runs on this thread.
    static CURRENT: RefCell<Option<ModuleApi>> = const { RefCell::new(None) };
}

/// Runs `body`, which may be an author's code; a panic in it becomes a failure that says `what` panicked.
///
/// Works while a thread ends, too, when its thread-locals are gone: what it cannot note then it does without.
pub(crate) fn guard<T>(
    what: impl Display,
    api: Option<&ModuleApi>,
    body: impl FnOnce() -> T,
) -> Result<T, Failure> {
    let _scope = Scope::enter(api);
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let place = replace_place(None)
            .map(|place| format!(" at {place}"))
            .unwrap_or_default();
        let text = payload_text(payload.as_ref());
        dispose(payload);
        Failure::panic(format!("panicked in {what}{place}: {text}"))
    })
}

/// Drops an author's value; a panic in its drop is logged, as nobody waits for an answer.
pub(crate) fn guarded_drop<T>(what: impl Display, api: Option<&ModuleApi>, value: T) {
    if let Err(failure) = guard(what, api, || drop(value)) {
        match api {
            Some(api) => api.log(log::Level::Error, module_path!(), &failure.message),
            None => log::error!("{}", failure.message),
        }
    }
}

/// The instance whose code runs on this thread, if any does.
pub(super) fn current() -> Option<ModuleApi> {
    CURRENT
        .try_with(|current| current.try_borrow().ok().and_then(|api| api.clone()))
        .ok()
        .flatten()
}

/// An active guard. Keeps what the guard around it has noted, and puts it back at its end.
struct Scope {
    outer_api: Option<ModuleApi>,
    outer_place: Option<String>,
}

impl Scope {
    fn enter(api: Option<&ModuleApi>) -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self {
            outer_api: replace_current(api.cloned()),
            outer_place: replace_place(None),
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        replace_place(self.outer_place.take());
        // Dropped here, outside the cell: it may be the last handle of the host's side, whose drop does more.
        let inner = replace_current(self.outer_api.take());
        drop(inner);
    }
}

fn replace_current(api: Option<ModuleApi>) -> Option<ModuleApi> {
    CURRENT.try_with(|current| current.replace(api)).ok().flatten()
}

fn replace_place(place: Option<String>) -> Option<String> {
    PLACE.try_with(|noted| noted.replace(place)).ok().flatten()
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
        replace_place(place);
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
            guarded_drop(
                format_args!("the drop of the future of {}", self.method),
                Some(&self.api),
                future,
            );
        }
    }
}

impl<F> Drop for GuardedFuture<F> {
    fn drop(&mut self) {
        self.drop_future();
    }
}

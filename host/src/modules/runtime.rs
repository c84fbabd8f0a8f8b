//! A module's own runtimes: a thread for its calls, another for its background tasks once it has some.
//!
//! A module that blocks the thread of its calls loses that runtime, not the server: a new one takes its
//! place and the blocked thread is left behind. Nothing here waits for a module's thread.

use std::future::Future;
use std::io;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// A runtime that is never waited for, not even when it is dropped.
#[derive(Debug)]
struct Detached(Option<Runtime>);

impl Detached {
    fn start(name: &str) -> io::Result<Self> {
        Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name(name)
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    fn handle(&self) -> &Handle {
        self.0
            .as_ref()
            .expect("the runtime is taken by the drop alone")
            .handle()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The runtimes of one module instance.
#[derive(Debug)]
pub(super) struct ModuleRuntime {
    name: String,
    calls: Mutex<Detached>,
    background: Mutex<Background>,
}

#[derive(Debug)]
enum Background {
    NotStarted,
    Running(Detached),
    Ended,
}

impl ModuleRuntime {
    /// Starts the thread for calls. `name` is shown by `ps -L`, which cuts it at 15 bytes.
    pub(super) fn start(module: &str) -> io::Result<Self> {
        let name = format!("m:{module}");
        let calls = Mutex::new(Detached::start(&name)?);
        Ok(Self {
            name,
            calls,
            background: Mutex::new(Background::NotStarted),
        })
    }

    /// Runs a call.
    pub(super) fn call<F>(&self, call: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.calls.lock().handle().spawn(call)
    }

    /// Leaves the thread of calls behind and starts another.
    pub(super) fn replace(&self) -> io::Result<()> {
        let fresh = Detached::start(&self.name)?;
        *self.calls.lock() = fresh;
        Ok(())
    }

    /// Runs a background task. `false` after [`end_background`](Self::end_background).
    pub(super) fn spawn<F>(&self, task: F) -> io::Result<bool>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut background = self.background.lock();
        if let Background::NotStarted = *background {
            *background = Background::Running(Detached::start(&self.name)?);
        }
        match &*background {
            Background::Running(runtime) => {
                runtime.handle().spawn(task);
                Ok(true)
            }
            Background::NotStarted | Background::Ended => Ok(false),
        }
    }

    /// Ends the background tasks, and lets no more begin.
    pub(super) fn end_background(&self) {
        *self.background.lock() = Background::Ended;
    }
}

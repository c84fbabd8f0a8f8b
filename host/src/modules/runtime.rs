//! A module's own runtimes: a thread for its calls, another for its background tasks once it has some.
//!
//! A module that blocks the thread of its calls loses that runtime, not the server: a new one takes its
//! place and the blocked thread is left behind. Nothing here waits for a module's thread.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::modules::turns::CallThread;

/// A runtime that is never waited for, not even when it is dropped.
#[derive(Debug)]
struct Detached(Option<Runtime>);

impl Detached {
    fn start(name: &str, alive: &Arc<AtomicUsize>) -> io::Result<Self> {
        let (started, stopped) = (Arc::clone(alive), Arc::clone(alive));
        Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name(name)
            .on_thread_start(move || {
                started.fetch_add(1, Ordering::Relaxed);
            })
            .on_thread_stop(move || {
                stopped.fetch_sub(1, Ordering::Relaxed);
            })
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
    calls: Mutex<Calls>,
    /// How many threads for calls there are, those left behind included.
    call_threads: Arc<AtomicUsize>,
    background: Mutex<Background>,
}

#[derive(Debug)]
struct Calls {
    runtime: Detached,
    thread: CallThread,
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
        let (name, call_threads) = (format!("m:{module}"), Arc::default());
        let runtime = Detached::start(&name, &call_threads)?;
        Ok(Self {
            name,
            calls: Mutex::new(Calls {
                runtime,
                thread: CallThread::default(),
            }),
            call_threads,
            background: Mutex::new(Background::NotStarted),
        })
    }

    /// Runs what is neither counted nor bounded: the beginning and the end of the instance.
    pub(super) fn run<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.calls.lock().runtime.handle().spawn(work)
    }

    /// The thread that takes calls at present.
    pub(super) fn thread(&self) -> CallThread {
        self.calls.lock().thread.clone()
    }

    /// Gives a call to a thread. Nothing when the thread has been left behind.
    pub(super) fn call<F>(&self, thread: &CallThread, call: F) -> Option<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let calls = self.calls.lock();
        // Under the lock, by which it would have been replaced.
        (!thread.is_left_behind()).then(|| calls.runtime.handle().spawn(call))
    }

    /// Leaves a thread of calls behind and starts another. `false` when that has been done already: then what blocked
    /// the thread has not touched its successor.
    pub(super) fn replace(&self, blocked: &CallThread) -> io::Result<bool> {
        let mut calls = self.calls.lock();
        if blocked.is_left_behind() {
            return Ok(false);
        }
        let runtime = Detached::start(&self.name, &self.call_threads).inspect_err(|_| blocked.set_stuck())?;
        *calls = Calls {
            runtime,
            thread: CallThread::default(),
        };
        blocked.leave_behind();
        Ok(true)
    }

    /// How many threads of calls were left behind and are blocked still.
    pub(super) fn left_behind(&self) -> usize {
        self.call_threads.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// How many calls have begun and are not over, on the present thread.
    #[cfg(test)]
    pub(super) fn running_calls(&self) -> usize {
        self.calls.lock().runtime.handle().metrics().num_alive_tasks()
    }

    /// Runs a background task. `false` after [`end_background`](Self::end_background).
    pub(super) fn spawn<F>(&self, task: F) -> io::Result<bool>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut background = self.background.lock();
        if let Background::NotStarted = *background {
            *background = Background::Running(Detached::start(&self.name, &Arc::default())?);
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

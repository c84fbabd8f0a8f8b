//! What a module waits for: its questions run on the host's runtime, bounded in number and in time, and are cut off when
//! the instance is shut down. The future that crosses only waits.

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use abi_stable::std_types::RResult;
use async_ffi::FutureExt;
use presence_router_api::abi::host::Answer;
use presence_router_api::abi::{Failure, FailureKind};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How many answers an instance may wait for at once.
pub(super) const MAX_QUESTIONS: usize = 1_024;

/// How long a service of the server may take to answer.
pub(super) const SERVICE_TIMEOUT: Duration = Duration::from_secs(30);

/// The questions of one instance.
#[derive(Debug)]
pub(super) struct Questions {
    runtime: Handle,
    free: Arc<Semaphore>,
    shut_down: CancellationToken,
}

impl Questions {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            free: Arc::new(Semaphore::new(MAX_QUESTIONS)),
            shut_down: CancellationToken::new(),
        }
    }

    /// Cuts off what waits, and lets nothing begin any more.
    pub(super) fn shut_down(&self) {
        self.shut_down.cancel();
    }

    /// Whether the instance runs.
    pub(super) fn running(&self) -> Result<(), Failure> {
        if self.shut_down.is_cancelled() {
            Err(Failure::shut_down())
        } else {
            Ok(())
        }
    }

    /// A question that goes on when the module drops the future: it may have begun to change something.
    pub(super) fn ask<T, W>(&self, work: Result<W, Failure>) -> Answer<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let work = work.map(|work| async move {
            match tokio::time::timeout(SERVICE_TIMEOUT, work).await {
                Ok(answer) => answer,
                Err(_) => Err(Failure::new(
                    FailureKind::TIMED_OUT,
                    format!("the server did not answer within {} s", SERVICE_TIMEOUT.as_secs()),
                )),
            }
        });
        match self.begin(work) {
            Ok(running) => async move { answer(running.await) }.into_ffi(),
            Err(failure) => ready(RResult::RErr(failure)).into_ffi(),
        }
    }

    /// A question that ends with the future, and sees to its own deadline.
    pub(super) fn ask_while_wanted<T, W>(&self, work: W) -> Answer<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        match self.begin(Ok(work)) {
            Ok(running) => {
                let running = AbortOnDropHandle::new(running);
                async move { answer(running.await) }.into_ffi()
            }
            Err(failure) => ready(RResult::RErr(failure)).into_ffi(),
        }
    }

    fn begin<T, W>(&self, work: Result<W, Failure>) -> Result<JoinHandle<Result<T, Failure>>, Failure>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        self.running()?;
        let (work, place) = (work?, self.place()?);
        let shut_down = self.shut_down.clone();
        Ok(self.runtime.spawn(async move {
            let _place = place;
            tokio::select! {
                biased;
                () = shut_down.cancelled() => Err(Failure::shut_down()),
                answer = work => answer,
            }
        }))
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            Failure::new(
                FailureKind::UNAVAILABLE,
                format!(
                    "the module waits for {MAX_QUESTIONS} answers already; await some before asking more"
                ),
            )
        })
    }
}

fn answer<T>(ended: Result<Result<T, Failure>, JoinError>) -> RResult<T, Failure> {
    ended
        .unwrap_or_else(|error| {
            Err(if error.is_panic() {
                Failure::new(
                    FailureKind::UNAVAILABLE,
                    "the server stumbled over the question; its log says where",
                )
            } else {
                // The host's runtime ends.
                Failure::shut_down()
            })
        })
        .into()
}

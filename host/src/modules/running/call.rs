//! A call: who may make it, its turn with the module's thread, its deadline, and what happens when it overruns.

use std::sync::Arc;
use std::time::Duration;

use abi_stable::std_types::RResult;
use parking_lot::Mutex;
use presence_router_api::abi::Failure;
use presence_router_api::abi::router::{Reply, RouterBox};
use tokio::sync::TryAcquireError;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::modules::host_api::Shared;
use crate::modules::running::{CallError, Running};
use crate::modules::turns::{CallThread, MAX_WAIT, Place, Purpose, Turn};

/// How long a call that was told to end may take to do so, before its thread counts as blocked.
pub(super) const ABORT_GRACE: Duration = Duration::from_millis(20);

/// With so many threads blocked, the module is not asked until one of them comes back.
pub(super) const MAX_LEFT_BEHIND: usize = 16;

/// What the thread makes of a call; nothing when the call was withdrawn before it began.
type Ended<T> = Option<Result<T, Failure>>;

impl Running {
    /// Asks the module, in its turn.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        purpose: Purpose,
        call: impl FnOnce(&RouterBox) -> Reply<RResult<T, Failure>> + Send + 'static,
    ) -> Result<T, CallError> {
        self.may_be_asked()?;
        let place = self.shared.queue.enter(purpose).map_err(CallError::Busy)?;
        let waits_until = Instant::now() + MAX_WAIT;
        let thread = self.thread()?;
        let turn = self.turn(&thread, purpose, waits_until).await?;
        let router = self.router.read().clone().ok_or(CallError::ShutDown)?;
        let given = Given {
            place,
            thread,
            turn,
            waits_until,
            timeout: self.call_timeout,
        };
        Call::give(&self.shared, given, router, call)?.answer().await
    }

    fn may_be_asked(&self) -> Result<(), CallError> {
        if self.is_off() {
            return Err(CallError::Off);
        }
        if let Some(rest) = self.quarantined_for() {
            return Err(CallError::Quarantined(rest));
        }
        let left_behind = self.shared.runtime.left_behind();
        if left_behind >= MAX_LEFT_BEHIND {
            return Err(CallError::Blocked(left_behind));
        }
        Ok(())
    }

    /// The thread for the next call. One that is blocked and could not be replaced is, if it can be now.
    fn thread(&self) -> Result<CallThread, CallError> {
        let thread = self.shared.runtime.thread();
        if !thread.is_stuck() {
            return Ok(thread);
        }
        self.shared.leave_behind(&thread);
        let thread = self.shared.runtime.thread();
        if thread.is_stuck() {
            Err(CallError::CutOff)
        } else {
            Ok(thread)
        }
    }

    async fn turn(
        &self,
        thread: &CallThread,
        purpose: Purpose,
        waits_until: Instant,
    ) -> Result<Turn, CallError> {
        match thread.try_turn(purpose) {
            Ok(turn) => return Ok(turn),
            Err(TryAcquireError::Closed) => return Err(CallError::CutOff),
            Err(TryAcquireError::NoPermits) => {}
        }
        let turn = timeout_at(waits_until, thread.turn(purpose))
            .await
            .map_err(|_| CallError::NotReached(MAX_WAIT))?
            .ok_or(CallError::CutOff)?;
        // One that came first may have overrun meanwhile.
        self.may_be_asked()?;
        Ok(turn)
    }
}

/// A call that waits for its thread to begin with it, or runs. When its caller goes away before it has begun, the module is
/// not asked; later, it is watched until its deadline.
struct Call<T: Send + 'static>(Option<(JoinHandle<Ended<T>>, Watch)>);

/// What a call is given with.
struct Given {
    place: Place,
    thread: CallThread,
    turn: Turn,
    /// When it has waited long enough.
    waits_until: Instant,
    /// How long it may run.
    timeout: Duration,
}

impl<T: Send + 'static> Call<T> {
    /// Gives a call to the thread.
    fn give(
        shared: &Arc<Shared>,
        given: Given,
        router: Arc<RouterBox>,
        call: impl FnOnce(&RouterBox) -> Reply<RResult<T, Failure>> + Send + 'static,
    ) -> Result<Self, CallError> {
        let Given {
            place,
            thread,
            turn,
            waits_until,
            timeout,
        } = given;
        let start = Arc::new(Start::default());
        let begins = Arc::clone(&start);
        let timers = shared.facts.timers.clone();
        let work = async move {
            let _turn = turn;
            let begun = {
                // The deadline is by the clock of the host's runtime.
                let _timers = timers.enter();
                begins.begin(Instant::now())
            };
            if begun {
                Some(wait(call(&router)).await)
            } else {
                None
            }
        };
        let running = shared.runtime.call(&thread, work).ok_or(CallError::CutOff)?;
        let watch = Watch {
            start,
            waits_until,
            timeout,
            thread,
            shared: Arc::clone(shared),
            _place: place,
        };
        Ok(Self(Some((running, watch))))
    }

    async fn answer(mut self) -> Result<T, CallError> {
        let (running, watch) = self.0.as_mut().ok_or(CallError::CutOff)?;
        let answer = watch.answer(running).await;
        self.0 = None;
        answer
    }
}

impl<T: Send + 'static> Drop for Call<T> {
    fn drop(&mut self) {
        let Some((mut running, watch)) = self.0.take() else {
            return;
        };
        if watch.start.withdraw() {
            return;
        }
        // A host's runtime that is ending drops the task at once, so the task must not come by here again.
        let timers = watch.shared.facts.timers.clone();
        timers.spawn(async move { watch.answer(&mut running).await.is_ok() });
    }
}

/// Whether the thread has begun with a call. Only then the call has a deadline: that many calls came at once is not
/// the fault of any of them.
#[derive(Debug, Default)]
struct Start(Mutex<Stage>);

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Waits,
    Begun(Instant),
    Withdrawn,
}

impl Start {
    /// `false` when the call has been withdrawn.
    fn begin(&self, now: Instant) -> bool {
        let mut stage = self.0.lock();
        match *stage {
            Stage::Waits => {
                *stage = Stage::Begun(now);
                true
            }
            Stage::Begun(_) | Stage::Withdrawn => false,
        }
    }

    /// `false` when the call has begun.
    fn withdraw(&self) -> bool {
        let mut stage = self.0.lock();
        match *stage {
            Stage::Begun(_) => false,
            Stage::Waits | Stage::Withdrawn => {
                *stage = Stage::Withdrawn;
                true
            }
        }
    }

    fn begun_at(&self) -> Option<Instant> {
        match *self.0.lock() {
            Stage::Begun(at) => Some(at),
            Stage::Waits | Stage::Withdrawn => None,
        }
    }
}

/// Looks after a call.
struct Watch {
    start: Arc<Start>,
    waits_until: Instant,
    timeout: Duration,
    thread: CallThread,
    shared: Arc<Shared>,
    _place: Place,
}

impl Watch {
    /// Dropped at any point, it may be called again.
    async fn answer<T>(&self, running: &mut JoinHandle<Ended<T>>) -> Result<T, CallError> {
        while let Some(next_look) = self.next_look()? {
            tokio::select! {
                biased;
                ended = &mut *running => return self.ended(ended),
                // The thread may never come back to drop what waits for it.
                () = self.thread.left_behind() => return Err(CallError::CutOff),
                () = sleep_until(next_look) => {}
            }
        }
        if self.shared.quarantine.begin() {
            self.shared.crashed();
        }
        running.abort();
        tokio::select! {
            biased;
            _ = running => {}
            () = self.thread.left_behind() => {}
            () = sleep(ABORT_GRACE) => self.shared.leave_behind(&self.thread),
        }
        Err(CallError::TimedOut(self.timeout))
    }

    /// When the call can have overrun at the earliest, or has waited long enough. Nothing when it has overrun.
    ///
    /// A call that has not begun cannot overrun before it has begun and its time has passed. So nobody need tell that it
    /// has begun: it is enough to look again then.
    fn next_look(&self) -> Result<Option<Instant>, CallError> {
        let now = Instant::now();
        if self.start.begun_at().is_none() {
            if now < self.waits_until {
                return Ok(Some(self.waits_until.min(now + self.timeout)));
            }
            if self.start.withdraw() {
                return Err(CallError::NotReached(MAX_WAIT));
            }
        }
        let begun_at = self.start.begun_at().unwrap_or(now);
        Ok(Some(begun_at + self.timeout).filter(|deadline| now < *deadline))
    }

    fn ended<T>(&self, ended: Result<Ended<T>, JoinError>) -> Result<T, CallError> {
        let answer = ended.ok().flatten().ok_or(CallError::CutOff)?;
        self.shared.quarantine.end();
        answer.map_err(CallError::from).inspect_err(|error| {
            if let CallError::Panicked(_) = error {
                self.shared.crashed();
            }
        })
    }
}

pub(super) async fn wait<T>(reply: Reply<RResult<T, Failure>>) -> Result<T, Failure> {
    match reply {
        Reply::Ready(answer) => answer,
        Reply::Pending(answer) => answer.await,
    }
    .into_result()
}

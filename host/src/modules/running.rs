//! Step 6: a started instance. Only it can route.
//!
//! Every call runs on the instance's own runtime and has a deadline, from when the runtime begins with it. How many
//! wait for that, and for how long, is bounded. After a call that overran, the module is left alone for a while, so that a
//! module that hangs costs the host a thread now and then, not one a call.

mod call;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RArc, ROption, RStr, RString, RVec};
use parking_lot::{Mutex, RwLock};
use presence_router_api::abi::host::HostApi_TO;
use presence_router_api::abi::router::{RouterBox, SharedRoomPresence};
use presence_router_api::abi::{Failure, FailureKind};
use presence_router_api::{InterestedUsers, UserId, UserPresenceState};
use tokio::time::timeout;

use crate::metrics::{Health, Method, ModuleMetrics};
use crate::modules::answer::{Routed, WrongAnswer, check_interested, check_routes};
use crate::modules::audience::AudienceId;
use crate::modules::configure::{Configured, START_TIMEOUT};
use crate::modules::counted::Counted;
use crate::modules::figures::{CallStats, Figures};
use crate::modules::host_api::{HostFacts, InstanceApi, Shared};
use crate::modules::identity::Identity;
use crate::modules::limits::Limits;
use crate::modules::open::Opened;
use crate::modules::refusal::{Advice, Who};
use crate::modules::running::call::wait;
use crate::modules::runtime::ModuleRuntime;
use crate::modules::stage::Staged;
use crate::modules::turns::Purpose;

/// The most states that a batch has.
pub const MAX_BATCH: usize = 4_096;

/// Up to so many bytes of text are kept in spare states.
const SPARE_BYTES: usize = 512 * 1024;

/// A started module instance.
pub struct Running {
    identity: Identity,
    /// Gone after `shutdown`.
    router: RwLock<Option<Arc<RouterBox>>>,
    shared: Arc<Shared>,
    shared_rooms: SharedRoomPresence,
    call_timeout: Duration,
    metrics: ModuleMetrics,
    figures: Figures,
    /// The states of a batch that was routed: the next one is written in their memory.
    spare: Mutex<Vec<UserPresenceState>>,
    _copy: Option<Arc<Staged>>,
}

/// Why a module did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No thread can be started for it.
    #[error("no thread can be started for the module")]
    Runtime(#[source] std::io::Error),
    /// It refused to start.
    #[error("the module did not start: {0}")]
    Refused(String),
    /// It panicked.
    #[error("the module did not start: {0}")]
    Panicked(String),
    /// It did not come back within [`START_TIMEOUT`].
    #[error("new did not answer within {} s", START_TIMEOUT.as_secs())]
    TimedOut,
}

impl Advice for StartError {
    fn who(&self) -> Who {
        match self {
            Self::Runtime(_) | Self::Refused(_) => Who::Operator,
            Self::Panicked(_) | Self::TimedOut => Who::Author,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Runtime(_) => "ulimit -u, and what else bounds this user's threads".into(),
            Self::Refused(_) => "what the module says; its `config` may be at fault".into(),
            Self::Panicked(_) => "return a StartError from new instead".into(),
            Self::TimedOut => "ModuleApi::spawn what takes time, and return from new at once".into(),
        }
    }
}

/// Why a call to a module gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The module answered with an error.
    #[error("{0}")]
    Failed(String),
    /// The module panicked.
    #[error("{0}")]
    Panicked(String),
    /// It did not answer in time.
    #[error("did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It is left alone after a call that overran.
    #[error("is left alone for another {} ms after a call that overran", .0.as_millis())]
    Quarantined(Duration),
    /// It is off, as its crash budget is spent.
    #[error("is off, as it has crashed too often; reload it, or roll it back")]
    Off,
    /// Its answer was wrong.
    #[error("gave a wrong answer")]
    Wrong(#[from] WrongAnswer),
    /// The instance has been shut down.
    #[error("has been shut down")]
    ShutDown,
    /// Its runtime was replaced while the call ran, as another call blocked it.
    #[error("was cut off, as another call blocked the module's thread")]
    CutOff,
    /// As many calls as may wait or run do so.
    #[error("is not asked, as {0} calls to it wait or run already")]
    Busy(usize),
    /// It was busy with calls that came before.
    #[error("did not come to the call within {} s, for those before it", .0.as_secs())]
    NotReached(Duration),
    /// It blocks more threads than a module may.
    #[error("is not asked, as it blocks {0} threads")]
    Blocked(usize),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        let message = failure.message.into_string();
        if failure.kind == FailureKind::PANIC {
            Self::Panicked(message)
        } else {
            Self::Failed(message)
        }
    }
}

impl Running {
    /// Starts an instance. `name` is what the config calls it: by it the instance is known in logs and metrics, and finds again
    /// what it has stored.
    pub async fn start(
        configured: Configured,
        name: Arc<str>,
        facts: HostFacts,
        limits: Limits,
    ) -> Result<Self, StartError> {
        let Configured {
            opened: Opened { identity, root, copy },
            config,
        } = configured;
        let runtime = ModuleRuntime::start(&name).map_err(StartError::Runtime)?;
        let shared = Arc::new(Shared::new(name, facts, runtime, limits.crash_budget));
        let api = HostApi_TO::from_value(InstanceApi(Arc::clone(&shared)), TD_Opaque);
        let router = identity.router.clone();
        let starting = shared.runtime.run(async move {
            let router = root.new()(RStr::from(router.as_str()), config, api).into_result()?;
            let shared_rooms = router.shared_room_presence().into_result()?;
            Ok::<_, Failure>((router, shared_rooms))
        });
        let (router, shared_rooms) = timeout(START_TIMEOUT, starting)
            .await
            .map_err(|_| StartError::TimedOut)?
            .map_err(|error| StartError::Refused(error.to_string()))?
            .map_err(|failure| match failure.kind {
                FailureKind::PANIC => StartError::Panicked(failure.message.into_string()),
                _ => StartError::Refused(failure.message.into_string()),
            })?;
        #[cfg(feature = "growth-probe")]
        tracing::info!(
            module = identity.name,
            "the module's own probe answered {}",
            router.growth_probe()
        );
        Ok(Self {
            metrics: ModuleMetrics::new(&shared.module),
            figures: Figures::default(),
            spare: Mutex::default(),
            identity,
            router: RwLock::new(Some(Arc::new(router))),
            shared,
            shared_rooms,
            call_timeout: limits.call_timeout,
            _copy: copy,
        })
    }

    /// What the config calls this instance.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.module
    }

    /// What this module is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether its routes come in addition to shared rooms, or instead of them.
    pub fn shared_room_presence(&self) -> SharedRoomPresence {
        self.shared_rooms
    }

    /// Where the states of a batch go. `only_for` names the single recipient whose part is wanted.
    pub async fn get_users_for_states(
        &self,
        batch: Vec<UserPresenceState>,
        only_for: Option<&UserId>,
    ) -> Result<Routed, CallError> {
        let counted = Counted::begin(&self.metrics, &self.figures, Method::GetUsersForStates);
        let answer = self.route(batch, only_for).await;
        counted.end(&answer);
        answer
    }

    async fn route(
        &self,
        batch: Vec<UserPresenceState>,
        only_for: Option<&UserId>,
    ) -> Result<Routed, CallError> {
        let _call = self.shared.audiences.call();
        let batch_len = batch.len();
        // The part of one recipient is looked up for a sync of theirs.
        let purpose = only_for.map_or(Purpose::Batch, |_| Purpose::Lookup);
        let batch = RArc::new(RVec::from(batch));
        let spare = (purpose == Purpose::Batch).then(|| RArc::clone(&batch));
        let only_for = only_for.cloned();
        let answer = self
            .call(purpose, move |router| {
                let only_for = only_for.as_ref().map(|user| RStr::from(user.as_str()));
                router.get_users_for_states(&batch, ROption::from(only_for))
            })
            .await?;
        // The module may have kept it.
        if let Some(Ok(states)) = spare.map(RArc::try_unwrap)
            && states.iter().map(text_bytes).sum::<usize>() <= SPARE_BYTES
        {
            *self.spare.lock() = states.into_vec();
        }
        Ok(check_routes(answer, batch_len, &self.shared.audiences)?)
    }

    /// States of no meaning, in whose memory a batch may be written; there may be none.
    pub fn take_spare(&self) -> Vec<UserPresenceState> {
        std::mem::take(&mut self.spare.lock())
    }

    /// Whose presence a user is interested in.
    pub async fn get_interested_users(&self, user: &UserId) -> Result<InterestedUsers, CallError> {
        let counted = Counted::begin(&self.metrics, &self.figures, Method::GetInterestedUsers);
        let answer = self.interested(user).await;
        counted.end(&answer);
        answer
    }

    async fn interested(&self, user: &UserId) -> Result<InterestedUsers, CallError> {
        let user = user.clone();
        let answer = self
            .call(Purpose::Lookup, move |router| {
                router.get_interested_users(RStr::from(user.as_str()))
            })
            .await?;
        Ok(check_interested(answer)?)
    }

    /// How long the module is still left alone, after a call that overran.
    pub fn quarantined_for(&self) -> Option<Duration> {
        self.shared.quarantine.remaining()
    }

    /// Whether it has crashed as often as it may: it is not asked any more.
    pub fn is_off(&self) -> bool {
        self.shared.crashes.is_off()
    }

    /// What its calls have come to.
    pub fn stats(&self) -> CallStats {
        CallStats {
            counts: self.figures.counts(),
            latency: self.figures.latency(),
            queue: self.shared.queue.len(),
            quarantined_for: self.quarantined_for(),
            blocked_threads: self.shared.runtime.left_behind(),
            crashes: self.shared.crashes.recent(),
            crash_budget: self.shared.crashes.budget(),
            is_off: self.is_off(),
        }
    }

    /// Sets the gauges of this module, which has yet to route so many users.
    pub fn refresh_metrics(&self, dirty_users: usize) {
        self.metrics.dirty(dirty_users);
        self.metrics.health(&Health {
            generation: self.identity.generation,
            quarantined: self.quarantined_for().is_some(),
            off: self.is_off(),
            blocked_threads: self.shared.runtime.left_behind(),
            queue: self.shared.queue.len(),
        });
    }

    /// Sets the gauges of this module: none serves under its name any more.
    pub fn clear_metrics(&self) {
        self.metrics.dirty(0);
        self.metrics.health(&Health::default());
    }

    /// How many calls are on their way.
    #[cfg(test)]
    pub(crate) fn running_calls(&self) -> usize {
        self.shared.runtime.running_calls()
    }

    /// The audiences that the module has released since the last time.
    pub fn take_forgotten_audiences(&self) -> Vec<AudienceId> {
        self.shared.audiences.take_forgotten()
    }

    /// Calls `shutdown`, ends the background tasks, and drops the instance. `false` when the module was not done
    /// by the deadline; it is then left behind. A second call does nothing.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let Some(router) = self.router.write().take() else {
            return true;
        };
        let shared = Arc::clone(&self.shared);
        let ending = self.shared.runtime.run(async move {
            let ended = wait(router.shutdown()).await;
            // Before the drop: a thread that the module has left running is answered from now on.
            shared.questions.shut_down();
            drop(router);
            ended
        });
        let ended = timeout(deadline, ending).await;
        self.shared.questions.shut_down();
        self.shared.runtime.end_background();
        match ended {
            Ok(Ok(Ok(()))) => true,
            Ok(Ok(Err(failure))) => {
                tracing::error!(
                    module = &*self.shared.module,
                    method = "shutdown",
                    "{}",
                    failure.message
                );
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

fn text_bytes(state: &UserPresenceState) -> usize {
    state.user_id.capacity() + state.status_msg.as_ref().map_or(0, RString::capacity)
}

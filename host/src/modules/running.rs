//! Step 6: a started instance. Only it can route.
//!
//! Every call runs on the instance's own runtime and has a deadline. After one that overran, the module is left
//! alone for a while ("quarantine"), twice as long each time, so that a module that hangs costs the host a thread now and
//! then, not one a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RArc, ROption, RResult, RStr, RVec};
use parking_lot::Mutex;
use presence_router_api::abi::host::HostApi_TO;
use presence_router_api::abi::router::{Reply, RouterBox, SharedRoomPresence};
use presence_router_api::abi::{Failure, FailureKind};
use presence_router_api::{InterestedUsers, UserId, UserPresenceState};
use tokio::time::{Instant, timeout};

use crate::modules::answer::{Routed, WrongAnswer, check_interested, check_routes};
use crate::modules::audience::{AudienceId, Audiences};
use crate::modules::configure::{Configured, START_TIMEOUT};
use crate::modules::host_api::{HostFacts, InstanceApi, Shared};
use crate::modules::identity::Identity;
use crate::modules::open::Opened;
use crate::modules::runtime::ModuleRuntime;
use crate::modules::stage::Staged;

/// How long a module is left alone after its first call that overran; doubled with each further one.
const FIRST_QUARANTINE: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
const MAX_QUARANTINE: Duration = Duration::from_mins(1);
/// How long a call that was told to end may take to do so, before its thread counts as blocked.
const ABORT_GRACE: Duration = Duration::from_millis(20);

/// The most states that a batch has.
pub const MAX_BATCH: usize = 4_096;

/// A started module instance.
pub struct Running {
    identity: Identity,
    router: Arc<RouterBox>,
    shared: Arc<Shared>,
    shared_rooms: SharedRoomPresence,
    call_timeout: Duration,
    quarantine: Mutex<Quarantine>,
    _copy: Option<Staged>,
}

#[derive(Debug)]
struct Quarantine {
    until: Option<Instant>,
    next: Duration,
}

/// Why a module did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No thread can be started for it.
    #[error("no thread can be started for the module")]
    Runtime(#[source] std::io::Error),
    /// It refused to start, or panicked.
    #[error("{0}")]
    Refused(String),
    /// It did not come back within [`START_TIMEOUT`].
    #[error("new did not answer within {} s", START_TIMEOUT.as_secs())]
    TimedOut,
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
    /// Its answer was wrong.
    #[error("gave a wrong answer")]
    Wrong(#[from] WrongAnswer),
    /// Its runtime was replaced while the call ran, as another call blocked it.
    #[error("was cut off, as another call blocked the module's thread")]
    CutOff,
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
    /// Starts an instance.
    pub async fn start(
        configured: Configured,
        facts: HostFacts,
        call_timeout: Duration,
    ) -> Result<Self, StartError> {
        let Configured {
            opened: Opened { identity, root, copy },
            config,
        } = configured;
        let runtime = ModuleRuntime::start(&identity.name).map_err(StartError::Runtime)?;
        let shared = Arc::new(Shared {
            module: Arc::from(identity.name.as_str()),
            facts,
            audiences: Audiences::default(),
            runtime,
            shut_down: AtomicBool::new(false),
        });
        let api = HostApi_TO::from_value(InstanceApi(Arc::clone(&shared)), TD_Opaque);
        let router = identity.router.clone();
        let starting = shared.runtime.call(async move {
            let router = root.new()(RStr::from(router.as_str()), config, api).into_result()?;
            let shared_rooms = router.shared_room_presence().into_result()?;
            Ok::<_, Failure>((router, shared_rooms))
        });
        let (router, shared_rooms) = timeout(START_TIMEOUT, starting)
            .await
            .map_err(|_| StartError::TimedOut)?
            .map_err(|error| StartError::Refused(error.to_string()))?
            .map_err(|failure| StartError::Refused(failure.message.into_string()))?;
        Ok(Self {
            identity,
            router: Arc::new(router),
            shared,
            shared_rooms,
            call_timeout,
            quarantine: Mutex::new(Quarantine {
                until: None,
                next: FIRST_QUARANTINE,
            }),
            _copy: copy,
        })
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
        let _call = self.shared.audiences.call();
        let batch_len = batch.len();
        let batch = RArc::new(RVec::from(batch));
        let only_for = only_for.cloned();
        let answer = self
            .call(move |router| {
                let only_for = only_for.as_ref().map(|user| RStr::from(user.as_str()));
                router.get_users_for_states(&batch, ROption::from(only_for))
            })
            .await?;
        Ok(check_routes(answer, batch_len, &self.shared.audiences)?)
    }

    /// Whose presence a user is interested in.
    pub async fn get_interested_users(&self, user: &UserId) -> Result<InterestedUsers, CallError> {
        let user = user.clone();
        let answer = self
            .call(move |router| router.get_interested_users(RStr::from(user.as_str())))
            .await?;
        Ok(check_interested(answer)?)
    }

    /// How long the module is still left alone.
    pub fn quarantined_for(&self) -> Option<Duration> {
        let until = self.quarantine.lock().until?;
        Some(until.saturating_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }

    /// The audiences that the module has released since the last time.
    pub fn take_forgotten_audiences(&self) -> Vec<AudienceId> {
        self.shared.audiences.take_forgotten()
    }

    /// Calls `shutdown`, ends the background tasks, and drops the instance. `false` when the module was not done
    /// by the deadline; it is then left behind.
    pub async fn shutdown(self, deadline: Duration) -> bool {
        let Self { router, shared, .. } = self;
        let ending = shared.runtime.call(async move {
            let ended = wait(router.shutdown()).await;
            drop(router);
            ended
        });
        let ended = timeout(deadline, ending).await;
        shared.shut_down.store(true, Ordering::Release);
        shared.runtime.end_background();
        match ended {
            Ok(Ok(Ok(()))) => true,
            Ok(Ok(Err(failure))) => {
                tracing::error!(module = &*shared.module, "shutdown: {}", failure.message);
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&RouterBox) -> Reply<RResult<T, Failure>> + Send + 'static,
    ) -> Result<T, CallError> {
        if let Some(rest) = self.quarantined_for() {
            return Err(CallError::Quarantined(rest));
        }
        let router = Arc::clone(&self.router);
        let mut running = self.shared.runtime.call(async move { wait(call(&router)).await });
        match timeout(self.call_timeout, &mut running).await {
            Ok(Ok(answer)) => {
                self.quarantine.lock().next = FIRST_QUARANTINE;
                Ok(answer?)
            }
            Ok(Err(_)) => Err(CallError::CutOff),
            Err(_) => {
                running.abort();
                let blocked = timeout(ABORT_GRACE, running).await.is_err();
                self.quarantine_after_overrun(blocked);
                Err(CallError::TimedOut(self.call_timeout))
            }
        }
    }

    fn quarantine_after_overrun(&self, blocked: bool) {
        let mut quarantine = self.quarantine.lock();
        quarantine.until = Some(Instant::now() + quarantine.next);
        quarantine.next = (quarantine.next * 2).min(MAX_QUARANTINE);
        if blocked && let Err(error) = self.shared.runtime.replace() {
            tracing::error!(module = &*self.shared.module, %error, "no thread can be started for the module");
        }
    }
}

async fn wait<T>(reply: Reply<RResult<T, Failure>>) -> Result<T, Failure> {
    match reply {
        Reply::Ready(answer) => answer,
        Reply::Pending(answer) => answer.await,
    }
    .into_result()
}

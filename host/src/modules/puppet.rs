//! A router that does what a test tells it, linked statically. Its threads are real; the test sees what it was asked, and
//! decides when and how it answers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use presence_router_api::__private::{Library, RouterEntry, root_module};
use presence_router_api::{
    InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes, SharedRoomPresence, StartError,
    StateUpdates, UserId, UserPresenceState,
};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::modules::configure::Configured;
use crate::modules::host_api::HostFacts;
use crate::modules::identity::Identity;
use crate::modules::limits::Limits;
use crate::modules::open::Opened;
use crate::modules::running::{Running, StartError as HostStartError};
use crate::sha256::Sha256;

/// Answers `get_users_for_states`.
type Route = dyn Fn(&ModuleApi, &StateUpdates) -> Routes + Send + Sync;
/// Answers `get_interested_users`.
type Interested = dyn Fn(&UserId) -> InterestedUsers + Send + Sync;

/// What the puppet was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Where the states of these users go; `only_for` whom.
    Route(Vec<String>, Option<String>),
    /// Whom a user may see.
    Interested(String),
    /// To shut down.
    ShutDown,
}

/// How the puppet takes the next calls.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    /// It answers.
    Answer,
    /// It answers with an error.
    Fail,
    /// It panics.
    Panic,
    /// It answers with what is no answer.
    Lie,
    /// It never answers, but its thread is free.
    Hang,
    /// It blocks its thread until the gate opens, then answers.
    Block(Arc<Gate>),
    /// It blocks its thread until the gate opens, then panics.
    BlockAndPanic(Arc<Gate>),
}

/// The strings of one puppet.
pub(crate) struct Puppet {
    route: Box<Route>,
    interested: Box<Interested>,
    shared_rooms: SharedRoomPresence,
    mood: Mutex<Mood>,
    api: Mutex<Option<ModuleApi>>,
    asked: watch::Sender<Vec<Asked>>,
    hanging: Arc<()>,
}

impl Puppet {
    /// A puppet that answers by these two.
    pub(crate) fn new(
        route: impl Fn(&ModuleApi, &StateUpdates) -> Routes + Send + Sync + 'static,
        interested: impl Fn(&UserId) -> InterestedUsers + Send + Sync + 'static,
    ) -> Self {
        Self {
            route: Box::new(route),
            interested: Box::new(interested),
            shared_rooms: SharedRoomPresence::Additive,
            mood: Mutex::new(Mood::Answer),
            api: Mutex::default(),
            asked: watch::Sender::default(),
            hanging: Arc::default(),
        }
    }

    /// A puppet that routes nothing.
    pub(crate) fn silent() -> Self {
        Self::new(|_, _| Routes::new(), |_| InterestedUsers::none())
    }

    /// Instead of shared rooms.
    pub(crate) fn replacing(mut self) -> Self {
        self.shared_rooms = SharedRoomPresence::Replace;
        self
    }

    /// Starts it on the present runtime, once, in a host without services.
    pub(crate) async fn start(
        self: &Arc<Self>,
        clock: Arc<dyn Clock>,
        call_timeout: Duration,
    ) -> Result<Running, HostStartError> {
        let facts = HostFacts::without_services("example.org", clock, Handle::current());
        self.start_on(facts, call_timeout).await
    }

    /// Starts it in this host, once. It may crash without end.
    pub(crate) async fn start_on(
        self: &Arc<Self>,
        facts: HostFacts,
        call_timeout: Duration,
    ) -> Result<Running, HostStartError> {
        let limits = Limits {
            call_timeout,
            crash_budget: None,
        };
        self.start_within(facts, limits).await
    }

    /// Starts it within these limits, once.
    pub(crate) async fn start_within(
        self: &Arc<Self>,
        facts: HostFacts,
        limits: Limits,
    ) -> Result<Running, HostStartError> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        lock(&PUPPETS).insert(number, Arc::clone(self));
        let name = format!("puppet{number}");
        let identity = Identity {
            name: name.clone(),
            version: "1.0.0".to_owned(),
            router: "Puppet".to_owned(),
            generation: 1,
            sha256: Sha256::of(b""),
            path: PathBuf::from("puppet"),
        };
        let opened = Opened::linked(identity, root_module::<Theatre>());
        let configured =
            Configured::new(opened, &serde_json::json!({ "puppet": number })).expect("the config is valid");
        Running::start(configured, name.into(), facts, limits).await
    }

    /// From now on it takes calls so.
    pub(crate) fn set_mood(&self, mood: Mood) {
        *lock(&self.mood) = mood;
    }

    /// What it may ask of the host.
    pub(crate) fn api(&self) -> ModuleApi {
        lock(&self.api).clone().expect("the puppet was started")
    }

    /// All that it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// How many of its calls hang.
    pub(crate) fn hanging(&self) -> usize {
        Arc::strong_count(&self.hanging) - 1
    }

    /// Waits until what it was asked is so.
    pub(crate) async fn asked_until(&self, so: impl FnMut(&Vec<Asked>) -> bool) -> Vec<Asked> {
        let mut asked = self.asked.subscribe();
        let asked = asked.wait_for(so).await.expect("the puppet is here");
        asked.clone()
    }

    fn note(&self, asked: Asked) {
        self.asked.send_modify(|all| all.push(asked));
    }

    /// Takes a call; whether the answer is to be a lie.
    async fn take(&self, asked: Asked) -> Result<bool, RouterError> {
        // The mood first: who sees that it was asked may change the mood, for the next call.
        let mood = lock(&self.mood).clone();
        self.note(asked);
        match mood {
            Mood::Answer => Ok(false),
            Mood::Lie => Ok(true),
            Mood::Fail => Err(RouterError::new("told to fail")),
            Mood::Panic => panic!("told to panic"),
            Mood::Hang => {
                let _hanging = Arc::clone(&self.hanging);
                std::future::pending().await
            }
            Mood::BlockAndPanic(gate) => {
                gate.pass();
                panic!("told to panic")
            }
            Mood::Block(gate) => {
                gate.pass();
                Ok(false)
            }
        }
    }
}

/// Closed until it is opened, at the latest when the test's [`Opener`] is dropped.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

/// Opens the gate when dropped, so that no test leaves a thread behind.
pub(crate) struct Opener(pub(crate) Arc<Gate>);

impl Gate {
    /// A closed gate.
    pub(crate) fn closed() -> (Arc<Self>, Opener) {
        let gate = Arc::new(Self::default());
        (Arc::clone(&gate), Opener(gate))
    }

    fn pass(&self) {
        let mut open = lock(&self.open);
        while !*open {
            open = self.opened.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        *lock(&self.0.open) = true;
        self.0.opened.notify_all();
    }
}

/// Puppets that are about to start, by the number in their config.
static PUPPETS: LazyLock<Mutex<HashMap<usize, Arc<Puppet>>>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The library.
enum Theatre {}

impl Library for Theatre {
    const ROUTERS: &'static [RouterEntry] = &[RouterEntry::of::<OnStage>("Puppet")];

    fn manifest() -> &'static str {
        ""
    }
}

#[derive(Deserialize)]
struct Config {
    puppet: usize,
}

/// The instance.
struct OnStage {
    puppet: Arc<Puppet>,
    api: ModuleApi,
}

impl Drop for OnStage {
    fn drop(&mut self) {
        // The audiences that the closures keep would hold the host's side for ever.
        *lock(&self.puppet.api) = None;
    }
}

impl PresenceRouter for OnStage {
    type Config = Config;

    fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
        let puppet = lock(&PUPPETS)
            .remove(&config.puppet)
            .ok_or_else(|| StartError::new("no such puppet"))?;
        *lock(&puppet.api) = Some(api.clone());
        Ok(Self { puppet, api })
    }

    async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
        let users = updates.iter().map(|update| update.user_id().to_owned()).collect();
        let only_for = updates.only_for().map(|user| user.as_str().to_owned());
        let lie = self.puppet.take(Asked::Route(users, only_for)).await?;
        let mut routes = (self.puppet.route)(&self.api, updates);
        if lie {
            let audience = self.api.register_audience([])?;
            routes.send_state(UserPresenceState::offline("nobody"), &audience);
        }
        Ok(routes)
    }

    async fn get_interested_users(&self, user_id: &UserId) -> Result<InterestedUsers, RouterError> {
        let asked = Asked::Interested(user_id.as_str().to_owned());
        self.puppet.take(asked).await?;
        Ok((self.puppet.interested)(user_id))
    }

    fn shared_room_presence(&self) -> SharedRoomPresence {
        self.puppet.shared_rooms
    }

    async fn shutdown(&self) {
        self.puppet.note(Asked::ShutDown);
    }
}

//! A server without HTTP, and those who wait for news. All of it runs on one thread, but for the module and the database,
//! which is in memory.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use presence_router::clock::{Clock, SystemClock};
use presence_router::config;
use presence_router::delivery::SyncToken;
use presence_router::engine::{Engine, Session, SetPresence, Setup, SyncRequest};
use presence_router::metrics::Exposition;
use presence_router::modules::{Opened, ServiceError, Services};
use presence_router::storage::{Location, Storage};
use presence_router_api::{PresenceState, PresenceUpdate};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::kit::cpu::Taken;
use crate::kit::module;
use crate::kit::people::{People, user};

/// How long somebody waits for news.
const LONG: Duration = Duration::from_mins(30);
/// How many batches may wait for the database, while the next are delivered.
const STORING: usize = 8;
/// Longer than any batch takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A runtime with one thread. Metrics are counted, as they are in a real server.
pub(crate) fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    // It is installed when a second benchmark of this process comes here.
    if let Ok(metrics) = Exposition::install(SystemClock.now_ms()) {
        runtime.spawn(metrics.keep_up());
    }
    runtime
}

/// A clock that goes on by a millisecond with each batch: nobody times out, however long the benchmark takes.
#[derive(Debug)]
struct Batches(AtomicU64);

impl Clock for Batches {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What has been delivered.
#[derive(Default)]
struct Delivered {
    events: AtomicUsize,
    /// How many are to be, before somebody is told.
    expected: AtomicUsize,
    all: Notify,
}

impl Delivered {
    fn add(&self, events: usize) {
        let before = self.events.fetch_add(events, Ordering::Relaxed);
        if before + events >= self.expected.load(Ordering::Relaxed) {
            self.all.notify_one();
        }
    }
}

/// A server, and its users.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    services: Arc<dyn Services>,
    clock: Arc<Batches>,
    delivered: Arc<Delivered>,
    /// The number of users; also that of the one who is in no room.
    users: usize,
    batches: Cell<usize>,
    listeners: RefCell<JoinSet<()>>,
}

/// Changes that come at once, and how many events are delivered for them.
pub(crate) struct Batch {
    pub(crate) updates: Vec<PresenceUpdate>,
    pub(crate) events: usize,
    /// One of those who change, and what they say then.
    witness: Option<(usize, String)>,
}

impl Server {
    /// Starts on the present runtime.
    pub(crate) fn start(people: People) -> Self {
        let users = people.len();
        let clock = Arc::new(Batches(AtomicU64::new(SystemClock.now_ms())));
        let engine = Engine::start(Setup {
            clock: Arc::<Batches>::clone(&clock),
            server_name: "example.org".to_owned(),
            source: Arc::new(people),
            presence: config::Presence::default(),
            excluded_rooms: Vec::new(),
            storage: Storage::open(&Location::Memory).expect("a database can be made in memory"),
            rc_presence: None,
            // What is measured is work, not waiting.
            route_pace: Duration::ZERO,
        });
        engine.send_nothing();
        Self {
            services: engine.services(),
            engine,
            clock,
            delivered: Arc::default(),
            users,
            batches: Cell::new(0),
            listeners: RefCell::default(),
        }
    }

    /// The module sends everything to the one who is in no room; they wait for it.
    pub(crate) async fn broadcast(&self, opened: &Opened) {
        let module = module::start(opened, &[user(self.users)]).await;
        self.engine.attach("broadcast", "", module);
        self.listen(std::iter::once(self.users)).await;
    }

    /// Somebody.
    pub(crate) async fn session(&self, number: usize) -> Session {
        let session = self.engine.session(&number.to_string()).await;
        session.expect("there is such a user")
    }

    /// From now on, these users wait for news all the time.
    pub(crate) async fn listen(&self, users: impl Iterator<Item = usize>) {
        // Where one of them has read everything, all have.
        let mut since = None;
        for number in users {
            let session = self.session(number).await;
            let since = match &since {
                Some(since) => SyncToken::clone(since),
                None => since.insert(self.position(&session).await).clone(),
            };
            self.wait_for_news(session, since);
        }
    }

    fn wait_for_news(&self, session: Session, since: SyncToken) {
        let (engine, mut since) = (self.engine.clone(), Some(since));
        let delivered = Arc::clone(&self.delivered);
        self.listeners.borrow_mut().spawn(async move {
            while let Ok(answer) = engine.sync(&session, request(since.take(), LONG)).await {
                since = Some(answer.next_batch);
                delivered.add(answer.events.len());
            }
        });
    }

    /// Where somebody's sync would go on who has read everything.
    pub(crate) async fn position(&self, session: &Session) -> SyncToken {
        let answer = self.engine.sync(session, request(None, Duration::ZERO)).await;
        answer.expect("a first sync is answered").next_batch
    }

    /// A batch in which each of these users changes.
    pub(crate) fn batch(&self, users: impl Iterator<Item = usize>, events: usize) -> Batch {
        let batch = self.batches.get();
        self.batches.set(batch + 1);
        let state = if batch.is_multiple_of(2) {
            PresenceState::Online
        } else {
            PresenceState::Unavailable
        };
        // Where the users of a batch are not those of the one before, the state may be what it was: the message is not.
        let status_msg = Some(batch.to_string());
        let mut witness = None;
        let update = |number| {
            witness = Some((number, batch.to_string()));
            PresenceUpdate {
                user_id: user(number),
                state,
                status_msg: status_msg.clone(),
            }
        };
        Batch {
            updates: users.map(update).collect(),
            events,
            witness,
        }
    }

    /// Brings batches to those who wait, one after the other: the next begins when the one before can be seen, and was
    /// delivered. A few may wait for the database. In the end all are stored.
    pub(crate) async fn deliver(&self, batches: Vec<Batch>) {
        let mut expected = self.delivered.events.load(Ordering::Relaxed);
        let mut storing = JoinSet::new();
        for Batch {
            updates,
            events,
            witness,
        } in batches
        {
            self.clock.0.fetch_add(1, Ordering::Relaxed);
            expected += events;
            self.delivered.expected.store(expected, Ordering::Relaxed);
            storing.spawn(self.services.set_presence_for_users(updates));
            let delivered = async {
                if let Some((number, message)) = witness {
                    self.says(number, &message).await;
                }
                while self.delivered.events.load(Ordering::Relaxed) < expected {
                    self.delivered.all.notified().await;
                }
                store(&mut storing, STORING).await;
            };
            let delivered = tokio::time::timeout(PATIENCE, delivered).await;
            delivered.expect("what has changed is delivered");
        }
        let stored = tokio::time::timeout(PATIENCE, store(&mut storing, 0)).await;
        stored.expect("what has changed is stored");
        let all = self.delivered.events.load(Ordering::Relaxed);
        assert_eq!(all, expected, "each event is delivered once");
    }

    /// Waits until a user says this.
    async fn says(&self, number: usize, message: &str) {
        let (session, user) = (self.session(number).await, user(number));
        loop {
            let seen = self.engine.presence_of(&session, &user).await;
            let seen = seen.expect("everybody sees themselves").status_msg;
            if seen.as_deref() == Some(message) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// What it takes of the processor to deliver batches: all but the storage, and all.
    pub(crate) async fn cost(&self, batches: Vec<Batch>) -> (Duration, Duration) {
        let before = Taken::now();
        self.deliver(batches).await;
        let after = Taken::now();
        (after.without_storage_since(&before), after.all_since(&before))
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        // First: a server that has ended answers a sync at once.
        self.listeners.into_inner().shutdown().await;
        self.engine.shutdown(PATIENCE).await;
    }
}

/// Waits until so few batches at most wait for the database.
async fn store(storing: &mut JoinSet<Result<(), ServiceError>>, most: usize) {
    while storing.len() > most
        && let Some(stored) = storing.join_next().await
    {
        stored.expect("no panic").expect("the changes are made");
    }
}

/// A sync that leaves its user's presence alone.
pub(crate) fn request(since: Option<SyncToken>, timeout: Duration) -> SyncRequest {
    SyncRequest {
        since,
        timeout,
        set_presence: SetPresence::Offline,
        ..SyncRequest::default()
    }
}

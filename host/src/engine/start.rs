//! From what is stored and what the directory tells to a server that runs.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use presence_router_api::SharedRoomPresence;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config;
use crate::config::Tracking;
use crate::delivery::{Destinations, Streams};
use crate::directory::{Directory, Source};
use crate::engine::gathered::Gathered;
use crate::engine::limit::Limits;
use crate::engine::partings::Partings;
use crate::engine::queue::Queue;
use crate::engine::restore::Routes;
use crate::engine::strangers::Strangers;
use crate::engine::world::World;
use crate::engine::writer::{QUEUE, Writer};
use crate::engine::{Engine, Shared, membership, outbox, restore, writer};
use crate::federation::Contact;
use crate::metrics::{PresenceMetrics, on_scrape};
use crate::presence::{Presence, Timing};
use crate::storage::{Restored, Storage, Writes};

/// How much earlier than after 25 min signs of life are sent at most. Each user has a share of their own, lest those of all who
/// changed in one moment go out in one.
const PING_SPREAD: Duration = Duration::from_mins(5);
/// How many transactions of other homeservers are applied at a time, or wait for it in the queue.
const RECEIVING: usize = 16;

/// What an engine is started with.
pub struct Setup {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This homeserver's name.
    pub server_name: String,
    /// Users, tokens and rooms. What it tells at once is how things stand.
    pub source: Arc<dyn Source>,
    /// The rules of `presence:`.
    pub presence: config::Presence,
    /// Rooms whose members do not see each other for being in them.
    pub excluded_rooms: Vec<String>,
    /// The database, and what it held.
    pub storage: (Storage, Restored),
    /// `rc_presence`: how often a user may set presence.
    pub rc_presence: Option<config::RateLimit>,
    /// How long after a call of `get_users_for_states` began the next one of the same module does, at least. What changes
    /// meanwhile goes in one batch: under load, a call costs more than the states in it. See [`ROUTE_PACE`].
    pub route_pace: Duration,
}

/// The [`Setup::route_pace`] of a server.
pub const ROUTE_PACE: Duration = Duration::from_millis(1);

impl Engine {
    /// Starts on the present runtime, without modules.
    pub fn start(setup: Setup) -> Self {
        let (engine, writer) = Self::assemble(setup);
        let shared = &engine.0;
        shared.tasks.spawn(writer::run(writer, Arc::clone(shared)));
        shared.tasks.spawn(membership::follow(Arc::clone(shared)));
        shared.tasks.spawn(Arc::clone(shared).end_waits());
        engine
    }

    /// One of which no task runs yet, and the writer.
    pub(super) fn assemble(setup: Setup) -> (Self, Writer) {
        let Setup {
            clock,
            server_name,
            source,
            presence,
            excluded_rooms,
            storage: (storage, mut restored),
            rc_presence,
            route_pace,
        } = setup;
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let timing = Timing {
            last_active_granularity: ms(presence.last_active_granularity),
            idle_timeout: ms(presence.idle_timeout),
            sync_online_timeout: ms(presence.sync_online_timeout),
            federation_ping_spread: ms(PING_SPREAD),
            ..Timing::default()
        };
        // Without clients that say that somebody is there, nobody times out: modules alone say who is what.
        let timing = match presence.enabled {
            Tracking::Untracked => timing.untracked(),
            Tracking::Enabled | Tracking::Disabled => timing,
        };
        let mut directory = Directory::new(&server_name, &excluded_rooms);
        restore::share_ids(&mut directory, &restored);
        restore::take_in(&mut directory, &*source);
        let now = clock.now_ms();
        let (start, mut reserved) = restore::start(now, &restored);
        let mut streams = Streams::new(start);
        let rooms = restore::compare_rooms(&mut directory, &mut streams, &restored);
        restored.rooms = Vec::new();
        let mut world = World {
            presence: Presence::new(timing),
            version: 0,
            directory,
            streams,
            snapshots: HashMap::new(),
            room_presence: SharedRoomPresence::Additive,
            destinations: Destinations::default(),
            tracking: presence.enabled,
            strangers: Strangers::default(),
            partings: Partings::default(),
        };
        let presence_to_store = restore::restore(&mut world, &mut restored, now);
        let outgoing = std::mem::take(&mut restored.outgoing);
        outbox::restore(&mut world, outgoing, &restored.destinations);
        let contacts = restored.destinations.drain(..).map(Contact::from).collect();
        let writes = Writes {
            rooms,
            presence: presence_to_store,
            reserved: reserved.next(start),
            ..Writes::default()
        };
        storage.write(writes, Vec::new());
        let metrics = PresenceMetrics::new();
        let its_writer = Writer::new(&world, reserved, metrics.clone());
        let shared = Arc::new(Shared {
            limits: Limits::new(rc_presence, &clock),
            on_scrape: OnceLock::new(),
            clock,
            source,
            metrics,
            progress: Arc::clone(world.streams.progress()),
            world: RwLock::new(world),
            presence,
            route_pace,
            waiting: Arc::default(),
            gathered: Gathered::default(),
            feeds: RwLock::new(Arc::default()),
            parked: Mutex::default(),
            commands: Queue::new(QUEUE),
            receiving: Arc::new(Semaphore::new(RECEIVING)),
            storage,
            contacts: Mutex::new(contacts),
            has_synced: AtomicBool::new(false),
            routes: Mutex::new(Routes::new(restored.modules, restored.routed)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
        });
        let weak = Arc::downgrade(&shared);
        let refresh = on_scrape(move || {
            if let Some(shared) = weak.upgrade() {
                shared.refresh_metrics();
            }
        });
        // Nobody else has this yet, so nobody has set it.
        let _ = shared.on_scrape.set(refresh);
        (Self(shared), its_writer)
    }
}

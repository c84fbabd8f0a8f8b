//! From a batch of changes to finished deliveries, without HTTP. A batch is applied, written to the logs that syncs read, and
//! handed to the storage; those who wait for news are answered, and the module routes it. The next batch begins after that.
//!
//! What is counted is the processor's time of the whole process but for the thread of the database, which is in memory:
//! `route` is what is done on the one core that the server's runtime has here, and on the module's thread. Each user of a batch
//! changes, and changes once. With broadcast, somebody who shares no room with anybody waits for everything.

mod kit;

use std::process::ExitCode;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use presence_router::modules::{Loader, Opened};
use tokio::runtime::Runtime;

use crate::kit::Scale;
use crate::kit::bar::{Bar, Compared, Wanted, median};
use crate::kit::module;
use crate::kit::people::{People, SQUARE};
use crate::kit::server::{Batch, Server, runtime};

/// How many users change at once where many are known.
const TOUCHED: usize = 1_000;
/// How many change at once in the room of 10,000.
const TALKERS: usize = 16;
const ROOM: usize = 10_000;
const MANY: usize = 1_000_000;
const FEW: usize = 1_000;
/// How many updates are measured together.
const A_STRETCH: usize = 20_000;
const STRETCHES: usize = 11;

fn main() -> ExitCode {
    kit::run(groups, bars)
}

/// Who waits for news, but for the one to whom the module sends everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nobody.
    Nobody,
    /// Everybody who shares a room with those who change.
    Everybody,
}

/// Whether there is a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Routing {
    Rooms,
    Broadcast,
}

/// What is measured in each place.
const SCENES: [(Routing, Waiting); 4] = [
    (Routing::Rooms, Waiting::Nobody),
    (Routing::Rooms, Waiting::Everybody),
    (Routing::Broadcast, Waiting::Nobody),
    (Routing::Broadcast, Waiting::Everybody),
];

/// Who changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touched {
    /// The same users in each batch.
    Same,
    /// As many, and others with each batch, from all over.
    Spread,
}

/// Users, rooms, and what is measured there.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// 20 rooms of 10; all change at once.
    RoomsOfTen,
    /// One room, in which a few change.
    OneRoom { members: usize },
    /// Everybody in two rooms of ten.
    PairsOfRooms { users: usize, touched: Touched },
}

impl Place {
    fn people(self) -> People {
        match self {
            Self::RoomsOfTen => People::in_rooms_of(200, 10),
            Self::OneRoom { members } => People::in_rooms_of(members, members),
            Self::PairsOfRooms { users, .. } => People::in_pairs_of_rooms(users),
        }
    }

    /// How many change at once.
    fn updates(self) -> usize {
        match self {
            Self::RoomsOfTen => 200,
            Self::OneRoom { .. } => TALKERS,
            Self::PairsOfRooms { .. } => TOUCHED,
        }
    }

    /// How many hear of each of them, where everybody waits.
    fn listeners(self) -> usize {
        match self {
            Self::RoomsOfTen => 10,
            Self::OneRoom { members } => members,
            Self::PairsOfRooms { .. } => 19,
        }
    }

    /// Those who wait, where everybody does: all who hear of those who change.
    fn waiting(self) -> usize {
        match self {
            Self::OneRoom { members } => members,
            Self::RoomsOfTen | Self::PairsOfRooms { .. } => self.updates().next_multiple_of(SQUARE),
        }
    }

    /// Who changes with a batch.
    fn touched(self, batch: usize) -> impl Iterator<Item = usize> {
        let (step, first) = match self {
            Self::PairsOfRooms {
                users,
                touched: Touched::Spread,
            } => {
                let step = users / TOUCHED;
                // A prime: it comes round late.
                (step, batch * 7_919 % step)
            }
            _ => (1, 0),
        };
        (0..self.updates()).map(move |number| first + number * step)
    }
}

/// A place where somebody waits.
struct Scene {
    place: Place,
    server: Server,
    events: usize,
    next: usize,
}

impl Scene {
    async fn set(place: Place, waiting: Waiting, routing: Routing, opened: &Opened) -> Self {
        let server = Server::start(place.people());
        let mut events = 0;
        if waiting == Waiting::Everybody {
            server.listen(0..place.waiting()).await;
            events += place.updates() * place.listeners();
        }
        if routing == Routing::Broadcast {
            server.broadcast(opened).await;
            events += place.updates();
        }
        let mut scene = Self {
            place,
            server,
            events,
            next: 0,
        };
        // The first batches find nothing where they put something.
        let batches = scene.batches(20);
        scene.server.deliver(batches).await;
        scene
    }

    fn batches(&mut self, count: usize) -> Vec<Batch> {
        (0..count)
            .map(|_| {
                self.next += 1;
                self.server.batch(self.place.touched(self.next), self.events)
            })
            .collect()
    }

    /// What a batch costs, but for the storage, and with it; of so many.
    async fn cost(&mut self, batches: usize) -> (Duration, Duration) {
        let count = u32::try_from(batches).expect("there are few");
        let batches = self.batches(batches);
        let (cost, all) = self.server.cost(batches).await;
        (cost / count, all / count)
    }

    /// Each user who may be touched has changed, once at least.
    async fn everybody_changes(&mut self) {
        if let Place::PairsOfRooms { users, .. } = self.place {
            for _ in 0..users.div_ceil(TOUCHED * 20) {
                let batches = self.batches(20);
                self.server.deliver(batches).await;
            }
        }
    }

    fn in_a_stretch(&self) -> usize {
        // Where everybody waits, a batch of few changes is many deliveries.
        let events = self.place.updates().max(self.events / 10);
        (A_STRETCH / events).clamp(1, 100)
    }
}

/// What all scenes have.
struct Stage {
    runtime: Runtime,
    _loader: Loader,
    opened: Opened,
}

impl Stage {
    fn new() -> Self {
        let (loader, opened) = module::opened();
        Self {
            runtime: runtime(),
            _loader: loader,
            opened,
        }
    }

    fn scene(&self, place: Place, waiting: Waiting, routing: Routing) -> Scene {
        let scene = Scene::set(place, waiting, routing, &self.opened);
        self.runtime.block_on(scene)
    }

    /// What an update costs, in seconds: but for the storage, and with it.
    fn update(&self, place: Place, waiting: Waiting, routing: Routing) -> (f64, f64) {
        let mut scene = self.scene(place, waiting, routing);
        let batches = scene.in_a_stretch();
        #[expect(clippy::cast_precision_loss, reason = "it is a small number")]
        let updates = place.updates() as f64;
        let (cost, all): (Vec<_>, Vec<_>) = (0..STRETCHES)
            .map(|_| self.runtime.block_on(scene.cost(batches)))
            .map(|(cost, all)| (cost.as_secs_f64() / updates, all.as_secs_f64() / updates))
            .unzip();
        self.end(scene);
        (median(&cost), median(&all))
    }

    fn end(&self, scene: Scene) {
        self.runtime.block_on(scene.server.stop());
    }
}

fn groups(criterion: &mut Criterion, scale: Scale) {
    let stage = Stage::new();
    let room = Place::OneRoom {
        members: scale.users(ROOM),
    };
    let pairs = Place::PairsOfRooms {
        users: FEW,
        touched: Touched::Same,
    };
    let places = [
        ("20 rooms of 10", Place::RoomsOfTen),
        ("1 room of 10,000", room),
        ("1,000 users in two rooms of 10 each", pairs),
    ];
    for (name, place) in places {
        let mut group = criterion.benchmark_group(format!("route/{name}"));
        group.throughput(Throughput::Elements(place.updates() as u64));
        for (routing, waiting) in SCENES {
            let id = BenchmarkId::new(format!("{routing:?}"), format!("{waiting:?} waits"));
            // Not before criterion has chosen this one.
            let mut scene = None;
            group.bench_function(id, |bencher| {
                let scene = scene.get_or_insert_with(|| stage.scene(place, waiting, routing));
                bencher.iter_custom(|batches| {
                    let count = usize::try_from(batches).expect("there are few");
                    let (cost, _) = stage.runtime.block_on(scene.cost(count));
                    cost * u32::try_from(batches).expect("there are few")
                });
            });
            if let Some(scene) = scene {
                stage.end(scene);
            }
        }
        group.finish();
    }
}

fn bars() -> Vec<Bar> {
    let stage = Stage::new();
    let mut lines = Vec::new();
    // With a million rows of each, the database takes its time: with the module, only the same users change.
    lines.extend(by_users(&stage, Routing::Broadcast, &[Touched::Same]));
    lines.extend(by_users(
        &stage,
        Routing::Rooms,
        &[Touched::Same, Touched::Spread],
    ));
    for (routing, waiting) in SCENES {
        let name = format!("route, 1 room of 10,000, {routing:?}, {waiting:?} waits: updates/s");
        let place = Place::OneRoom { members: ROOM };
        let (cost, _) = stage.update(place, waiting, routing);
        lines.push(Bar::known(name, 1.0 / cost, "a core"));
    }
    for (routing, waiting) in SCENES {
        let name = format!("route, 20 rooms of 10, {routing:?}, {waiting:?} waits: updates/s");
        let (cost, all) = stage.update(Place::RoomsOfTen, waiting, routing);
        lines.push(Bar::known(
            format!("{name}, storage and all"),
            1.0 / all,
            "a core",
        ));
        lines.push(Bar {
            name,
            figure: 1.0 / cost,
            wanted: Wanted::AtLeast(1_000_000.0),
        });
    }
    lines
}

/// The cost of an update where many users are known, to that where few are. Who changes has changed before.
fn by_users(stage: &Stage, routing: Routing, touched: &[Touched]) -> Vec<Bar> {
    let place = |users, touched| Place::PairsOfRooms { users, touched };
    let mut few = stage.scene(place(FEW, Touched::Same), Waiting::Nobody, routing);
    let mut many = stage.scene(place(MANY, Touched::Same), Waiting::Nobody, routing);
    if touched.contains(&Touched::Spread) {
        many.place = place(MANY, Touched::Spread);
        stage.runtime.block_on(many.everybody_changes());
    }
    let batches = few.in_a_stretch();
    let cost = |scene: &mut Scene| stage.runtime.block_on(scene.cost(batches)).0;
    let mut lines = Vec::new();
    for touched in touched {
        many.place = place(MANY, *touched);
        let compared = Compared::by_turns(STRETCHES, || cost(&mut few), || cost(&mut many));
        let name = format!("route, 1,000 of 1,000,000 users change ({touched:?}), {routing:?}");
        #[expect(clippy::cast_precision_loss, reason = "it is a small number")]
        let updates = TOUCHED as f64 / compared.second();
        lines.push(Bar::known(format!("{name}: updates/s"), updates, "a core"));
        lines.push(Bar {
            name: format!("{name}: cost, to that of 1,000 users"),
            figure: compared.ratio(),
            wanted: Wanted::AtMost(1.2),
        });
    }
    stage.end(few);
    stage.end(many);
    lines
}

//! An incremental sync: by how many users there are, by how many changed whom the reader does not see, and by how many rooms
//! the reader is in. The reader has nothing to wait for. Each time, the same ten users whom they see have changed.

mod kit;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use presence_router::delivery::SyncToken;
use presence_router::engine::Session;
use tokio::runtime::Runtime;

use crate::kit::Scale;
use crate::kit::bar::{Bar, Compared, Wanted};
use crate::kit::people::{People, SQUARE};
use crate::kit::server::{Server, request, runtime};

/// Those who changed, and are seen.
const SEEN: std::ops::Range<usize> = 1..11;
/// The reader of every sync.
const READER: usize = 0;
const USERS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const UNSEEN: [usize; 4] = [0, 100, 10_000, 500_000];
const ROOMS: [usize; 3] = [2, 20, 200];
/// The most that change at once.
const AT_ONCE: usize = 4_000;
/// How many syncs are measured together, and how often.
const A_TURN: u32 = 100;
const TURNS: usize = 200;

fn main() -> ExitCode {
    kit::run(groups, bars)
}

/// A reader who has yet to read what ten people whom they see have changed.
struct Scene {
    server: Server,
    session: Session,
    since: SyncToken,
}

impl Scene {
    async fn set(people: People, unseen: usize) -> Self {
        let first = people.len() - unseen;
        let server = Server::start(people);
        let session = server.session(READER).await;
        let since = server.position(&session).await;
        let mut batches = vec![server.batch(SEEN, 0)];
        let unseen: Vec<_> = (first..first + unseen).collect();
        batches.extend(
            unseen
                .chunks(AT_ONCE)
                .map(|users| server.batch(users.iter().copied(), 0)),
        );
        server.deliver(batches).await;
        Self {
            server,
            session,
            since,
        }
    }

    /// What so many syncs take, one after the other.
    async fn syncs(&self, count: u64) -> Duration {
        let mut taken = Duration::ZERO;
        for _ in 0..count {
            let request = request(Some(self.since.clone()), Duration::ZERO);
            let begun = Instant::now();
            let answer = self.server.engine.sync(&self.session, request).await;
            taken += begun.elapsed();
            assert_eq!(answer.expect("it is answered").events.len(), SEEN.len());
        }
        taken
    }
}

/// A reader in so many rooms of ten, each with nine others.
fn in_rooms(rooms: usize) -> People {
    let others = 9;
    let members = move |room: usize| {
        let first = 1 + room * others;
        let mut members: BTreeSet<_> = (first..first + others).collect();
        members.insert(READER);
        members
    };
    People::new(1 + rooms * others, (0..rooms).map(members))
}

fn scene(runtime: &Runtime, people: People, unseen: usize) -> Scene {
    runtime.block_on(Scene::set(people, unseen))
}

fn groups(criterion: &mut Criterion, scale: Scale) {
    let runtime = runtime();
    let mut measure = |name: &str, count: usize, scene: Scene| {
        let mut group = criterion.benchmark_group(format!("sync/by {name}"));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_custom(|count| runtime.block_on(scene.syncs(count)));
        });
        group.finish();
        runtime.block_on(scene.server.stop());
    };
    for users in USERS {
        let people = People::in_pairs_of_rooms(scale.users(users));
        measure("users", users, scene(&runtime, people, 0));
    }
    let users = scale.users(USERS[3]);
    for unseen in UNSEEN {
        let people = People::in_pairs_of_rooms(users);
        let scene = scene(&runtime, people, unseen.min(users - SQUARE));
        measure("changes that the reader does not see", unseen, scene);
    }
    for rooms in ROOMS {
        measure("rooms of the reader", rooms, scene(&runtime, in_rooms(rooms), 0));
    }
}

fn bars() -> Vec<Bar> {
    let runtime = runtime();
    let [few, .., many] = USERS;
    let turn = |scene: &Scene| runtime.block_on(scene.syncs(u64::from(A_TURN))) / A_TURN;
    let few = scene(&runtime, People::in_pairs_of_rooms(few), 0);
    let mut lines = Vec::new();
    let mut against_few = |name: &str, scene: Scene, wanted: Option<Wanted>| {
        let compared = Compared::by_turns(TURNS, || turn(&few), || turn(&scene));
        runtime.block_on(scene.server.stop());
        let micros = compared.second() * 1e6;
        lines.push(Bar::known(format!("sync, {name}"), micros, "us"));
        lines.push(Bar {
            name: format!("sync, {name}: cost, to that of 1,000 users"),
            figure: compared.ratio(),
            wanted: wanted.unwrap_or(Wanted::Known("x")),
        });
    };
    for rooms in ROOMS {
        let name = format!("reader in {rooms} rooms");
        against_few(&name, scene(&runtime, in_rooms(rooms), 0), None);
    }
    for unseen in [100, 10_000, 500_000] {
        let people = People::in_pairs_of_rooms(many);
        let name = format!("1,000,000 users, {unseen} changes that the reader does not see");
        against_few(&name, scene(&runtime, people, unseen), None);
    }
    let people = People::in_pairs_of_rooms(many);
    against_few(
        "1,000,000 users",
        scene(&runtime, people, 0),
        Some(Wanted::AtMost(1.2)),
    );
    lines
}

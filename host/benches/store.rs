//! What the storage writes in a second with its durability on: presence, to a database in a file, in groups. Each group is
//! waited for, as a `PUT` is. The page on storage in `docs/decisions` says what a write survives.

mod kit;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use presence_router::presence::{UserKey, UserPresence};
use presence_router::storage::{Location, Storage, StoredPresence, Writes};
use presence_router_api::PresenceState;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::kit::Scale;
use crate::kit::bar::{Bar, median};
use crate::kit::people::user;

const GROUPS: [usize; 4] = [1, 16, 256, 4_096];
/// How many users there are; their rows are written by turns.
const USERS: usize = 100_000;
/// How long each group is measured for its figure, a part at a time.
const A_PART: Duration = Duration::from_millis(200);
const PARTS: usize = 9;

fn main() -> ExitCode {
    kit::run(groups, bars)
}

struct Place {
    runtime: Runtime,
    storage: Storage,
    next: usize,
    _directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory can be made");
        let location = Location::File(directory.path().join("presence.db"));
        let (storage, _) = Storage::open(&location).expect("a database can be made");
        Self {
            runtime: Builder::new_current_thread()
                .build()
                .expect("a runtime can be made"),
            storage,
            next: 0,
            _directory: directory,
        }
    }

    fn writes(&mut self, rows: usize) -> Writes {
        let presence = (self.next..self.next + rows).map(|row| StoredPresence {
            user_id: user(row % USERS),
            presence: UserPresence {
                state: PresenceState::Online,
                last_active_ts: 1_700_000_000_000 + row as u64,
                status_msg: Some("in the garden".into()),
                currently_active: true,
                ..UserPresence::OFFLINE
            },
            change: row as u64,
        });
        let number = |record: usize| UserKey(u32::try_from(record % USERS).expect("there are few"));
        let presence = (self.next..).map(number).zip(presence).collect();
        self.next += rows;
        Writes {
            presence,
            ..Writes::default()
        }
    }

    /// What so many groups take, one after the other.
    fn store(&mut self, rows: usize, groups: u64) -> Duration {
        let mut taken = Duration::ZERO;
        for _ in 0..groups {
            let writes = self.writes(rows);
            let begun = Instant::now();
            let (done, stored) = oneshot::channel();
            self.storage.write(writes, vec![done]);
            let stored = self.runtime.block_on(stored);
            taken += begun.elapsed();
            stored.expect("it is answered").expect("it is stored");
        }
        taken
    }

    fn close(self) {
        let closed = self.runtime.block_on(self.storage.close());
        closed.expect("what was handed over is stored");
    }
}

fn groups(criterion: &mut Criterion, _: Scale) {
    let mut place = Place::new();
    let mut group = criterion.benchmark_group("store/rows a group");
    for rows in GROUPS {
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
            bencher.iter_custom(|groups| place.store(rows, groups));
        });
    }
    group.finish();
    place.close();
}

fn bars() -> Vec<Bar> {
    let mut place = Place::new();
    // All sizes by turns: what the disk does meanwhile is in each.
    let mut figures = GROUPS.map(|_| Vec::new());
    for _ in 0..PARTS {
        for (rows, figures) in GROUPS.into_iter().zip(&mut figures) {
            let (mut taken, mut stored) = (Duration::ZERO, 0.0);
            while taken < A_PART {
                taken += place.store(rows, 1);
                #[expect(clippy::cast_precision_loss, reason = "it is a small number")]
                let rows = rows as f64;
                stored += rows;
            }
            figures.push(stored / taken.as_secs_f64());
        }
    }
    place.close();
    let lines = GROUPS.into_iter().zip(&figures);
    lines
        .map(|(rows, figures)| Bar::known(format!("store, groups of {rows}"), median(figures), "updates/s"))
        .collect()
}

//! A call to a module, the whole way that the server takes: from a task on its runtime to the module's own thread, and back
//! with an answer that was checked. The same router is linked statically, and opened as a shared library.
//!
//! Criterion measures what passes on the clock. For the bars all threads share one core, and what is compared is the
//! processor's time that they take: so it is what would pass on the clock of a machine that does nothing else.

mod kit;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use presence_router::modules::{Loader, Opened, Running};
use presence_router_api::{PresenceState, UserId, UserPresenceState};
use tokio::runtime::{Builder, Runtime};

use crate::kit::Scale;
use crate::kit::bar::{Bar, Compared, Wanted};
use crate::kit::{cpu, module};

const BATCHES: [usize; 4] = [1, 16, 256, 4_096];
const AUDIENCES: [usize; 3] = [1, 10, 1_000];
/// From so many updates on, the bar counts.
const BAR_FROM: usize = 16;
const BAR: f64 = 1.05;
/// How often the instances that are compared are started anew: each time, what they hold is elsewhere in memory.
const STARTS: usize = 4;
/// How long a batch is measured for one start and one audience.
const A_MEASUREMENT: Duration = Duration::from_millis(300);
const A_TURN: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    kit::run(groups, bars)
}

/// Two instances of one router. They are there for the rest of the process, as tasks hold them.
struct Pair {
    linked: &'static Running,
    opened: &'static Running,
}

struct Bench {
    runtime: Runtime,
    _loader: Loader,
    linked: Opened,
    opened: Opened,
}

impl Bench {
    fn new() -> Self {
        let (loader, opened) = module::opened();
        Self {
            // The module has a thread of its own; the server's tasks take another.
            runtime: Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("threads can be started"),
            _loader: loader,
            linked: module::linked(),
            opened,
        }
    }

    fn start(&self, audience: usize) -> Pair {
        let users: Vec<_> = (0..audience).map(|number| user("listener", number)).collect();
        self.runtime.block_on(async {
            Pair {
                linked: Box::leak(Box::new(module::start(&self.linked, &users).await)),
                opened: Box::leak(Box::new(module::start(&self.opened, &users).await)),
            }
        })
    }

    /// What so many calls take, one after the other, from a task on the runtime. What the caller does with the answer is not
    /// counted.
    fn calls(&self, module: &'static Running, batch: &[UserPresenceState], calls: u64) -> Duration {
        let batch = batch.to_vec();
        let task = self.runtime.spawn(async move {
            let mut taken = Duration::ZERO;
            for _ in 0..calls {
                let batch = batch.clone();
                let begun = Instant::now();
                let routed = module.get_users_for_states(batch, None).await;
                taken += begun.elapsed();
                assert!(routed.expect("the module answers").pieces.len() <= 1);
            }
            taken
        });
        self.runtime.block_on(task).expect("the task ends")
    }

    /// What a call takes of the processor, over so many.
    fn cost(&self, module: &'static Running, batch: &[UserPresenceState], calls: u32) -> Duration {
        let mut batches: Vec<_> = (0..calls).map(|_| batch.to_vec()).collect();
        let task = self.runtime.spawn(async move {
            let before = cpu::taken();
            for batch in batches.drain(..) {
                let routed = module.get_users_for_states(batch, None).await;
                assert!(routed.expect("the module answers").pieces.len() <= 1);
            }
            cpu::taken().saturating_sub(before)
        });
        self.runtime.block_on(task).expect("the task ends") / calls
    }

    /// Measures both by turns, for a while.
    fn compare(&self, pair: (&'static Running, &'static Running), batch: &[UserPresenceState]) -> Compared {
        let (first, second) = pair;
        let call = self.cost(first, batch, 10).max(Duration::from_nanos(100));
        // So many that a turn takes about a millisecond.
        let calls = (A_TURN.as_nanos() / call.as_nanos()).clamp(1, 200);
        let calls = u32::try_from(calls).expect("it is at most 200");
        let pairs = A_MEASUREMENT.as_nanos() / (2 * u128::from(calls) * call.as_nanos());
        let pairs = usize::try_from(pairs).expect("there are few").max(11);
        let (first, second) = (
            || self.cost(first, batch, calls),
            || self.cost(second, batch, calls),
        );
        Compared::by_turns(pairs, first, second)
    }
}

fn user(name: &str, number: usize) -> UserId {
    UserId::parse(format!("@{name}{number}:example.org")).expect("it is a user id")
}

fn batch(len: usize) -> Vec<UserPresenceState> {
    let state = |number| UserPresenceState {
        state: PresenceState::Online,
        last_active_ts: 1_700_000_000_000,
        currently_active: true,
        ..UserPresenceState::offline(user("user", number).as_str())
    };
    (0..len).map(state).collect()
}

fn groups(criterion: &mut Criterion, _: Scale) {
    let bench = Bench::new();
    for audience in AUDIENCES {
        let pair = bench.start(audience);
        let mut group = criterion.benchmark_group(format!("module_call/audience of {audience}"));
        for len in BATCHES {
            let batch = batch(len);
            group.throughput(Throughput::Elements(len as u64));
            for (how, module) in [("linked", pair.linked), ("opened", pair.opened)] {
                group.bench_function(BenchmarkId::new(how, len), |bencher| {
                    bencher.iter_custom(|calls| bench.calls(module, &batch, calls));
                });
            }
        }
        group.finish();
    }
}

fn bars() -> Vec<Bar> {
    cpu::share_one_core();
    let bench = Bench::new();
    let mut lines = Vec::new();
    let mut worst = 0.0_f64;
    for audience in AUDIENCES {
        let starts: Vec<_> = (0..STARTS).map(|_| bench.start(audience)).collect();
        for len in BATCHES {
            let batch = batch(len);
            let mut compared = Compared::default();
            for pair in &starts {
                compared.extend(bench.compare((pair.linked, pair.opened), &batch));
            }
            if len >= BAR_FROM {
                worst = worst.max(compared.ratio());
            }
            let name = format!("module_call, {len} updates to {audience}");
            lines.push(Bar::known(
                format!("{name}: opened"),
                compared.second() * 1e6,
                "us a call",
            ));
            lines.push(Bar::known(
                format!("{name}: opened/linked"),
                compared.ratio(),
                "x",
            ));
        }
    }
    let (idle, nobody) = (bench.start(1), bench.start(0));
    for (name, module, batch) in [
        ("no update", idle.opened, batch(0)),
        ("1 update to nobody", nobody.opened, batch(1)),
    ] {
        let empty = bench.compare((module, module), &batch);
        let name = format!("module_call, {name}: opened");
        lines.push(Bar::known(name, empty.first() * 1e6, "us a call"));
    }
    // What comes out where nothing differs: how far the figures above can be trusted.
    let mut control = Compared::default();
    for _ in 0..STARTS {
        let (one, other) = (bench.start(10), bench.start(10));
        control.extend(bench.compare((one.linked, other.linked), &batch(BATCHES[2])));
    }
    let name = "module_call, 256 updates to 10: linked/linked, as a control".to_owned();
    lines.push(Bar::known(name, control.ratio(), "x"));
    lines.push(Bar {
        name: format!("module_call, opened/linked from {BAR_FROM} updates on, the worst"),
        figure: worst,
        wanted: Wanted::AtMost(BAR),
    });
    lines
}

//! What the tests of the sender work with: an outbox of numbers, and roads on which a transaction fares as it is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::clock::TokioClock;
use crate::federation::outbox::{Contact, Outbox, Taken, Waits};
use crate::federation::sender::standing::Lane;
use crate::federation::sender::{Carrier, Sender, Sending, Undelivered};

/// Of whom nobody need hear any more.
pub(super) const FORGOTTEN: u32 = u32::MAX;

/// Users by number, for destinations by name.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) waiting: Mutex<BTreeMap<Arc<str>, BTreeSet<u32>>>,
    pub(super) fresh: Mutex<BTreeSet<Arc<str>>>,
    pub(super) woken: Notify,
    pub(super) notes: Mutex<Vec<Contact>>,
    pub(super) transactions: Mutex<u64>,
}

impl Desk {
    pub(super) fn put(&self, server: &str, users: impl IntoIterator<Item = u32>) {
        let server: Arc<str> = Arc::from(server);
        self.waiting
            .lock()
            .entry(Arc::clone(&server))
            .or_default()
            .extend(users);
        self.fresh.lock().insert(server);
        self.woken.notify_one();
    }

    pub(super) fn waiting_for(&self, server: &str) -> usize {
        self.waiting.lock().get(server).map_or(0, BTreeSet::len)
    }
}

impl Outbox for Desk {
    type Load = Vec<u32>;

    fn waiting(&self) -> Waits<'_, Vec<Arc<str>>> {
        Box::pin(async {
            loop {
                let woken = self.woken.notified();
                let fresh = std::mem::take(&mut *self.fresh.lock());
                if !fresh.is_empty() {
                    return fresh.into_iter().collect();
                }
                woken.await;
            }
        })
    }

    fn take(&self, destination: &str, users: usize, _bytes: usize) -> Taken<Vec<u32>> {
        let mut waiting = self.waiting.lock();
        let queue = waiting.entry(Arc::from(destination)).or_default();
        let load: Vec<_> = std::iter::from_fn(|| queue.pop_first()).take(users).collect();
        Taken {
            entries: load
                .iter()
                .filter(|user| **user != FORGOTTEN)
                .map(|user| json!({ "user_id": user }))
                .collect(),
            load,
            more: !queue.is_empty(),
        }
    }

    fn arrived(&self, _: &str, _: Vec<u32>) {}

    fn take_back(&self, destination: &str, load: Vec<u32>) {
        self.put(destination, load);
    }

    fn note(&self, contact: &Contact) {
        self.notes.lock().push(contact.clone());
    }

    fn transaction_id(&self) -> String {
        let mut transactions = self.transactions.lock();
        *transactions += 1;
        transactions.to_string()
    }
}

/// What a homeserver does with a transaction.
#[derive(Clone)]
pub(super) enum Mood {
    Take,
    Fail,
    Limit(Duration),
    Refuse,
    /// It never answers.
    Hang,
    /// A fault of ours.
    Panic,
}

/// A transaction that was carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) destination: String,
    pub(super) id: String,
    /// By EDU.
    pub(super) users: Vec<usize>,
    pub(super) at: Duration,
}

pub(super) struct Roads {
    pub(super) begun: Instant,
    pub(super) moods: Mutex<HashMap<String, Mood>>,
    pub(super) carried: watch::Sender<Vec<Carried>>,
    pub(super) running: watch::Sender<usize>,
}

impl Roads {
    pub(super) fn mood(&self, destination: &str, mood: Mood) {
        self.moods.lock().insert(destination.to_owned(), mood);
    }

    pub(super) fn to(&self, destination: &str) -> Vec<Carried> {
        let carried = self.carried.borrow();
        carried
            .iter()
            .filter(|carried| carried.destination == destination)
            .cloned()
            .collect()
    }

    /// Waits until so many transactions were carried to a destination.
    pub(super) async fn carried_to(&self, destination: &str, count: usize) -> Vec<Carried> {
        let mut carried = self.carried.subscribe();
        let so =
            |all: &Vec<Carried>| all.iter().filter(|one| one.destination == destination).count() >= count;
        carried.wait_for(so).await.expect("the roads are there");
        self.to(destination)
    }
}

impl Carrier for Roads {
    fn carry<'a>(
        &'a self,
        destination: &'a str,
        transaction_id: &'a str,
        body: Value,
    ) -> Waits<'a, Result<(), Undelivered>> {
        Box::pin(async move {
            assert_eq!(body["origin"], "example.org");
            assert_eq!(body["pdus"], json!([]));
            let edus = body["edus"].as_array().expect("EDUs");
            let users = edus
                .iter()
                .map(|edu| edu["content"]["push"].as_array().expect("states").len());
            let carried = Carried {
                destination: destination.to_owned(),
                id: transaction_id.to_owned(),
                users: users.collect(),
                at: self.begun.elapsed(),
            };
            self.carried.send_modify(|all| all.push(carried));
            self.running.send_modify(|running| *running += 1);
            let mood = self.moods.lock().get(destination).cloned().unwrap_or(Mood::Take);
            let outcome = match mood {
                Mood::Take => Ok(()),
                Mood::Fail => Err(Undelivered::Away("told to fail".to_owned())),
                Mood::Limit(rest) => Err(Undelivered::TooMany(rest)),
                Mood::Refuse => Err(Undelivered::Refused("told to refuse".to_owned())),
                Mood::Hang => std::future::pending().await,
                Mood::Panic => panic!("told to panic"),
            };
            self.running.send_modify(|running| *running -= 1);
            outcome
        })
    }
}

pub(super) struct Bench {
    pub(super) desk: Arc<Desk>,
    pub(super) roads: Arc<Roads>,
    pub(super) sender: Sender,
    pub(super) stop: DropGuard,
    pub(super) tasks: TaskTracker,
}

impl Bench {
    /// So many homeservers never answer, and hold all places of their lane.
    pub(super) async fn hang_for_ever(&self, name: &str, count: usize, lane: Lane) {
        for number in 0..count {
            let server = format!("{name}{number}.test");
            self.roads.mood(&server, Mood::Hang);
            self.desk.put(&server, [1]);
        }
        let mut running = self.roads.running.subscribe();
        let all = |running: &usize| *running == lane.places();
        running.wait_for(all).await.expect("they run");
    }
}

pub(super) fn bench_with(known: Vec<Contact>) -> Bench {
    let desk = Arc::<Desk>::default();
    let roads = Arc::new(Roads {
        begun: Instant::now(),
        moods: Mutex::default(),
        carried: watch::Sender::default(),
        running: watch::Sender::default(),
    });
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let sender = Sender::start(Sending {
        clock: Arc::new(TokioClock::starting_at(1_000_000)),
        origin: Arc::from("example.org"),
        outbox: Arc::clone(&desk),
        carrier: Arc::<Roads>::clone(&roads),
        known,
        stop: stop.clone(),
        tasks: tasks.clone(),
    });
    Bench {
        desk,
        roads,
        sender,
        stop: stop.drop_guard(),
        tasks,
    }
}

pub(super) fn bench() -> Bench {
    bench_with(Vec::new())
}

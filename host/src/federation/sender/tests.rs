//! What is sent when, on a clock that stands still but for what a test lets pass.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, advance};

use super::*;
use crate::clock::TokioClock;
use crate::federation::outbox::Taken;
use crate::metrics::Exposition;

/// Users by number, for destinations by name.
#[derive(Default)]
struct Desk {
    waiting: Mutex<BTreeMap<Arc<str>, BTreeSet<u32>>>,
    fresh: Mutex<BTreeSet<Arc<str>>>,
    woken: Notify,
    notes: Mutex<Vec<Contact>>,
    transactions: Mutex<u64>,
}

impl Desk {
    fn put(&self, server: &str, users: impl IntoIterator<Item = u32>) {
        let server: Arc<str> = Arc::from(server);
        self.waiting
            .lock()
            .entry(Arc::clone(&server))
            .or_default()
            .extend(users);
        self.fresh.lock().insert(server);
        self.woken.notify_one();
    }

    fn waiting_for(&self, server: &str) -> usize {
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
            entries: load.iter().map(|user| json!({ "user_id": user })).collect(),
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
enum Mood {
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
struct Carried {
    destination: String,
    id: String,
    /// By EDU.
    users: Vec<usize>,
    at: Duration,
}

struct Roads {
    begun: Instant,
    moods: Mutex<HashMap<String, Mood>>,
    carried: watch::Sender<Vec<Carried>>,
    running: watch::Sender<usize>,
}

impl Roads {
    fn mood(&self, destination: &str, mood: Mood) {
        self.moods.lock().insert(destination.to_owned(), mood);
    }

    fn to(&self, destination: &str) -> Vec<Carried> {
        let carried = self.carried.borrow();
        carried
            .iter()
            .filter(|carried| carried.destination == destination)
            .cloned()
            .collect()
    }

    /// Waits until so many transactions were carried to a destination.
    async fn carried_to(&self, destination: &str, count: usize) -> Vec<Carried> {
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

struct Bench {
    desk: Arc<Desk>,
    roads: Arc<Roads>,
    sender: Sender,
    stop: tokio_util::sync::DropGuard,
    tasks: TaskTracker,
}

fn bench_with(known: Vec<Contact>) -> Bench {
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

fn bench() -> Bench {
    bench_with(Vec::new())
}

#[tokio::test(start_paused = true)]
async fn a_transaction_has_at_most_100_edus_of_50_states_and_the_rest_follows_under_another_id() {
    let bench = bench();
    bench.desk.put("other.test", 0..5_120);
    let carried = bench.roads.carried_to("other.test", 2).await;
    assert_eq!(carried[0].users, vec![50; 100]);
    assert_eq!(carried[1].users, [50, 50, 20]);
    assert_ne!(carried[0].id, carried[1].id);
}

#[tokio::test(start_paused = true)]
async fn one_transaction_at_a_time_runs_to_a_homeserver() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Hang);
    bench.desk.put("other.test", [1]);
    bench.roads.carried_to("other.test", 1).await;
    bench.desk.put("other.test", [2]);
    // By then all that is ready has been done.
    bench.desk.put("third.test", [1]);
    bench.roads.carried_to("third.test", 1).await;
    assert_eq!(bench.roads.to("other.test").len(), 1);
    assert_eq!(bench.desk.waiting_for("other.test"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_arrive_is_tried_again_ever_later_with_what_has_come_meanwhile() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Fail);
    bench.desk.put("other.test", [1]);
    let carried = bench.roads.carried_to("other.test", 4).await;
    let rests: Vec<_> = carried
        .windows(2)
        .map(|two| two[1].at.saturating_sub(two[0].at))
        .collect();
    for (rest, least) in rests.iter().zip([10, 20, 40]) {
        let least = Duration::from_secs(least);
        assert!(*rest >= least && *rest <= least + least / 4, "{rests:?}");
    }
    bench.desk.put("other.test", [2, 3]);
    bench.roads.mood("other.test", Mood::Take);
    let carried = bench.roads.carried_to("other.test", 5).await;
    assert_eq!(carried[4].users, [3]);
    let notes = bench.desk.notes.lock().clone();
    let failures: Vec<_> = notes.iter().map(|contact| contact.failures).collect();
    assert!(failures.starts_with(&[1, 2, 3, 4]), "{failures:?}");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_rest_gets_it() {
    let bench = bench();
    bench
        .roads
        .mood("other.test", Mood::Limit(Duration::from_secs(7)));
    bench.desk.put("other.test", [1]);
    let carried = bench.roads.carried_to("other.test", 3).await;
    for two in carried.windows(2) {
        let rest = two[1].at.saturating_sub(two[0].at);
        assert!(
            rest >= Duration::from_secs(7) && rest < Duration::from_secs(8),
            "{rest:?}"
        );
    }
    let contact = bench.sender.contacts();
    assert_eq!(contact[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_sent_again() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Refuse);
    bench.desk.put("other.test", [1]);
    bench.roads.carried_to("other.test", 1).await;
    advance(LAST_RETRY * 2).await;
    bench.desk.put("other.test", [2]);
    let carried = bench.roads.carried_to("other.test", 2).await;
    assert_eq!(carried[1].users, [1]);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_to_us_is_tried_at_once() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Fail);
    bench.desk.put("other.test", [1]);
    bench.roads.carried_to("other.test", 3).await;
    bench.roads.mood("other.test", Mood::Take);
    let waiting = || {
        bench
            .sender
            .contacts()
            .first()
            .is_some_and(|contact| contact.failures == 3)
    };
    while !waiting() {
        tokio::task::yield_now().await;
    }
    let before = Instant::now();
    bench.sender.heard_from("other.test");
    bench.roads.carried_to("other.test", 4).await;
    assert_eq!(Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn homeservers_that_hang_hold_up_none_that_took_the_last_transaction() {
    let bench = bench();
    bench.desk.put("good.test", [1]);
    bench.roads.carried_to("good.test", 1).await;
    for number in 0..10_000 {
        let server = format!("away{number}.test");
        bench.roads.mood(&server, Mood::Hang);
        bench.desk.put(&server, [1]);
    }
    let mut running = bench.roads.running.subscribe();
    running
        .wait_for(|running| *running == TRANSACTIONS)
        .await
        .expect("they run");
    bench.desk.put("good.test", [2]);
    bench.roads.carried_to("good.test", 2).await;
    assert_eq!(*bench.roads.running.borrow(), TRANSACTIONS);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_run_s_rest_goes_on_in_the_next() {
    let away = Contact {
        server: Arc::from("other.test"),
        succeeded_ts: 5,
        failed_ts: 900_000,
        retry_ts: 1_030_000,
        failures: 4,
    };
    let bench = bench_with(vec![away]);
    bench.desk.put("other.test", [1]);
    let carried = bench.roads.carried_to("other.test", 1).await;
    let at = carried[0].at;
    assert!(
        at >= Duration::from_secs(30) && at < Duration::from_secs(31),
        "{at:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn all_is_counted_by_what_became_of_it() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let bench = bench();
    for (server, mood) in [
        ("away.test", Mood::Fail),
        ("limits.test", Mood::Limit(Duration::from_mins(1))),
        ("refuses.test", Mood::Refuse),
        ("hangs.test", Mood::Hang),
    ] {
        bench.roads.mood(server, mood);
        bench.desk.put(server, [0]);
    }
    bench.desk.put("good.test", 0..51);
    for server in [
        "away.test",
        "limits.test",
        "refuses.test",
        "hangs.test",
        "good.test",
    ] {
        bench.roads.carried_to(server, 1).await;
    }
    let ended = || bench.sender.contacts().len() == 4;
    while !ended() {
        tokio::task::yield_now().await;
    }
    let text = exposition.render();
    for line in [
        r#"presence_router_federation_sent_transactions_total{outcome="ok"} 1"#,
        r#"presence_router_federation_sent_transactions_total{outcome="away"} 1"#,
        r#"presence_router_federation_sent_transactions_total{outcome="limited"} 1"#,
        r#"presence_router_federation_sent_transactions_total{outcome="refused"} 1"#,
        "synapse_federation_client_sent_edus_total 2",
        "presence_router_federation_sent_states_total 51",
        "synapse_federation_transaction_queue_pending_destinations 1",
        r#"presence_router_destinations{state="up"} 2"#,
        r#"presence_router_destinations{state="backing_off"} 2"#,
    ] {
        assert!(text.lines().any(|got| got == line), "{line}\nis not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_the_server_stops_waits_again() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Hang);
    bench.desk.put("other.test", [1, 2]);
    bench.roads.carried_to("other.test", 1).await;
    assert_eq!(bench.desk.waiting_for("other.test"), 0);
    drop(bench.stop);
    bench.tasks.close();
    bench.tasks.wait().await;
    assert_eq!(bench.desk.waiting_for("other.test"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_ours_costs_no_place_and_nothing_that_waits() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Panic);
    bench.desk.put("other.test", [1]);
    bench.roads.carried_to("other.test", 2).await;
    bench.roads.mood("other.test", Mood::Take);
    let carried = bench.roads.carried_to("other.test", 3).await;
    assert_eq!(carried[2].users, [1]);
}

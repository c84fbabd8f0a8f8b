//! Users who write as fast as they are answered, and clients who count what they are told. The clients are long-polls: one
//! whom the module alone tells, and one who shares a room with the writers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use presence_router_tests::{Config, Host, PATIENCE, SyncRequest, User, id_of};

/// Each waits until both observers have been told of what it set before it sets the next: every update is counted.
const COUNTED: [&str; 3] = ["counted-1", "counted-2", "counted-3"];
/// These wait for nobody, so that some of their updates take the place of others.
const FLOODING: [&str; 2] = ["flooding-1", "flooding-2"];
/// This one is online, and writes nothing further.
const QUIET: &str = "quiet";
/// Whom the module routes to, and who shares a room with the writers.
const OBSERVERS: [&str; 2] = ["presence_gobbler", "roommate"];

/// How long an observer asks the server to wait.
const LONG_POLL: Duration = Duration::from_secs(2);
/// How much later than it should a sync may be answered, and how long after an update its observers may be told of it. A
/// swap that blocked them would do so until calls are cut off, which is at 10 s.
const MARGIN: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug)]
pub(super) struct Report {
    /// How many updates both observers were told of, one by one.
    pub(super) counted: u64,
    /// How many updates of the flood there were.
    pub(super) flooded: u64,
    /// How many first syncs and looks at one user's presence were right.
    pub(super) looks: u64,
    /// The longest from an update to when both observers had been told of it.
    pub(super) slowest_update: Duration,
    /// The longest from a first sync to when all writers were seen.
    pub(super) slowest_look: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            counted,
            flooded,
            looks,
            slowest_update,
            slowest_look,
        } = self;
        write!(
            f,
            "{counted} updates counted, the slowest after {slowest_update:?}; {flooded} of the flood; {looks} first syncs and \
             looks, the slowest after {slowest_look:?}"
        )
    }
}

/// Adds the writers and the observers.
pub(super) fn with_users(config: Config) -> Config {
    let roommates: Vec<_> = COUNTED.into_iter().chain(FLOODING).chain(["roommate"]).collect();
    config
        .users(&[QUIET])
        .users(&roommates)
        .room("!load:example.org", &roommates)
}

/// Runs the load while `work` does what is to be done under it. `work` asks from time to time whether to go on: not when
/// something was wrong, over which this panics.
pub(super) fn under_load(host: &Host, work: impl FnOnce(&dyn Fn() -> bool)) -> Report {
    let ledger = Ledger::default();
    for writer in COUNTED.into_iter().chain(FLOODING) {
        host.user(writer).set("online", Some("0"));
    }
    host.user(QUIET).set("online", None);
    let since = OBSERVERS.map(|observer| start(&host.user(observer)));
    thread::scope(|scope| {
        let ledger = &ledger;
        let observing: Vec<_> = OBSERVERS
            .into_iter()
            .zip(since)
            .map(|(observer, since)| {
                let user = host.user(observer);
                scope.spawn(move || ledger.observe(observer, &user, since))
            })
            .collect();
        let looker = host.user("presence_gobbler");
        let looking = scope.spawn(move || ledger.look(&looker));
        let counting: Vec<_> = COUNTED
            .map(|writer| (writer, host.user(writer)))
            .map(|(writer, user)| scope.spawn(move || ledger.count(writer, &user)))
            .into();
        let flooding: Vec<_> = FLOODING
            .map(|writer| (writer, host.user(writer)))
            .map(|(writer, user)| scope.spawn(move || ledger.flood(writer, &user)))
            .into();
        {
            let _ends_also_by_a_panic = Ending(&ledger.has_ended);
            work(&|| !ledger.has_ended());
        }
        let counted: Vec<_> = counting.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let flooded: Vec<_> = flooding.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ledger.all_is_told.store(true, Ordering::SeqCst);
        for observer in observing {
            observer.join().expect("the observer saw what it must");
        }
        let (looks, slowest_look) = looking.join().expect("the first syncs were right");
        let counted: Vec<_> = counted
            .into_iter()
            .map(|writer| writer.expect("both observers were told of each update"))
            .collect();
        let flooded = flooded
            .into_iter()
            .map(|last| last.expect("the last update came"));
        Report {
            counted: counted.iter().map(|(count, _)| count).sum(),
            flooded: flooded.sum(),
            looks,
            slowest_update: counted
                .iter()
                .map(|(_, slowest)| *slowest)
                .max()
                .unwrap_or_default(),
            slowest_look,
        }
    })
}

/// A first sync, and, when somebody writes just then, those after it that tell of these. Then all writers are seen.
fn start(user: &User) -> String {
    let mut answer = user.sync(&SyncRequest::initial());
    let mut unseen: Vec<_> = COUNTED.into_iter().chain(FLOODING).map(id_of).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        unseen.retain(|writer| answer.of(writer).is_none());
        if unseen.is_empty() {
            return answer.next_batch;
        }
        assert!(
            Instant::now() < deadline,
            "{} is not told of {unseen:?}",
            user.id()
        );
        answer = user.sync(&SyncRequest::since(&answer.next_batch).wait(LONG_POLL));
    }
}

/// What the observers were told.
#[derive(Default)]
struct Ledger {
    /// The newest number of a writer, by observer.
    newest: Mutex<BTreeMap<(&'static str, String), u64>>,
    told: Condvar,
    has_ended: AtomicBool,
    /// After the writers.
    all_is_told: AtomicBool,
}

/// Ends the load when it goes.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Ends the load when a thread of it panics.
struct EndingByPanic<'a>(&'a Ledger);

impl Drop for EndingByPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_ended.store(true, Ordering::SeqCst);
            self.0.all_is_told.store(true, Ordering::SeqCst);
        }
    }
}

impl Ledger {
    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    fn newest(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), u64>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs on, and checks that nothing comes twice, nothing of a counted writer is missing, and no answer is late.
    fn observe(&self, observer: &'static str, user: &User, mut since: String) {
        let _ending = EndingByPanic(self);
        while !self.all_is_told.load(Ordering::SeqCst) {
            let begun = Instant::now();
            let answer = user.sync(&SyncRequest::since(&since).wait(LONG_POLL));
            let took = begun.elapsed();
            assert!(took < LONG_POLL + MARGIN, "{observer}: a sync took {took:?}");
            since = answer.next_batch;
            let mut newest = self.newest();
            for event in answer.presence {
                let says = event.status_msg.as_deref().and_then(|says| says.parse().ok());
                let says: u64 = says.unwrap_or_else(|| panic!("{observer}: not set by a writer: {event:?}"));
                let before = newest.entry((observer, event.sender.clone())).or_default();
                assert!(says > *before, "{observer}: after {before} was told {event:?}");
                if COUNTED.iter().any(|writer| id_of(writer) == event.sender) {
                    assert_eq!(says, *before + 1, "{observer}: lost what came before {event:?}");
                }
                *before = says;
            }
            drop(newest);
            self.told.notify_all();
        }
    }

    /// First syncs and looks at one user, each of which asks the module.
    fn look(&self, user: &User) -> (u64, Duration) {
        let _ending = EndingByPanic(self);
        let (mut looks, mut slowest) = (0, Duration::ZERO);
        while !self.has_ended() {
            let begun = Instant::now();
            start(user);
            slowest = slowest.max(begun.elapsed());
            assert!(
                slowest < MARGIN,
                "a first sync, until all were seen, took {slowest:?}"
            );
            let seen = user.presence_of(&id_of(QUIET)).expect(200);
            assert_eq!(seen["presence"], "online");
            looks += 1;
        }
        (looks, slowest)
    }

    /// Writes, one after the other: how many, and the longest until the observers had been told of one.
    fn count(&self, writer: &'static str, user: &User) -> (u64, Duration) {
        let _ending = EndingByPanic(self);
        let (mut number, mut slowest) = (0, Duration::ZERO);
        while !self.has_ended() {
            number += 1;
            let begun = Instant::now();
            user.set("online", Some(&number.to_string()));

            self.wait_until_told(writer, number);
            slowest = slowest.max(begun.elapsed());
            assert!(slowest < MARGIN, "{writer}: {number} was told after {slowest:?}");
        }
        (number, slowest)
    }

    /// Writes as fast as it is answered; the last must come.
    fn flood(&self, writer: &'static str, user: &User) -> u64 {
        let _ending = EndingByPanic(self);
        let mut number = 0;
        while !self.has_ended() {
            number += 1;
            user.set("online", Some(&number.to_string()));
        }
        self.wait_until_told(writer, number);
        number
    }

    fn wait_until_told(&self, writer: &str, number: u64) {
        let is_missing = |newest: &BTreeMap<(&'static str, String), u64>, observer| {
            newest.get(&(observer, id_of(writer))).copied() < Some(number)
        };
        let (newest, timeout) = self
            .told
            .wait_timeout_while(self.newest(), PATIENCE, |newest| {
                !self.all_is_told.load(Ordering::SeqCst)
                    && OBSERVERS.iter().any(|observer| is_missing(newest, *observer))
            })
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !timeout.timed_out(),
            "{writer} has written {number}, and was waited for in vain: {newest:?}"
        );
    }
}

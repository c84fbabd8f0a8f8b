//! Sends what waits to other homeservers: one transaction at a time to each, a bounded number over all, ever less often to
//! those that are away.
//!
//! Homeservers that took the last transaction have places of their own, and so have those that were never tried: those that
//! are away, however many, do not hold them up.

mod backoff;
mod standing;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::time::DelayQueue;

use crate::clock::Clock;
use crate::federation::outbox::{Contact, Outbox, Waits};
use crate::federation::sender::backoff::LAST_RETRY;
use crate::federation::sender::standing::{Lane, Standing, State};
use crate::federation::sender::transaction::send;
use crate::metrics::{OnScrape, SentMetrics, on_scrape};

/// How many homeservers that have spoken to us may wait to be noticed.
const HEARD: usize = 1_024;

/// Carries a transaction to a homeserver.
pub trait Carrier: Send + Sync + 'static {
    /// `PUT /_matrix/federation/v1/send/{transaction_id}`, in bounded time.
    fn carry<'a>(
        &'a self,
        destination: &'a str,
        transaction_id: &'a str,
        body: Value,
    ) -> Waits<'a, Result<(), Undelivered>>;
}

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The homeserver is away, or in trouble.
    #[error("{0}")]
    Away(String),
    /// It asks to be left alone for so long.
    #[error("it asks to be left alone for {} ms", .0.as_millis())]
    TooMany(Duration),
    /// It does not want this transaction, and would not want it the next time either.
    #[error("{0}")]
    Refused(String),
}

/// What a sender works with.
pub struct Sending<O> {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This homeserver's name.
    pub origin: Arc<str>,
    /// What is to be sent.
    pub outbox: Arc<O>,
    /// How it is sent.
    pub carrier: Arc<dyn Carrier>,
    /// What is known of homeservers from earlier runs.
    pub known: Vec<Contact>,
    /// Ends it.
    pub stop: CancellationToken,
    /// Where it runs; it has ended when that is over.
    pub tasks: TaskTracker,
}

/// A running sender. Dropped, it goes on; it ends with the token that it was started with.
#[derive(Clone)]
pub struct Sender {
    heard: mpsc::Sender<Arc<str>>,
    contacts: Contacts,
    _on_scrape: Arc<OnScrape>,
}

type Contacts = Arc<parking_lot::RwLock<HashMap<Arc<str>, Contact>>>;

impl Sender {
    /// Starts on the present runtime.
    pub fn start<O: Outbox>(sending: Sending<O>) -> Self {
        let Sending {
            clock,
            origin,
            outbox,
            carrier,
            known,
            stop,
            tasks,
        } = sending;
        let (heard, speakers) = mpsc::channel(HEARD);
        let (contacts, metrics) = (Contacts::default(), SentMetrics::new());
        let on_scrape = refreshing(&contacts, metrics.clone());
        let mut dispatch = Dispatch {
            clock,
            origin,
            outbox,
            carrier,
            contacts: Arc::clone(&contacts),
            destinations: HashMap::new(),
            waiting: Default::default(),
            running: JoinSet::new(),
            runners: HashMap::new(),
            running_in: Default::default(),
            delays: DelayQueue::new(),
            metrics,
        };
        for contact in known {
            dispatch.remember(contact);
        }
        tasks.spawn(dispatch.run(speakers, stop));
        Self {
            heard,
            contacts,
            _on_scrape: Arc::new(on_scrape),
        }
    }

    /// A homeserver has spoken to us, so it is there: what waits for it need not wait longer.
    pub fn heard_from(&self, server: &str) {
        let is_away = self
            .contacts
            .read()
            .get(server)
            .is_some_and(|contact| contact.failures > 0);
        if is_away {
            // With so many to notice it is noticed the next time that it speaks.
            let _ = self.heard.try_send(Arc::from(server));
        }
    }

    /// How each homeserver was reached last that was tried, by name.
    pub fn contacts(&self) -> Vec<Contact> {
        let mut contacts: Vec<_> = self.contacts.read().values().cloned().collect();
        contacts.sort_unstable_by(|one, other| one.server.cmp(&other.server));
        contacts
    }
}

struct Dispatch<O: Outbox> {
    clock: Arc<dyn Clock>,
    origin: Arc<str>,
    outbox: Arc<O>,
    carrier: Arc<dyn Carrier>,
    contacts: Contacts,
    destinations: HashMap<Arc<str>, Standing>,
    /// By lane.
    waiting: [VecDeque<Arc<str>>; Lane::ALL.len()],
    running: JoinSet<Result<Done, Undelivered>>,
    runners: HashMap<Id, (Arc<str>, Lane)>,
    /// By lane.
    running_in: [usize; Lane::ALL.len()],
    delays: DelayQueue<Arc<str>>,
    metrics: SentMetrics,
}

/// A transaction that has ended.
struct Ended {
    server: Arc<str>,
    lane: Lane,
    outcome: Result<Done, Undelivered>,
}

/// What was done for a homeserver, and whether more waits for it.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    /// It was sent a transaction.
    Carried { more: bool },
    /// It need not hear any more of what waited, so nothing is known of it that was not before.
    NothingToSay { more: bool },
}

impl<O: Outbox> Dispatch<O> {
    async fn run(mut self, mut speakers: mpsc::Receiver<Arc<str>>, stop: CancellationToken) {
        loop {
            tokio::select! {
                servers = self.outbox.waiting() => {
                    for server in servers {
                        self.has_something(server);
                    }
                }
                Some(joined) = self.running.join_next_with_id() => {
                    // A panic is logged where it happens. What was on its way waits again.
                    let fault = || Err(Undelivered::Away("a fault of this server".to_owned()));
                    let (id, outcome) = joined.unwrap_or_else(|error| (error.id(), fault()));
                    if let Some((server, lane)) = self.runners.remove(&id) {
                        self.ended(Ended { server, lane, outcome });
                    }
                }
                Some(expired) = self.delays.next() => self.try_again(&expired.into_inner()),
                Some(server) = speakers.recv() => self.try_again(&server),
                () = stop.cancelled() => break,
            }
            self.begin_what_may();
            self.metrics.running(self.running_in.iter().sum());
        }
        // What is on its way waits again, to be stored.
        self.running.shutdown().await;
    }

    /// What an earlier run knew.
    fn remember(&mut self, contact: Contact) {
        let server = Arc::clone(&contact.server);
        let rest = contact.retry_ts.saturating_sub(self.clock.now_ms());
        let mut standing = Standing::of(contact.clone());
        if rest > 0 && contact.failures > 0 {
            let rest = Duration::from_millis(rest).min(LAST_RETRY);
            standing.state = State::BackingOff(self.delays.insert(Arc::clone(&server), rest));
        }
        self.contacts.write().insert(Arc::clone(&server), contact);
        self.destinations.insert(server, standing);
    }

    /// Something has come to wait for a homeserver.
    fn has_something(&mut self, server: Arc<str>) {
        let standing = self
            .destinations
            .entry(Arc::clone(&server))
            .or_insert_with(|| Standing::new(&server));
        match &mut standing.state {
            State::Idle => {
                standing.state = State::Waiting;
                self.waiting[standing.lane() as usize].push_back(server);
            }
            State::Running { more } => *more = true,
            State::Waiting | State::BackingOff(_) => {}
        }
    }

    /// A homeserver that was left alone need not be any more.
    fn try_again(&mut self, server: &Arc<str>) {
        let Some(standing) = self.destinations.get_mut(server) else {
            return;
        };
        if let State::BackingOff(delay) = &standing.state {
            self.delays.try_remove(delay);
            standing.state = State::Idle;
            self.has_something(Arc::clone(server));
        }
    }

    fn begin_what_may(&mut self) {
        for lane in Lane::ALL {
            while self.running_in[lane as usize] < lane.places() {
                let Some(server) = self.waiting[lane as usize].pop_front() else {
                    break;
                };
                if let Some(standing) = self.destinations.get_mut(&server) {
                    standing.state = State::Running { more: false };
                }
                self.running_in[lane as usize] += 1;
                let (outbox, carrier) = (Arc::clone(&self.outbox), Arc::clone(&self.carrier));
                let (origin, now) = (Arc::clone(&self.origin), self.clock.now_ms());
                let metrics = self.metrics.clone();
                let name = Arc::clone(&server);
                let task = self
                    .running
                    .spawn(async move { send(&*outbox, &*carrier, (&origin, &name), now, &metrics).await });
                self.runners.insert(task.id(), (server, lane));
            }
        }
    }

    fn ended(
        &mut self,
        Ended {
            server,
            lane,
            outcome,
        }: Ended,
    ) {
        self.running_in[lane as usize] -= 1;
        let now = self.clock.now_ms();
        let Some(standing) = self.destinations.get_mut(&server) else {
            return;
        };
        let came = matches!(standing.state, State::Running { more: true });
        standing.state = State::Idle;
        let before = standing.contact.clone();
        let rest = match &outcome {
            Ok(Done::Carried { .. }) => {
                standing.succeeded(now);
                None
            }
            Ok(Done::NothingToSay { .. }) => None,
            Err(Undelivered::Refused(why)) => {
                tracing::debug!(destination = &*server, why, "does not want a transaction");
                standing.succeeded(now);
                None
            }
            Err(Undelivered::TooMany(rest)) => Some(standing.asked_for_rest(*rest, now)),
            Err(Undelivered::Away(why)) => {
                let rest = standing.failed(now);
                if before.failures == 0 {
                    tracing::info!(
                        destination = &*server,
                        "is not reached, and tried again later: {why}"
                    );
                } else {
                    tracing::debug!(destination = &*server, why, "is still not reached");
                }
                Some(rest)
            }
        };
        let after = standing.contact.clone();
        if before.failures > 0 && after.failures == 0 {
            tracing::info!(destination = &*server, "is reached again");
        }
        if before != after {
            let was_reached = before.succeeded_ts > 0;
            if before.failures != after.failures || !was_reached || before.retry_ts != after.retry_ts {
                self.outbox.note(&after);
            }
            self.contacts.write().insert(Arc::clone(&server), after);
        }
        let more = matches!(
            outcome,
            Ok(Done::Carried { more: true } | Done::NothingToSay { more: true })
        );
        match rest {
            Some(rest) => {
                let delay = self.delays.insert(Arc::clone(&server), rest);
                standing.state = State::BackingOff(delay);
            }
            None if came || more => self.has_something(server),
            None => {}
        }
    }
}

/// Counts the homeservers when the metrics are read.
fn refreshing(contacts: &Contacts, metrics: SentMetrics) -> OnScrape {
    let contacts = Arc::downgrade(contacts);
    on_scrape(move || {
        if let Some(contacts) = contacts.upgrade() {
            let contacts = contacts.read();
            let left_alone = contacts.values().filter(|contact| contact.is_left_alone());
            let left_alone = left_alone.count();
            metrics.destinations(contacts.len() - left_alone, left_alone);
        }
    })
}

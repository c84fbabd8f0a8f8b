//! Which transactions were taken: each counts once, and each homeserver has one at a time.
//!
//! Bounds: the newest 64 of each of the 4,096 homeservers that sent last. What is forgotten, as all is by a restart, would be
//! applied again: the sender's newest word stays the newest, as it sends one transaction at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use ruma_common::{OwnedServerName, ServerName};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::federation::recent::Recent;

/// How many homeservers' transactions are remembered.
const MOST_SERVERS: usize = 4_096;
/// How many transactions of each.
const MOST_OF_EACH: usize = 64;

/// Stands for the id of a transaction, which may be long.
type Id = [u8; 16];

/// The transactions of all homeservers. Clones are the same.
#[derive(Clone)]
pub struct Seen(Arc<Mutex<State>>);

struct State {
    taken: Recent<OwnedServerName, VecDeque<Id>>,
    running: HashMap<OwnedServerName, Running>,
}

struct Running {
    id: Id,
    /// Told when it has ended, however that may be.
    ended: watch::Receiver<()>,
}

/// What is to be done with a transaction.
pub enum Begun {
    /// It is new.
    New(InFlight),
    /// It was taken before.
    Taken,
    /// Another one of this homeserver is being taken.
    Busy,
}

/// A transaction that is being taken. When it is dropped without [`taken`](Self::taken), it may come again.
pub struct InFlight {
    seen: Seen,
    origin: OwnedServerName,
    id: Id,
    ended: watch::Sender<()>,
}

impl Seen {
    /// Nothing was taken yet.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            taken: Recent::new(MOST_SERVERS),
            running: HashMap::new(),
        })))
    }

    /// A transaction has come. Returns at once, but for one that is being taken right now: then it waits until that has
    /// ended, and says what has become of it.
    pub async fn begin(&self, origin: &ServerName, transaction: &str) -> Begun {
        let hash = Sha256::digest(transaction);
        let id: Id = std::array::from_fn(|index| hash[index]);
        loop {
            let mut ended = {
                let mut state = self.0.lock();
                if state.taken.get(origin).is_some_and(|ids| ids.contains(&id)) {
                    return Begun::Taken;
                }
                match state.running.get(origin) {
                    Some(running) if running.id == id => running.ended.clone(),
                    Some(_) => return Begun::Busy,
                    None => return Begun::New(self.run(&mut state, origin, id)),
                }
            };
            // The sender gone says the same.
            let _ = ended.changed().await;
        }
    }

    fn run(&self, state: &mut State, origin: &ServerName, id: Id) -> InFlight {
        let (sender, ended) = watch::channel(());
        state.running.insert(origin.to_owned(), Running { id, ended });
        InFlight {
            seen: self.clone(),
            origin: origin.to_owned(),
            id,
            ended: sender,
        }
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

impl InFlight {
    /// It was taken, and counts no more.
    pub fn taken(self) {
        let mut state = self.seen.0.lock();
        if let Some(ids) = state.taken.get(&self.origin) {
            if ids.len() >= MOST_OF_EACH {
                ids.pop_front();
            }
            ids.push_back(self.id);
        } else {
            state.taken.insert(self.origin.clone(), VecDeque::from([self.id]));
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.seen.0.lock().running.remove(&self.origin);
        // Copies may be waiting; often nobody is.
        let _ = self.ended.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> OwnedServerName {
        OwnedServerName::try_from(name).expect("valid")
    }

    async fn new(seen: &Seen, origin: &str, transaction: &str) -> InFlight {
        match seen.begin(&server(origin), transaction).await {
            Begun::New(running) => running,
            Begun::Taken => panic!("{transaction} was taken"),
            Begun::Busy => panic!("{origin} is busy"),
        }
    }

    #[tokio::test]
    async fn a_transaction_is_taken_once_of_each_server() {
        let seen = Seen::new();
        new(&seen, "a.test", "1").await.taken();
        assert!(matches!(seen.begin(&server("a.test"), "1").await, Begun::Taken));
        new(&seen, "b.test", "1").await.taken();
        new(&seen, "a.test", "2").await.taken();
        assert!(matches!(seen.begin(&server("a.test"), "1").await, Begun::Taken));
    }

    #[tokio::test]
    async fn what_was_not_taken_may_come_again() {
        let seen = Seen::new();
        drop(new(&seen, "a.test", "1").await);
        new(&seen, "a.test", "1").await.taken();
    }

    #[tokio::test]
    async fn a_server_has_one_at_a_time() {
        let seen = Seen::new();
        let first = new(&seen, "a.test", "1").await;
        assert!(matches!(seen.begin(&server("a.test"), "2").await, Begun::Busy));
        new(&seen, "b.test", "2").await.taken();
        first.taken();
        new(&seen, "a.test", "2").await.taken();
    }

    #[tokio::test]
    async fn a_copy_of_what_is_being_taken_waits_for_it() {
        let seen = Seen::new();
        for taken in [true, false] {
            let id = format!("of which taken is {taken}");
            let first = new(&seen, "a.test", &id).await;
            let copy = tokio::spawn({
                let (seen, id) = (seen.clone(), id.clone());
                async move { matches!(seen.begin(&server("a.test"), &id).await, Begun::Taken) }
            });
            while first.ended.receiver_count() < 2 {
                tokio::task::yield_now().await;
            }
            assert!(!copy.is_finished());
            if taken {
                first.taken();
            } else {
                drop(first);
            }
            assert_eq!(copy.await.expect("no panic"), taken);
        }
    }

    #[tokio::test]
    async fn a_flood_of_one_server_makes_it_forget_only_that_servers() {
        let seen = Seen::new();
        new(&seen, "good.test", "1").await.taken();
        for number in 0..=MOST_OF_EACH {
            new(&seen, "flood.test", &number.to_string()).await.taken();
        }
        new(&seen, "flood.test", "0").await.taken();
        assert!(matches!(
            seen.begin(&server("good.test"), "1").await,
            Begun::Taken
        ));
        assert_eq!(seen.0.lock().taken.len(), 2);
        assert_eq!(seen.0.lock().running.len(), 0);
    }
}

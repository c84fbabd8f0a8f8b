//! The storage from outside: what comes back, what is refused, and what a crash, a full disk or a damaged file does.

mod damage;
mod full;
mod kept;
mod kill;
mod measured;
mod refused;
mod requests;
mod speed;
mod versions;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use presence_router_api::{PresenceState, UserId};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::presence::{UserKey, UserPresence};

/// A wait that takes longer has failed: far beyond what a slow machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A directory for a database, removed with it.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("can be made"),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("presence.db")
    }

    fn open(&self) -> (Storage, Restored) {
        open(&self.path()).expect("can be opened")
    }
}

fn open(path: &Path) -> Result<(Storage, Restored), OpenError> {
    Storage::open(&Location::File(path.to_owned()))
}

fn user(number: u64) -> UserId {
    UserId::parse(format!("@user{number:04}:example.org")).expect("is a user id")
}

/// As users of the numbers that are in their ids.
fn numbered(records: impl IntoIterator<Item = StoredPresence>) -> Vec<(UserKey, StoredPresence)> {
    let number = |record: &StoredPresence| {
        let digits = record.user_id.localpart().trim_start_matches("user");
        UserKey(digits.parse().expect("it ends with a number"))
    };
    records
        .into_iter()
        .map(|record| (number(&record), record))
        .collect()
}

fn presence(number: u64, change: u64) -> StoredPresence {
    StoredPresence {
        user_id: user(number),
        presence: UserPresence {
            state: PresenceState::Busy,
            last_active_ts: change + 1,
            last_federation_update_ts: change + 2,
            last_user_sync_ts: change + 3,
            status_msg: Some(format!("change \0 {change} ☃").into()),
            currently_active: true,
        },
        change,
    }
}

fn route(module: &str, number: u64, change: u64) -> StoredRoute {
    StoredRoute {
        module: module.into(),
        user_id: user(number),
        change,
        position: change + 1,
    }
}

fn module(name: &str, fingerprint: &str) -> StoredModule {
    StoredModule {
        name: name.into(),
        fingerprint: fingerprint.into(),
        since: 1,
    }
}

fn room(number: u8) -> StoredRoom {
    StoredRoom {
        room_id: format!("!room{number}:example.org"),
        digest: [number; 32],
        changed: u64::from(number) * 3,
    }
}

fn outgoing(server: &str, number: u64, change: u64) -> StoredOutgoing {
    StoredOutgoing {
        server: server.into(),
        user_id: user(number),
        change,
    }
}

fn sent(server: &str, number: u64) -> (Arc<str>, UserId) {
    (server.into(), user(number))
}

fn destination(server: &str, failures: u32) -> StoredDestination {
    StoredDestination {
        server: server.into(),
        succeeded_ts: 0,
        failed_ts: u64::from(failures) + 1,
        retry_ts: u64::from(failures) + 2,
        failures,
    }
}

/// Hands over, and waits until it is on disk.
async fn store(storage: &Storage, writes: Writes) -> Result<(), WriteError> {
    let (done, heard) = oneshot::channel();
    storage.write(writes, vec![done]);
    patient(heard).await.expect("is answered")
}

async fn patient<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("was waited for in vain")
}

/// Runs SQL on the connection of the storage, between two transactions.
async fn sql(storage: &Storage, sql: &'static str) {
    let run = storage.ask(Purpose::Read, 0, move |tables: &mut Tables<'_>| {
        Ok(tables.connection.execute_batch(sql)?)
    });
    patient(run).await.expect("is right");
}

/// Keeps the thread busy until what is returned is dropped: what is handed over meanwhile goes into one transaction.
async fn hold(storage: &Storage) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let (began, running) = oneshot::channel();
    let mut began = Some(began);
    let storage = storage.clone();
    tokio::spawn(async move {
        let busy = storage.ask(Purpose::Read, 0, move |_: &mut Tables<'_>| {
            let told = began.take().map(|began| began.send(()));
            // Nothing is sent: it waits for the drop.
            let waited: Result<(), _> = released.recv_timeout(PATIENCE);
            assert_eq!(
                (told, waited),
                (Some(Ok(())), Err(mpsc::RecvTimeoutError::Disconnected))
            );
            Ok(())
        });
        busy.await
    });
    patient(running).await.expect("runs");
    release
}

fn module_name() -> Arc<str> {
    "module".into()
}

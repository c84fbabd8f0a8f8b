//! A connection that long-polls `/sync` for a user, and knows whose updates are to come.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::sleep;

use crate::http::Connection;
use crate::run::{Errors, Run};
use crate::stamp::{Novelty, Seen};
use crate::stats::Latencies;
use crate::targets::encode_segment;

/// How long a connection waits after an error.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// A filter that lets nothing but presence through.
const PRESENCE_FILTER: &str =
    r#"{"presence":{"types":["m.presence"]},"room":{"rooms":[]},"account_data":{"not_types":["*"]}}"#;

/// The path of `/sync` up to the value of `since`. `filter` is `presence`, `none` or a filter in JSON.
pub(crate) fn sync_path(timeout: Duration, set_presence: &str, filter: &str) -> String {
    let timeout = timeout.as_millis();
    let filter = match filter {
        "none" => String::new(),
        "presence" => format!("&filter={}", encode_segment(PRESENCE_FILTER)),
        json => format!("&filter={}", encode_segment(json)),
    };
    format!(
        "/_matrix/client/v3/sync?timeout={timeout}&set_presence={}{filter}",
        encode_segment(set_presence)
    )
}

/// The token of an answer.
pub(crate) fn next_batch(answer: &[u8]) -> serde_json::Result<Arc<str>> {
    let sync: Sync = serde_json::from_slice(answer)?;
    Ok(sync.next_batch.into())
}

/// What the syncers of a thread measure. Updates count when they were sent in the window, answers when they came in it.
#[derive(Debug)]
pub(crate) struct SyncTally {
    /// From the sending of an update to its arrival.
    pub(crate) latency: Latencies,
    /// Updates that arrived, each once for a reader. A server need not send what a newer one has replaced.
    pub(crate) deliveries: u64,
    /// Of these, what arrived at observers.
    pub(crate) observer_deliveries: u64,
    /// Updates that had arrived before, or after a newer one.
    pub(crate) duplicates: u64,
    /// Updates that the reader should not see.
    pub(crate) unexpected: u64,
    pub(crate) responses: u64,
    /// Answers without any update of this run.
    pub(crate) empty: u64,
    /// Answers with the token that was asked with.
    pub(crate) unmoved: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: Errors,
    /// What was seen by each reader.
    pub(crate) seen: Vec<(usize, Seen)>,
}

impl SyncTally {
    pub(crate) fn new() -> Self {
        Self {
            latency: Latencies::new(),
            deliveries: 0,
            observer_deliveries: 0,
            duplicates: 0,
            unexpected: 0,
            responses: 0,
            empty: 0,
            unmoved: 0,
            bytes: 0,
            errors: Errors::default(),
            seen: Vec::new(),
        }
    }

    /// Adds what another thread has measured.
    pub(crate) fn merge(&mut self, other: Self) {
        self.latency.add(&other.latency);
        self.deliveries += other.deliveries;
        self.observer_deliveries += other.observer_deliveries;
        self.duplicates += other.duplicates;
        self.unexpected += other.unexpected;
        self.responses += other.responses;
        self.empty += other.empty;
        self.unmoved += other.unmoved;
        self.bytes += other.bytes;
        self.errors.merge(other.errors);
        self.seen.extend(other.seen);
    }
}

/// A user who long-polls.
pub(crate) struct Syncer {
    pub(crate) run: Arc<Run>,
    /// The user's number in the targets file.
    pub(crate) user: usize,
    pub(crate) since: Arc<str>,
    pub(crate) connection: Connection,
    pub(crate) tally: Arc<Mutex<SyncTally>>,
    /// Where every answer is written to.
    pub(crate) trace: Option<PathBuf>,
}

impl Syncer {
    /// The next request.
    fn request(&self, token: &str) -> Vec<u8> {
        let since = encode_segment(&self.since);
        let path = format!("{}&since={since}", self.run.sync_path);
        self.run.authority.get(&path, token)
    }

    /// Polls for ever. Of what has come, `seen` holds the newest.
    pub(crate) async fn listen(&mut self, seen: &mut Seen) {
        let token = self.run.targets.users.get(self.user);
        let token = token.map_or(String::new(), |user| user.token.clone());
        loop {
            let request = self.request(&token);
            let error = match self.connection.exchange(&request).await {
                Ok(answer) if answer.status == 200 => {
                    let received = self.run.now();
                    let reader = Reader {
                        run: &self.run,
                        user: self.user,
                        tally: &self.tally,
                    };
                    if let Some(directory) = &self.trace {
                        write_trace(directory, self.user, received, answer.body);
                    }
                    match reader.take(answer.body, received, &mut self.since, seen) {
                        Ok(()) => continue,
                        Err(error) => format!("sync: {error}"),
                    }
                }
                Ok(answer) => format!("sync {}", answer.describe()),
                Err(error) => format!("sync {error:#}"),
            };
            self.tally.lock().errors.add(error);
            sleep(ERROR_PAUSE).await;
        }
    }
}

/// Who takes answers in.
struct Reader<'a> {
    run: &'a Run,
    user: usize,
    tally: &'a Mutex<SyncTally>,
}

impl Reader<'_> {
    fn take(
        &self,
        body: &[u8],
        received: u64,
        since: &mut Arc<str>,
        seen: &mut Seen,
    ) -> serde_json::Result<()> {
        let sync: Sync = serde_json::from_slice(body)?;
        let mut tally = self.tally.lock();
        let mut ours = false;
        for event in &sync.presence.events {
            let text = event.content.status_msg.as_ref();
            let Some(stamp) = text.and_then(|text| self.run.tag.read(&text.0)) else {
                continue;
            };
            let users = &self.run.targets.users;
            let (Some(reader), Some(writer)) = (users.get(self.user), users.get(stamp.writer)) else {
                continue;
            };
            ours = true;
            if writer.user_id != event.sender || !reader.sees(writer) {
                tally.unexpected += 1;
                continue;
            }
            if seen.note(stamp) == Novelty::Repeated {
                tally.duplicates += 1;
            } else if self.run.window.holds(stamp.at) {
                tally.deliveries += 1;
                tally.observer_deliveries += u64::from(reader.is_observer());
                tally.latency.record(received.saturating_sub(stamp.at));
            }
        }
        let unmoved = **since == *sync.next_batch;
        if self.run.window.holds(received) {
            tally.responses += 1;
            tally.bytes += u64::try_from(body.len()).unwrap_or(u64::MAX);
            tally.empty += u64::from(!ours);
            tally.unmoved += u64::from(unmoved);
        }
        if !unmoved {
            *since = sync.next_batch.into();
        }
        Ok(())
    }
}

/// Appends an answer to the reader's file; to look into odd results, not to measure by.
fn write_trace(directory: &std::path::Path, reader: usize, received: u64, body: &[u8]) {
    let file = directory.join(format!("{reader}.jsonl"));
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut file| writeln!(file, "{} {}", received / 1_000_000, String::from_utf8_lossy(body)));
    if let Err(error) = written {
        eprintln!("presence-load: cannot write to {}: {error}", file.display());
    }
}

#[derive(Deserialize)]
struct Sync<'a> {
    #[serde(borrow)]
    next_batch: Cow<'a, str>,
    #[serde(borrow, default)]
    presence: Presence<'a>,
}

#[derive(Deserialize, Default)]
struct Presence<'a> {
    #[serde(borrow, default)]
    events: Vec<Event<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    status_msg: Option<Text<'a>>,
}

/// Borrows when it can: in an `Option`, serde does not do that for a `Cow` itself.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;

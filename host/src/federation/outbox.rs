//! What is to be sent to other homeservers, and what is known of them: the rest of the server keeps it, and the sender sends it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

/// A future of this area.
pub type Waits<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps what is to be sent. It never holds more than the newest state of each user for a homeserver.
pub trait Outbox: Send + Sync + 'static {
    /// What is put on its way, to be taken back when it does not arrive.
    type Load: Send + 'static;

    /// Waits until something has come to wait, and answers for which homeservers. Dropping the future loses nothing.
    fn waiting(&self) -> Waits<'_, Vec<Arc<str>>>;

    /// Takes what waits for a homeserver: users' entries of an `m.presence` EDU, as they are now, at most `users` and, but for
    /// the first, not more than `bytes` of JSON.
    fn take(&self, destination: &str, users: usize, bytes: usize) -> Taken<Self::Load>;

    /// A load has arrived.
    fn arrived(&self, destination: &str, load: Self::Load);

    /// A load has not arrived: its users wait again, but for those of whom something newer does.
    fn take_back(&self, destination: &str, load: Self::Load);

    /// What is known of a homeserver has changed.
    fn note(&self, contact: &Contact);

    /// An id that no transaction of this homeserver has had, nor will have, over restarts too.
    fn transaction_id(&self) -> String;
}

/// What was taken from an outbox.
#[derive(Debug)]
pub struct Taken<L> {
    /// Entries of `content.push`.
    pub entries: Vec<Value>,
    /// Whom they are of.
    pub load: L,
    /// Whether more waits.
    pub more: bool,
}

/// How a homeserver was reached last. Times are in milliseconds since the Unix epoch, 0 for never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its name.
    pub server: Arc<str>,
    /// When it last took a transaction.
    pub succeeded_ts: u64,
    /// When it last did not.
    pub failed_ts: u64,
    /// When it is tried again; 0 when nothing is in the way.
    pub retry_ts: u64,
    /// How often in a row it was not reached.
    pub failures: u32,
}

impl Contact {
    /// Whether the homeserver did not take the last transaction, and is left alone for a while.
    pub fn is_left_alone(&self) -> bool {
        self.failures > 0 || self.retry_ts > 0
    }
}

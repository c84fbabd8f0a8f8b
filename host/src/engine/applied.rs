//! What becomes of a change that somebody asks for.

use std::time::Duration;

use crate::storage::WriteError;

/// Why a change was not made, or may not last.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotApplied {
    /// There is no room for it now.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// It is made, and could not be stored yet.
    #[error("the change is made, and is lost if the server stops now: it could not be stored")]
    NotStored(#[from] WriteError),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
}

/// The queue of changes stayed full for a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many presence updates are waiting")]
pub struct Overloaded {
    /// When to try again.
    pub retry_after: Duration,
}

//! How people hear of a change: positions, logs and waiting syncs. Knows no HTTP; which user may see which is told to it.

mod event;
mod filter;
mod streams;
mod token;
mod waiting;

pub use crate::delivery::event::{PresenceContent, PresenceEvent};
pub use crate::delivery::filter::PresenceFilter;
pub use crate::delivery::streams::{Reason, RoutedUpdate, Streams};
pub use crate::delivery::token::{InvalidSyncToken, SyncToken};
pub use crate::delivery::waiting::{Waiter, Waiting};

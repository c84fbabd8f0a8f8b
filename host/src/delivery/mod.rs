//! How people hear of a change: positions, logs and waiting syncs. Knows no HTTP; which user may see which is told to it.

mod by_user;
mod destinations;
mod event;
mod events;
mod filter;
mod log;
mod progress;
mod routed;
mod streams;
mod token;
mod waiting;

pub use crate::delivery::destinations::{Because, Destinations, Leaving};
pub use crate::delivery::event::{PresenceContent, PresenceEvent};
pub use crate::delivery::events::Events;
pub use crate::delivery::filter::PresenceFilter;
pub use crate::delivery::progress::Progress;
pub use crate::delivery::routed::{Fingerprint, Form, Members, Reason, RoutedUpdate, Since, TakenOver};
pub use crate::delivery::streams::Streams;
pub use crate::delivery::token::{Cursor, InvalidSyncToken, ModuleTag, Owes, SyncToken};
pub use crate::delivery::waiting::{Heard, Wait, Waiting, Woken};

//! The server without HTTP: what PUTs, syncs, time and modules do to each other.
//!
//! Tokio's clock is paused. Without a module it moves on whenever everybody waits; with one, whose threads are real, it
//! stands still but for what a test lets pass.

mod broadcast;
mod destinations;
mod explained;
mod joins;
mod kit;
mod measured;
mod model;
mod outbox;
mod received;
mod restarted_modules;
mod restarts;
mod rooms;
mod routed;
mod sent;
mod served;
mod several;
mod stop;
mod swapped_together;
mod swaps;
mod tracking;
mod trouble;
mod waiting;

//! Who should hear of a change: people who share a room, plus what the modules say. Knows no HTTP and no dlopen.

mod dirty;
mod shared_rooms;

pub use crate::routing::dirty::{Batch, Dirty};
pub use crate::routing::shared_rooms::SharedRooms;

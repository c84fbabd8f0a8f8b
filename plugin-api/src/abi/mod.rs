//! What crosses the boundary between host and module: `StableAbi` types, the root module, the vtables.
//!
//! Module authors do not use this; the crate's root has the types made for them. Append-only: existing
//! fields and methods never change, new methods go at the end with a default body, and each growth is
//! recorded in `layout.txt` (see [`layout`]) and in the CHANGELOG.

pub mod bounds;
pub mod failure;
pub mod host;
pub mod layout;
pub mod module;
pub mod requests;
pub mod router;
pub mod state;

pub use failure::{Failure, FailureKind};
pub use module::{RouterModule, RouterModuleRef};

//! What crosses the boundary.

/// Presence states.
pub mod state;

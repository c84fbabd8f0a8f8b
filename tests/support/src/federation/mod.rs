//! Homeservers that speak to each other: certificates, TLS in front of a host, and a peer that does as it is told.
//!
//! Servers are named by their address, `127.0.0.1:PORT`, so that nothing is looked up. Ports are the system's choice.

mod gate;
mod peer;
mod tls;

pub use crate::federation::gate::Gate;
pub use crate::federation::peer::{Peer, Transaction, put, send_uri};
pub use crate::federation::tls::{Authority, Received, Reply};

//! Homeservers that speak to each other: an authority and its certificates, TLS in front of a host, signatures, and a peer that
//! does as it is told.
//!
//! A homeserver of ours is named by its address, `127.0.0.1:PORT`, so that nothing is looked up. One that speaks to Synapse is
//! `localhost:PORT`, as is that one. Ports are the system's choice.

mod authority;
mod front;
mod gate;
mod peer;
mod signer;
mod tls;

pub use crate::federation::authority::{Authority, Certificate};
pub use crate::federation::front::Front;
pub use crate::federation::gate::Gate;
pub use crate::federation::peer::{Peer, Transaction, put, send_uri};
pub use crate::federation::signer::Signer;
pub use crate::federation::tls::{Received, Reply};

//! Presence to and from other homeservers: a real Synapse, two of our own, and one that misbehaves.

mod bad_answers;
mod bad_peers;
mod stage;
mod synapse;
mod two_hosts;

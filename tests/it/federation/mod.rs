//! With other homeservers.

mod synapse;

//! The binary `presence-router`.
fn main() {}

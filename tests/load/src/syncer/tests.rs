//! What is taken from an answer, and what it counts as.

//! Answers, whole and in pieces.

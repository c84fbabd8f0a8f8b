//! The tests of the whole: the real binary, real modules, real clients.

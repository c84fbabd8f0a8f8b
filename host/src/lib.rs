//! A Matrix presence server whose routing is decided by modules that it loads as shared libraries.

pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod directory;
pub mod engine;
pub mod federation;
pub mod http;
pub mod metrics;
pub mod minisign;
pub mod modules;
pub mod operations;
pub mod presence;
pub mod problems;
pub mod routing;
pub mod sha256;
pub mod storage;
pub mod verify;

//! The tests of the whole: the real binary, real modules, real clients. One file an area; the kit is in
//! `../support`.

#![forbid(unsafe_code)]

mod admin;
mod behaviour;
mod check;
mod comparison;
mod crash_budget;
mod directory_files;
mod durability;
mod federation;
mod filters;
mod generate_keys;
mod growth;
mod hangs;
mod inspect;
mod lifecycle;
mod limits;
mod load;
mod logs;
mod metrics;
mod module_api;
mod module_services;
mod new;
mod nio;
mod panics;
mod plugins;
mod provenance;
mod refusals;
mod reload;
mod several;
mod suites;
mod swap;
mod synapse_cases;
mod sync;
mod third_party;
mod timeouts;
mod verify;
mod wrong_answers;

//! `presence-load`: load for any server that speaks the Matrix client API, and what it measures.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::load::args::Args;
use crate::output::print;

mod http;
mod load;
mod output;
mod run;
mod schedule;
mod stamp;
mod stats;
mod syncer;
mod table;
mod targets;
mod threads;
mod usage;
mod writer;

/// Load for any server that speaks the Matrix client API.
///
/// Writers say `online` and `unavailable` in turn over connections that stay open, one request at a time on each. Every
/// update has a `status_msg` of its own, so that it is to be told. Syncers long-poll /sync; each event that they get
/// is matched to the update that it tells of.
///
/// The targets file is JSON:
/// {"base_url": "http://127.0.0.1:8008",
///  "users": [{"user_id": "@u0:x", "token": "...", "rooms": [0], "role": "user"}, ...]}
/// `rooms`, any numbers, say who shares a room with whom. An "observer" is sent everybody's updates by a module, and
/// never writes.
///
/// The result is one JSON object on standard output. What happens meanwhile is said on standard error.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    #[command(flatten)]
    load: Args,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("presence-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let report = load::run(&cli.load)?;
    print(cli.load.format, &report, &report.table())
}

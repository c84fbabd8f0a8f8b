//! `presence-load`: load for any server that speaks the Matrix client API, and what it measures.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::output::print;

mod bare;
mod crew;
mod expected;
mod generate;
mod http;
mod layout;
mod load;
mod output;
mod plan;
mod polls;
mod report;
mod run;
mod schedule;
mod stamp;
mod stats;
mod syncer;
mod syncs;
mod table;
mod targets;
mod usage;
mod writer;

/// What `--help` begins with.
const ABOUT: &str = r#"Load for any server that speaks the Matrix client API.

Writers say "online" and "unavailable" in turn over connections that stay open, one request at a time on each. Every
update has a status_msg of its own, so that it is to be told. Syncers long-poll /sync; each event that they get is
matched to the update that it tells of.

The targets file is JSON:
{"base_url": "http://127.0.0.1:8008",
 "users": [{"user_id": "@u0:x", "token": "...", "rooms": [0], "role": "user"}, ...]}
"rooms", any numbers, say who shares a room with whom. An "observer" is sent everybody's updates by a module, and never
writes.

The result is one JSON object on standard output. What happens meanwhile is said on standard error."#;

/// The command line.
#[derive(Debug, Parser)]
#[command(version, about = "Load for any server that speaks the Matrix client API", long_about = ABOUT)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    load: load::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bare(bare::Args),
    Polls(polls::Args),
    Targets(generate::Args),
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
    match &cli.command {
        None => {
            let report = load::run(&cli.load)?;
            print(cli.load.format, &report, &report.table())
        }
        Some(Command::Bare(args)) => bare::run(args),
        Some(Command::Polls(args)) => {
            let report = polls::run(args)?;
            print(args.format, &report, &report.table())
        }
        Some(Command::Targets(args)) => generate::run(args),
    }
}

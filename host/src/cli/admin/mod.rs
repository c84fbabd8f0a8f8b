//! `modules ...`, `explain` and `destinations`: what an operator asks of a running server, over its admin socket.
//!
//! Knows the paths of the operator's API and how its answers read; with JSON, what the server answers is printed as it is.

mod client;
mod destinations;
mod explanation;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use presence_router_api::UserId;
use serde::de::DeserializeOwned;

use crate::cli::{Format, Outcome, Output};
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::engine::Explanation;
use crate::http::admin::{DESTINATIONS, DestinationList, EXPLAIN, MODULES, ModuleList, Operation, Refused};
use crate::operations::{Changed, Step, What};
use crate::problems::Problems;

use crate::cli::admin::client::{Answer, Request, percent_encoded};

/// How long the server may take to answer a look at it: modules are asked meanwhile, each with its own deadline.
const LOOK_TIMEOUT: Duration = Duration::from_mins(1);
/// How long it may take for an operation, which may wait for others.
const OPERATION_TIMEOUT: Duration = Duration::from_mins(5);

/// A command of `modules`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Modules {
    /// Shows the modules of the running server: what serves, how it fares, what waits
    List(Server),
    /// Loads a module that the config names and that is not loaded
    Load(Named),
    /// Replaces a module by its file and its config as they are now
    ///
    /// The new generation is loaded, configured, started and tried out while the old one serves, and takes over in one step.
    /// When anything is wrong with it, the old one serves on, and the exit code is 1.
    Reload(Named),
    /// Replaces a module by the generation that served before, with the config that it had
    Rollback(Named),
    /// Ends a module. Its place in the config stays
    Unload(Named),
}

/// The arguments of `explain`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    /// Whose presence it is
    #[arg(long, value_name = "USER")]
    from: UserId,
    /// Who sees it, or does not
    #[arg(long, value_name = "USER")]
    to: UserId,
    #[command(flatten)]
    server: Server,
}

/// The arguments of `destinations`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Destinations {
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Named {
    /// What the config calls the module; `modules list` shows it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Server {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    output: Output,
}

/// Where the running server is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// A config file of the running server, for its `admin_socket`; several are merged, later ones win
    #[arg(short, long = "config", value_name = "FILE")]
    config: Vec<PathBuf>,
    /// The admin socket itself
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Modules {
    pub(in crate::cli) fn format(&self) -> Format {
        match self {
            Self::List(server) => server.output.format,
            Self::Load(named) | Self::Reload(named) | Self::Rollback(named) | Self::Unload(named) => {
                named.server.output.format
            }
        }
    }
}

impl Explain {
    pub(in crate::cli) fn format(&self) -> Format {
        self.server.output.format
    }
}

impl Destinations {
    pub(in crate::cli) fn format(&self) -> Format {
        self.server.output.format
    }
}

pub(in crate::cli) fn modules(command: &Modules) -> Outcome {
    match command {
        Modules::List(server) => list(server),
        Modules::Load(named) => operate(named, Operation::Load),
        Modules::Reload(named) => operate(named, Operation::Reload),
        Modules::Rollback(named) => operate(named, Operation::Rollback),
        Modules::Unload(named) => operate(named, Operation::Unload),
    }
}

pub(in crate::cli) fn explain(arguments: &Explain) -> Outcome {
    let encoded = |user: &UserId| percent_encoded(user.as_str());
    let (from, to) = (encoded(&arguments.from), encoded(&arguments.to));
    let answer = arguments.server.ask(&Request {
        method: "GET",
        path: format!("{EXPLAIN}?from={from}&to={to}"),
        timeout: LOOK_TIMEOUT,
    })?;
    if !answer.is_ok() {
        return arguments.server.refused(&answer, None);
    }
    arguments.server.print(&answer, |explanation: &Explanation| {
        explanation::text(explanation)
    })
}

pub(in crate::cli) fn destinations(arguments: &Destinations) -> Outcome {
    let answer = arguments.server.ask(&Request {
        method: "GET",
        path: DESTINATIONS.to_owned(),
        timeout: LOOK_TIMEOUT,
    })?;
    if !answer.is_ok() {
        return arguments.server.refused(&answer, None);
    }
    arguments.server.print(&answer, |list: &DestinationList| {
        destinations::text(&list.destinations, SystemClock.now_ms())
    })
}

fn list(server: &Server) -> Outcome {
    let answer = server.ask(&Request {
        method: "GET",
        path: MODULES.to_owned(),
        timeout: LOOK_TIMEOUT,
    })?;
    if !answer.is_ok() {
        return server.refused(&answer, None);
    }
    server.print(&answer, |list: &ModuleList| {
        table::text(&list.modules, SystemClock.now_ms())
    })
}

fn operate(named: &Named, operation: Operation) -> Outcome {
    let Named { name, server } = named;
    let answer = server.ask(&Request {
        method: "POST",
        path: format!("{MODULES}/{}/{operation}", percent_encoded(name)),
        timeout: OPERATION_TIMEOUT,
    })?;
    if !answer.is_ok() {
        return server.refused(&answer, Some((operation, name)));
    }
    server.print(&answer, |changed: &Changed| done(changed))
}

impl Server {
    fn ask(&self, request: &Request) -> Result<Answer, Problems> {
        client::ask(&self.place.socket()?, request)
    }

    /// Prints an answer: as it came, or as people read it.
    fn print<T: DeserializeOwned>(&self, answer: &Answer, text: impl FnOnce(&T) -> String) -> Outcome {
        match self.output.format {
            Format::Json => println!("{}", answer.body),
            Format::Text => println!("{}", text(&answer.read()?)),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Tells of an error that the server answers, in the same way as of others.
    fn refused(&self, answer: &Answer, operation: Option<(Operation, &str)>) -> Outcome {
        let refused: Refused = answer.read()?;
        eprintln!("{}", refused.text);
        if let Some((operation, name)) = operation {
            eprint!("{}", not_done(&refused, operation, name));
        }
        if self.output.format == Format::Json {
            println!("{}", answer.body);
        }
        Ok(ExitCode::from(1))
    }
}

impl Place {
    fn socket(&self) -> Result<PathBuf, Problems> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        match config::admin_socket(&self.config) {
            Ok(Some(socket)) => Ok(socket),
            Ok(None) => Err(Problems::other(
                "admin_socket: missing in the config; add a line such as \
                 \"admin_socket: /run/presence-router/admin.sock\", and start the server again",
            )),
            // A file that is no YAML at all: the server may run all the same.
            Err(errors) => Problems::of(vec![
                errors.into(),
                Problems::other("the config cannot be read; --socket PATH reaches the server without it"),
            ])
            .map_or_else(|| Err(Problems::other("the config cannot be read")), Err),
        }
    }
}

/// What an operation has done.
fn done(changed: &Changed) -> String {
    let Changed {
        name,
        what,
        now,
        before,
        before_has_ended,
    } = changed;
    let what = match what {
        What::Loaded => "loaded",
        What::Reloaded => "reloaded",
        What::RolledBack => "rolled back",
        What::Unloaded => "unloaded",
    };
    let now = now.as_ref().map(|now| format!("  now:    {now}"));
    let left_behind = if *before_has_ended {
        ""
    } else {
        ", which has not ended in time and is left behind"
    };
    let before = before
        .as_ref()
        .map(|before| format!("  before: {before}{left_behind}"));
    let lines = [Some(format!("module {name}: {what}")), now, before];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// What it means that an operation was refused by a step.
fn not_done(refused: &Refused, operation: Operation, name: &str) -> String {
    let Some(step) = refused.step else {
        return String::new();
    };
    let serving = match &refused.serving {
        Some(serving) => {
            let (generation, version) = (serving.generation, &serving.version);
            format!("generation {generation} ({version}) serves on, unchanged")
        }
        // There is no such module, which has been said.
        None if step == Step::Find => return String::new(),
        None => "nothing has changed".to_owned(),
    };
    format!("module {name}: {operation} was refused at the step \"{step}\"; {serving}\n")
}

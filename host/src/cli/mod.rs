//! The command line: a file a subcommand. Results go to stdout, logs and refusals to stderr.
//!
//! Exit codes: 0 fine, 1 refused, 2 wrong usage.

mod admin;
mod check;
mod federation;
mod generate_keys;
mod inspect;
mod lock;
mod log;
mod new;
#[cfg(test)]
mod pages_tests;
mod run;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::modules::{Loader, Refusal};
use crate::problems::Problems;
use crate::verify::CHILD_COMMAND;

/// A Matrix presence server whose routing is decided by modules.
///
/// It tells Matrix users when others are online: people who share a room and, beyond them, whom a routing
/// module names. Modules are shared libraries; `check` tries a config and its modules out before `run`
/// serves them.
#[derive(Debug, Parser)]
#[command(name = "presence-router", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  presence-router check -c homeserver.yaml        is the config right, do its modules load?
  presence-router run -c homeserver.yaml          serve
  presence-router inspect libbroadcast.so         what is this library? (runs none of its code)
  presence-router verify libbroadcast.so          does it keep the contract of modules?
  presence-router new support-team                begin a module of your own
  presence-router modules lock -c homeserver.yaml pin the modules to the files that they are now
  presence-router modules list -c homeserver.yaml how do the modules of the running server fare?
  presence-router explain --from @a:x --to @b:x -c homeserver.yaml
                                                  does b see the presence of a, and by what?
  presence-router destinations -c homeserver.yaml how are other homeservers reached, what waits?

Exit codes: 0 fine, 1 refused, 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT
    ///
    /// Loads the modules, then listens. Prints a line for each loaded module (name, version, router, generation,
    /// sha256, path), a line for each listener, and `ready`; logs go to stderr. On SIGTERM it takes no more
    /// requests, lets running ones end, shuts the modules down and exits with 0; a second SIGTERM ends it at once.
    Run(Configured),
    /// Checks the config and its modules; starts nothing
    ///
    /// Reads the config, loads each module and has it check its own part (`parse_config`). No module is started
    /// and nothing listens; what runs of a module is its library's constructors and `parse_config`. What is wrong is told with file, line, key and what to do.
    Check(Configured),
    /// Shows what a module says of itself, without running its code
    ///
    /// Reads the library's file: what it is, which versions it was built with, and whether this host would load it. The
    /// exit code is 1 when it would not.
    Inspect(inspect::Arguments),
    /// Tests whether a module keeps the contract
    ///
    /// Loads the library as the server does, around it a small server that is told to fail, and makes each check in a process of
    /// its own. Progress goes to stderr, the report to stdout. The exit code is 1 when the module does not pass.
    Verify(verify::Arguments),
    /// Begins a module: writes a crate that builds, passes its tests and verifies
    ///
    /// The crate needs no workspace and lies anywhere. It has a small router with a config, tests, a homeserver.yaml to try it with,
    /// the config for `verify`, and a workflow for CI. Nothing that is there is overwritten.
    New(new::Arguments),
    /// Looks at the modules of a running server and changes them, and pins those of a config
    ///
    /// All but `lock` reach the running server by the `admin_socket` of its config: an error elsewhere in the config is not in the
    /// way. The exit code is 1 when what was asked for is refused; then nothing has changed.
    #[command(subcommand)]
    Modules(ModulesCommand),
    /// Tells why one user sees another's presence, or why not
    ///
    /// Asks the running server, by the `admin_socket` of its config: which rooms both are in and whether these count, and what
    /// each module says of the two. Modules are asked as for a sync, and nothing is delivered. Either answer is an answer: the
    /// exit code is 1 only when there is none.
    Explain(admin::Explain),
    /// Shows how other homeservers are reached, and how much waits for each
    ///
    /// Asks the running server, by the `admin_socket` of its config. The exit code is 1 when there is no federation.
    Destinations(admin::Destinations),
    /// Makes a key to sign requests to other servers by
    ///
    /// The file is in Synapse's format and goes into `signing_key_path`. It is readable for its owner alone, and is the proof
    /// of who the server is: keep a copy.
    GenerateKeys(generate_keys::Arguments),
    /// A check of `verify`
    #[command(name = CHILD_COMMAND, hide = true)]
    VerifyChild,
}

#[derive(Debug, Subcommand)]
enum ModulesCommand {
    /// Those that ask a running server
    #[command(flatten)]
    Running(admin::Modules),
    /// Pins each module to the file that it is now
    ///
    /// Finds the file of each module as the server does, with its checks of permissions and signatures, and writes its
    /// hash into the config file that names the module, as `sha256`. All else in the file stays, byte for byte. A server
    /// that runs is not touched; after this it refuses any other file. No code of a module is run.
    Lock(lock::Arguments),
}

#[derive(Debug, Args)]
struct Configured {
    /// A config file; several are merged, later ones win
    #[arg(short, long = "config", value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, Args)]
struct Output {
    /// The form of what is printed to stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: JSON, a document or an event a line
    Json,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; both kinds know where they are printed. A closed pipe is no matter.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let (format, result) = match arguments.command {
        Command::Run(arguments) => (arguments.output.format, run::run(&arguments)),
        Command::Check(arguments) => (arguments.output.format, check::check(&arguments)),
        Command::Inspect(arguments) => (arguments.output.format, inspect::inspect(&arguments)),
        Command::Verify(arguments) => (arguments.problem_format(), verify::verify(&arguments)),
        Command::New(arguments) => (arguments.output.format, new::new(&arguments)),
        Command::Modules(ModulesCommand::Running(command)) => (command.format(), admin::modules(&command)),
        Command::Modules(ModulesCommand::Lock(arguments)) => {
            (arguments.output.format, lock::lock(&arguments))
        }
        Command::Explain(arguments) => (arguments.format(), admin::explain(&arguments)),
        Command::Destinations(arguments) => (arguments.format(), admin::destinations(&arguments)),
        Command::GenerateKeys(arguments) => {
            (arguments.output.format, generate_keys::generate_keys(&arguments))
        }
        Command::VerifyChild => (Format::Text, verify::verify_child()),
    };
    match result {
        Ok(code) => code,
        Err(problems) => {
            report(&problems, format);
            ExitCode::from(1)
        }
    }
}

/// Tells of problems: to people on stderr, to programs on stdout too.
fn report(problems: &Problems, format: Format) {
    eprintln!("{problems}");
    if format == Format::Json {
        println!("{}", serde_json::json!({ "ok": false, "errors": problems }));
    }
}

/// Makes the loader.
fn loader() -> Result<Loader, Problems> {
    Loader::new().map_err(|error| Problems::refused("", None, &Refusal::from(error)))
}

/// What a command ends with.
type Outcome = Result<ExitCode, Problems>;

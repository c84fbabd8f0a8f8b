//! `modules lock`: pins the files that the config names now.

mod replace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::cli::{Format, Outcome, Output, loader};
use crate::config::{self, Config, Module, Origins, Pin};
use crate::modules::Found;
use crate::operations::source;
use crate::problems::Problems;
use crate::sha256::Sha256;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A config file; several are merged, later ones win
    #[arg(short, long = "config", value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    /// Changes nothing; the exit code is 1 when a module is not pinned to the file that would be loaded
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    /// Changes nothing, and shows what would be changed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) output: Output,
}

/// What is told of a module.
#[derive(Serialize)]
struct Row {
    name: String,
    key: String,
    path: PathBuf,
    sha256: Sha256,
    /// What the config pins, or pinned before.
    before: Option<Sha256>,
    state: State,
    /// Where the pin stands, or is to stand; without one, where the module is named.
    file: Option<PathBuf>,
    line: Option<usize>,
}

/// How a module is pinned.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// To the file that would be loaded.
    Pinned,
    /// By this run.
    Added,
    /// By this run, in the place of another pin.
    Renewed,
    /// It would be, but for `--dry-run`.
    WouldBeAdded,
    /// It would be, in the place of another pin.
    WouldBeRenewed,
    /// It is not.
    Missing,
    /// To another file.
    Differs,
}

pub(super) fn lock(arguments: &Arguments) -> Outcome {
    let (config, origins) = config::load(&arguments.config)?;
    let found = find(&config, &origins)?;
    if arguments.check {
        let rows: Vec<_> = config
            .all_modules()
            .zip(found)
            .map(|((key, module), found)| compared(key, module, found, &origins))
            .collect();
        return Ok(checked(&rows, arguments));
    }
    let hashes: Vec<_> = found.iter().map(|found| found.sha256).collect();
    let pinned = config::pin(&arguments.config, &config, &hashes)?;
    if !arguments.dry_run {
        for edited in &pinned.files {
            replace::replace(&edited.file, &edited.before, &edited.after)?;
        }
    }
    let modules = config.all_modules().zip(found).zip(pinned.pins);
    let rows: Vec<_> = modules
        .map(|(((key, module), found), pin)| written(key, module, found, pin, arguments))
        .collect();
    print(&rows, arguments, &[]);
    Ok(ExitCode::SUCCESS)
}

/// The file of each module, as the loader finds it and takes it. What is wrong with several is told of all.
fn find(config: &Config, origins: &Origins) -> Result<Vec<Found>, Problems> {
    let loader = loader()?;
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for (key, module) in config.all_modules() {
        match loader.find(&source(config, module)) {
            Ok(file) => found.push(file),
            Err(refusal) => {
                let key = format!("{key}.module");
                problems.push(Problems::refused(&key, origins.locate(&key).as_ref(), &refusal));
            }
        }
    }
    Problems::of(problems).map_or(Ok(found), Err)
}

/// A row of `--check`.
fn compared(key: String, module: &Module, found: Found, origins: &Origins) -> Row {
    let (state, place) = match module.sha256 {
        Some(pin) if pin == found.sha256 => (State::Pinned, "sha256"),
        Some(_) => (State::Differs, "sha256"),
        None => (State::Missing, "module"),
    };
    let origin = origins.locate(&format!("{key}.{place}"));
    Row {
        name: module.name.clone(),
        key,
        path: found.path,
        sha256: found.sha256,
        before: module.sha256,
        state,
        line: origin.as_ref().map(|origin| origin.line),
        file: origin.map(|origin| origin.file),
    }
}

/// A row of what was written, or would be.
fn written(key: String, module: &Module, found: Found, pin: Pin, arguments: &Arguments) -> Row {
    let state = match (pin.before, arguments.dry_run) {
        (Some(before), _) if before == pin.after => State::Pinned,
        (None, false) => State::Added,
        (Some(_), false) => State::Renewed,
        (None, true) => State::WouldBeAdded,
        (Some(_), true) => State::WouldBeRenewed,
    };
    Row {
        name: module.name.clone(),
        key,
        path: found.path,
        sha256: pin.after,
        before: pin.before,
        state,
        line: pin.origin.as_ref().map(|origin| origin.line),
        file: pin.origin.map(|origin| origin.file),
    }
}

/// Ends `--check`.
fn checked(rows: &[Row], arguments: &Arguments) -> ExitCode {
    let open = rows.iter().filter(|row| row.state != State::Pinned).count();
    if open == 0 {
        print(rows, arguments, &[]);
        return ExitCode::SUCCESS;
    }
    let message = format!(
        "{open} of {} modules are not pinned to the file that would be loaded; `presence-router modules lock` pins them",
        rows.len()
    );
    eprintln!("error: {message}");
    print(rows, arguments, &[message]);
    ExitCode::from(1)
}

fn print(rows: &[Row], arguments: &Arguments, errors: &[String]) {
    match arguments.output.format {
        Format::Json => {
            let errors: Vec<_> = errors
                .iter()
                .map(|message| serde_json::json!({ "message": message }))
                .collect();
            let document = serde_json::json!({ "ok": errors.is_empty(), "modules": rows, "errors": errors });
            println!("{document}");
        }
        Format::Text if rows.is_empty() => println!("the config names no module"),
        Format::Text => rows.iter().for_each(print_row),
    }
}

fn print_row(row: &Row) {
    let place = match (&row.file, row.line) {
        (Some(file), Some(line)) => format!(" ({}:{line})", file.display()),
        _ => String::new(),
    };
    let state = match (row.state, row.before) {
        (State::Pinned, _) => "pinned".to_owned(),
        (State::Added, _) => "pin added".to_owned(),
        (State::WouldBeAdded, _) => "pin would be added".to_owned(),
        (State::Missing, _) => "not pinned".to_owned(),
        (State::Renewed, Some(before)) => format!("pin renewed, was sha256:{}", before.short()),
        (State::Renewed, None) => "pin renewed".to_owned(),
        (State::WouldBeRenewed, _) => "pin would be renewed".to_owned(),
        (State::Differs, Some(before)) => format!("pinned to sha256:{}", before.short()),
        (State::Differs, None) => "pinned to another file".to_owned(),
    };
    let (name, path) = (&row.name, row.path.display());
    println!(
        "module {name} sha256:{} {path}: {state}{place}",
        row.sha256.short()
    );
    if matches!(row.state, State::WouldBeAdded | State::WouldBeRenewed) {
        if let Some(before) = row.before {
            println!("  - sha256: \"{before}\"");
        }
        println!("  + sha256: \"{}\"", row.sha256);
    }
}

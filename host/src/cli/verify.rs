//! `verify`: does a module keep the contract? And the hidden command by which the suite starts itself again for a check.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::Outcome;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Module, Outgoing};
use crate::modules::Loader;
use crate::problems::Problems;
use crate::verify::{Check, Level, Progress, Report, Subject, Suite, child, junit, likely_server};

/// The name of the homeserver where nothing says another.
const SERVER_NAME: &str = "example.org";
/// As in the config.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The library
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its config: what stands under `config:`, as YAML or JSON. Or a homeserver.yaml that names the library
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which router of the library, when it has several
    #[arg(long, value_name = "NAME")]
    router: Option<String>,
    /// How much is asked of it
    #[arg(long, value_enum, default_value_t = Level::Standard)]
    level: Level,
    /// Makes this check and those that it needs, no others; may be given several times
    #[arg(long, value_enum, value_name = "CHECK")]
    only: Vec<Check>,
    /// Leaves this check out; may be given several times
    #[arg(long, value_enum, value_name = "CHECK")]
    skip: Vec<Check>,
    /// The seed of what is chosen at random; that of an earlier run repeats it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long a check may take, in seconds; its process is killed then
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// The form of what is printed to stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For CI systems: XML as `JUnit` writes it
    Junit,
}

impl Arguments {
    /// How a problem is told: as JSON to programs, else as text.
    pub(super) fn problem_format(&self) -> super::Format {
        match self.format {
            Format::Json => super::Format::Json,
            Format::Text | Format::Junit => super::Format::Text,
        }
    }
}

pub(super) fn verify(arguments: &Arguments) -> Outcome {
    let subject = match subject(arguments) {
        Ok(subject) => subject,
        Err(problems) => {
            super::report(&problems, arguments.problem_format());
            return Ok(ExitCode::from(2));
        }
    };
    let suite = Suite {
        program: std::env::current_exe().context("this program's own file cannot be found")?,
        subject,
        level: arguments.level,
        seed: arguments.seed.unwrap_or_else(any_seed),
        deadline: Duration::from_secs(arguments.timeout),
        only: arguments.only.clone(),
        skip: arguments.skip.clone(),
    };
    let report = suite.run(tell).context("the module cannot be verified")?;
    print(&report, arguments.format)?;
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// The child of a suite.
pub(super) fn verify_child() -> Outcome {
    child()?;
    Ok(ExitCode::SUCCESS)
}

fn subject(arguments: &Arguments) -> Result<Subject, Problems> {
    let file = std::path::absolute(&arguments.file).context("the library has no absolute path")?;
    let mut subject = Subject {
        router: arguments.router.clone(),
        config: Value::Object(serde_json::Map::new()),
        server_name: SERVER_NAME.to_owned(),
        call_timeout: CALL_TIMEOUT,
        http: Outgoing::default(),
        file,
    };
    if let Some(path) = &arguments.config {
        read_config(path, &mut subject)?;
    }
    check_router(&subject)?;
    Ok(subject)
}

/// A homeserver's config is one that has modules in it; all else is the module's own.
fn read_config(path: &Path, subject: &mut Subject) -> Result<(), Problems> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let value: Value = serde_yaml::from_str(&text)
        .with_context(|| format!("{} is neither YAML nor JSON", path.display()))?;
    let has_router = value
        .get("presence")
        .and_then(|presence| presence.get("presence_router"));
    if has_router.is_some() || value.get("modules").is_some_and(Value::is_array) {
        return read_homeserver(path, subject);
    }
    match value {
        Value::Null => {}
        Value::Object(_) => {
            if let Some(server) = likely_server(&value) {
                subject.server_name = server;
            }
            subject.config = value;
        }
        _ => return Err(anyhow!("{} is not a mapping of keys to values", path.display()).into()),
    }
    Ok(())
}

fn read_homeserver(path: &Path, subject: &mut Subject) -> Result<(), Problems> {
    let (config, _) = config::load(&[path.to_owned()])?;
    let named: Vec<_> = config
        .all_modules()
        .filter(|(_, module)| names(module, &subject.file))
        .filter(|(_, module)| {
            let router = router_of(module, &subject.file);
            subject.router.is_none() || router.is_none() || router == subject.router
        })
        .collect();
    let module = match named.as_slice() {
        [(_, module)] => *module,
        [] => return Err(no_entry(path, &subject.file).into()),
        several => {
            let keys: Vec<_> = several.iter().map(|(key, _)| key.as_str()).collect();
            let message = anyhow!(
                "{} names the library more than once, in {}; leave one, or say which with --router",
                path.display(),
                keys.join(" and ")
            );
            return Err(message.into());
        }
    };
    subject.config = module.config.clone();
    subject.router = subject.router.take().or_else(|| router_of(module, &subject.file));
    subject.call_timeout = module.call_timeout;
    subject.http = config.outgoing.clone();
    subject.server_name.clone_from(&config.server_name);
    Ok(())
}

fn no_entry(path: &Path, file: &Path) -> anyhow::Error {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    anyhow!("{} names no module whose file is {name}", path.display())
}

/// Whether an entry is for this library: by the name of its file alone, as the library may lie elsewhere while it is
/// being made.
fn names(module: &Module, file: &Path) -> bool {
    let stem = stem(&file.to_string_lossy()).to_owned();
    let entry = stem_of_entry(module);
    entry == stem
        || entry
            .strip_prefix(stem.as_str())
            .is_some_and(|rest| rest.starts_with('.'))
}

/// The router in the dotted form of an entry that is for this library.
fn router_of(module: &Module, file: &Path) -> Option<String> {
    let stem = stem(&file.to_string_lossy()).to_owned();
    let rest = stem_of_entry(module).strip_prefix(stem.as_str())?.to_owned();
    rest.strip_prefix('.').map(str::to_owned)
}

fn stem_of_entry(module: &Module) -> String {
    let name = module.module.rsplit('/').next().unwrap_or_default();
    stem(&name.replacen(".so.", ".", 1)).to_owned()
}

/// `dir/libNAME.so` is `NAME`.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = name.strip_prefix("lib").unwrap_or(name);
    name.strip_suffix(".so").unwrap_or(name)
}

/// A library of several routers is verified one router at a time. What else is wrong with the file, the suite says.
fn check_router(subject: &Subject) -> anyhow::Result<()> {
    let loader = Loader::new().context("the library cannot be copied")?;
    let Ok(report) = loader.inspect(&subject.file) else {
        return Ok(());
    };
    let routers = report
        .manifest
        .map(|manifest| manifest.routers)
        .unwrap_or_default();
    match &subject.router {
        None if routers.len() > 1 => bail!(
            "the library has several routers; say which with --router: {}",
            routers.join(", ")
        ),
        Some(router) if !routers.is_empty() && !routers.contains(router) => {
            bail!(
                "the library has no router `{router}`, only {}",
                routers.join(", ")
            )
        }
        _ => Ok(()),
    }
}

/// To find what one seed does not show, each run has another. Below 2^53, so that every JSON reader keeps it.
fn any_seed() -> u64 {
    SystemClock.now_ms() & ((1 << 53) - 1)
}

/// Whoever read this may have gone; the suite goes on.
fn tell(progress: Progress<'_>) {
    let mut stderr = std::io::stderr().lock();
    let _ = match progress {
        Progress::Begins(check, number, of) => {
            writeln!(stderr, "[{number:>2}/{of}] {check}: {}", check.shows())
        }
        Progress::Ended(report) => {
            writeln!(stderr, "        {} in {:.1} s", report.verdict, report.seconds)
        }
    };
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Text => println!("{report}"),
        Format::Json => {
            let mut document =
                serde_json::to_value(report).context("the report cannot be written as JSON")?;
            document["ok"] = report.is_ok().into();
            println!("{document}");
        }
        Format::Junit => println!(
            "{}",
            junit(report).context("the report cannot be written as XML")?
        ),
    }
    Ok(())
}

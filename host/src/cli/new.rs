//! `new`: writes a module crate that builds, passes its tests and verifies as it is. Knows where it goes and what it is built
//! with; what stands in its files is in `template`.

mod name;
mod template;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use presence_router_api::SDK_VERSION;
use semver::{Version, VersionReq};

use crate::cli::new::name::CrateName;
use crate::cli::new::template::Crate;
use crate::cli::{Format, Outcome, Output};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The crate's name, such as `support-team`
    #[arg(value_name = "NAME")]
    name: CrateName,
    /// The directory to make; one that is there has to be empty. NAME, unless given
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Builds it with the presence-router-api in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "api_version")]
    api_path: Option<PathBuf>,
    /// Builds it with a presence-router-api of this version, as Cargo writes requirements. This server's, unless given
    #[arg(long, value_name = "VERSION", value_parser = requirement)]
    api_version: Option<String>,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(super) fn new(arguments: &Arguments) -> Outcome {
    let api = match &arguments.api_path {
        Some(path) => Api::Path(contract(path)?),
        None => Api::Version(arguments.api_version.clone().unwrap_or_else(own_requirement)),
    };
    let made = Crate::new(&arguments.name, &api);
    let wanted = arguments
        .path
        .clone()
        .unwrap_or_else(|| PathBuf::from(arguments.name.as_str()));
    let directory = write(&made, &wanted)?;
    print(&made, &wanted, &directory, arguments.output.format);
    Ok(ExitCode::SUCCESS)
}

/// Where the crate gets the contract from.
#[derive(Debug)]
enum Api {
    /// From the registry: a requirement of Cargo's.
    Version(String),
    /// From an absolute directory.
    Path(String),
}

/// The text itself is written, as Cargo reads it the same.
fn requirement(text: &str) -> Result<String, String> {
    VersionReq::parse(text)
        .map(|_| text.trim().to_owned())
        .map_err(|error| format!("no version requirement, such as `0.1` or `=0.1.1`: {error}"))
}

/// Any version that Cargo calls compatible with ours. One before a release is compatible with nothing less than itself.
fn own_requirement() -> String {
    let version = Version::parse(SDK_VERSION).expect("Cargo checked the version of the contract");
    if version.pre.is_empty() {
        format!("{}.{}", version.major, version.minor)
    } else {
        SDK_VERSION.to_owned()
    }
}

/// The absolute path of a directory that holds the contract. From wherever the crate lies, it is the same.
fn contract(directory: &Path) -> anyhow::Result<String> {
    let manifest = directory.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| {
        format!(
            "--api-path has to be the directory of presence-router-api: {} cannot be read",
            manifest.display()
        )
    })?;
    let without_blanks = |line: &str| line.split_whitespace().collect::<String>();
    ensure!(
        text.lines()
            .any(|line| without_blanks(line) == r#"name="presence-router-api""#),
        "--api-path has to be the directory of presence-router-api: {} is another crate's",
        manifest.display()
    );
    let absolute = directory
        .canonicalize()
        .with_context(|| format!("{} has no absolute path", directory.display()))?;
    absolute
        .to_str()
        .filter(|path| !path.contains(char::is_control))
        .map(str::to_owned)
        .ok_or_else(|| {
            anyhow!(
                "{}: a Cargo.toml cannot hold this path; rename the directory, or link to it from another",
                absolute.display()
            )
        })
}

/// Writes all of the files or none, and over nothing: they come into being beside their place, and are moved there in one step,
/// which the system refuses when something has come there meanwhile.
fn write(made: &Crate, wanted: &Path) -> anyhow::Result<PathBuf> {
    let place = place(wanted)?;
    let parent = place
        .parent()
        .with_context(|| format!("{} is no directory for a crate", place.display()))?;
    ensure!(
        parent.is_dir(),
        "there is no directory {}; make it, or choose another place with --path",
        parent.display()
    );
    let cannot = || format!("the crate cannot be written to {}", place.display());
    let staging = tempfile::Builder::new()
        .prefix(".presence-router-new-")
        .tempdir_in(parent)
        .with_context(cannot)?;
    // A directory of its own in it, as that of `tempfile` can be read by nobody else.
    let staged = staging.path().join("crate");
    write_files(made, &staged).with_context(cannot)?;
    match fs::rename(&staged, &place) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Err(not_empty(&place)),
        moved => moved.with_context(cannot).map(|()| place),
    }
}

fn write_files(made: &Crate, directory: &Path) -> io::Result<()> {
    fs::create_dir(directory)?;
    for (path, text) in made.files() {
        let file = directory.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, text)?;
    }
    Ok(())
}

/// The absolute path, if a crate may come there.
fn place(wanted: &Path) -> anyhow::Result<PathBuf> {
    let found = match fs::symlink_metadata(wanted) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return std::path::absolute(wanted)
                .with_context(|| format!("{} has no absolute path", wanted.display()));
        }
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be looked at", wanted.display()));
        }
    };
    let path = wanted.display();
    ensure!(
        found.is_dir(),
        "{path} is there and is no directory; choose another place with --path"
    );
    let mut entries = fs::read_dir(wanted).with_context(|| format!("{path} cannot be read"))?;
    if entries.next().is_some() {
        return Err(not_empty(wanted));
    }
    let place = wanted
        .canonicalize()
        .with_context(|| format!("{path} has no absolute path"))?;
    // The directory is replaced: who is in it would be in one that is gone.
    if std::env::current_dir().is_ok_and(|current| current == place) {
        bail!("{path} is the directory that you are in; leave it, and name it with --path");
    }
    Ok(place)
}

fn not_empty(directory: &Path) -> anyhow::Error {
    anyhow!(
        "{} is not empty; choose another place with --path",
        directory.display()
    )
}

fn print(made: &Crate, wanted: &Path, directory: &Path, format: Format) {
    let files: Vec<_> = made.files().map(|(path, _)| path).collect();
    let next = made.next();
    match format {
        Format::Text => {
            println!(
                "{}: a module, built with presence-router-api {}",
                wanted.display(),
                made.api()
            );
            for file in files {
                println!("  {file}");
            }
            println!("next, in that directory:");
            for command in next {
                println!("  {command}");
            }
        }
        Format::Json => println!(
            "{}",
            serde_json::json!({
                "ok": true,
                "name": made.name(),
                "library": made.library(),
                "directory": directory.to_string_lossy(),
                "files": files,
                "next": next,
                "errors": [],
            })
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_would_not_read_is_no_requirement() {
        for text in ["0.1", "=0.1.1", ">=0.1, <0.3", "0.2.0-rc.1", " 1 "] {
            assert_eq!(requirement(text).as_deref(), Ok(text.trim()));
        }
        for text in ["", "newest", "0.1\"", "../plugin-api"] {
            let error = requirement(text).expect_err(text);
            assert!(error.starts_with("no version requirement"), "{error}");
        }
    }

    #[test]
    fn our_own_requirement_takes_our_contract() {
        let requirement = VersionReq::parse(&own_requirement()).expect("a requirement");
        let version = Version::parse(SDK_VERSION).expect("a version");
        assert!(requirement.matches(&version), "{requirement} and {version}");
    }
}

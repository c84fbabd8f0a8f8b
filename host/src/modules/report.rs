//! What inspection found, for `presence-router inspect`: as JSON through serde, as aligned text through
//! `Display`. Of a broken file it shows as much as could be read. Plain data; checks nothing itself.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::modules::elf::Resolution;
use crate::modules::manifest::{Manifest, PanicStrategy};
use crate::sha256::Sha256;

/// What is known of a module's file without running it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The file that was named.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The hash of its content.
    pub sha256: Sha256,
    /// The machine it is for, when it is for this one.
    pub machine: Option<&'static str>,
    /// How it is linked.
    pub crate_type: Option<CrateType>,
    /// What it says of itself.
    pub manifest: Option<Manifest>,
    /// The libraries that it needs, in the file's order.
    pub needed: Vec<NeededLibrary>,
    /// Every check, in order.
    pub checks: Vec<CheckResult>,
}

/// How a module is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CrateType {
    /// `cdylib`: for other languages and for us; exports little.
    Cdylib,
    /// `dylib`: for other Rust crates; carries the compiler's metadata.
    Dylib,
}

/// A library that a module needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeededLibrary {
    /// Its name.
    pub name: String,
    /// Where it is; as JSON its path, or null.
    #[serde(rename = "path", serialize_with = "write_resolution")]
    pub resolution: Resolution,
}

/// One check, and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// The check.
    pub check: Check,
    /// How it went.
    pub verdict: Verdict,
    /// What was found; what is wrong when refused; empty when there is nothing to say.
    pub detail: String,
}

/// The checks, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// An ELF file for this machine.
    Machine,
    /// Every part that the headers name lies inside the file.
    Complete,
    /// A library to be loaded by others.
    SharedLibrary,
    /// The section `.presence_router` can be read.
    Manifest,
    /// The target triple is this host's.
    Target,
    /// The version of the contract is one that this host speaks.
    Sdk,
    /// A panic unwinds.
    Panic,
    /// The symbol that loading begins with is exported.
    RootSymbol,
    /// No static thread-local storage.
    StaticTls,
    /// Every needed library can be found.
    Libraries,
    /// The router that the dotted form asks for is there.
    Router,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// Not as it must be.
    Refused,
    /// Not made: an earlier one that it builds on was refused.
    Skipped,
}

impl Check {
    /// All, in order.
    pub const ALL: [Self; 11] = [
        Self::Machine,
        Self::Complete,
        Self::SharedLibrary,
        Self::Manifest,
        Self::Target,
        Self::Sdk,
        Self::Panic,
        Self::RootSymbol,
        Self::StaticTls,
        Self::Libraries,
        Self::Router,
    ];
}

impl Report {
    /// Whether every check passed.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|result| result.verdict == Verdict::Ok)
    }
}

impl Resolution {
    /// The library's path; `None` when it will not be found.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Found(path) | Self::Loaded(path) => Some(path),
            Self::BesideOriginal(_) | Self::Missing => None,
        }
    }
}

fn write_resolution<S: Serializer>(resolution: &Resolution, serializer: S) -> Result<S::Ok, S::Error> {
    resolution.path().serialize(serializer)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, "file", self.file.display())?;
        row(f, "size", format_args!("{} bytes", self.size))?;
        row(f, "sha256", self.sha256)?;
        if let Some(machine) = self.machine {
            row(f, "machine", machine)?;
        }
        if let Some(crate_type) = self.crate_type {
            row(f, "crate type", crate_type)?;
        }
        if let Some(manifest) = &self.manifest {
            row(
                f,
                "module",
                format_args!("{} {}", manifest.name, manifest.version),
            )?;
            if !manifest.description.is_empty() {
                row(f, "description", &manifest.description)?;
            }
            row(f, "routers", manifest.routers.join(", "))?;
            row(
                f,
                "api",
                format_args!("presence-router-api {}", manifest.sdk_version),
            )?;
            row(f, "abi hash", &manifest.abi_hash)?;
            row(f, "rustc", &manifest.rustc)?;
            row(f, "target", &manifest.target)?;
            row(f, "panic", manifest.panic)?;
        }
        for (index, library) in self.needed.iter().enumerate() {
            row(f, if index == 0 { "needs" } else { "" }, library)?;
        }
        writeln!(f, "\nchecks")?;
        for result in &self.checks {
            let line = format!("  {:<8}{:<16}{}", result.verdict, result.check, result.detail);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<13}{value}")
}

impl fmt::Display for NeededLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} => ", self.name)?;
        match &self.resolution {
            Resolution::Found(path) => write!(f, "{}", path.display()),
            Resolution::Loaded(path) => write!(f, "{} (loaded)", path.display()),
            Resolution::BesideOriginal(dir) => write!(f, "not found (it is in {})", dir.display()),
            Resolution::Missing => f.write_str("not found"),
        }
    }
}

impl fmt::Display for CrateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cdylib => "cdylib",
            Self::Dylib => "dylib",
        })
    }
}

impl fmt::Display for PanicStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unwind => "unwind",
            Self::Abort => "abort",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Machine => "machine",
            Self::Complete => "complete",
            Self::SharedLibrary => "shared library",
            Self::Manifest => "manifest",
            Self::Target => "target",
            Self::Sdk => "api version",
            Self::Panic => "panic",
            Self::RootSymbol => "root symbol",
            Self::StaticTls => "static tls",
            Self::Libraries => "libraries",
            Self::Router => "router",
        })
    }
}

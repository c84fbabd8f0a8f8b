//! All that can be wrong with a module's file as it lies there, and what to do about each.

use std::path::PathBuf;

use semver::Version;
use thiserror::Error;

use crate::modules::manifest::ManifestError;
use crate::modules::refusal::{Advice, Who};

/// What is wrong with a module's file.
#[derive(Debug, Error)]
pub enum Fault {
    /// The private copy cannot be read back.
    #[error("the private copy cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The file is of quite another kind.
    #[error("{looks_like}, not a shared library of Linux (ELF)")]
    NotElf {
        /// What its first bytes look like.
        looks_like: &'static str,
    },
    /// A library for another kind of machine.
    #[error("built for {found}, this host runs on {host}")]
    OtherMachine {
        /// The file's machine.
        found: String,
        /// This process's.
        host: &'static str,
    },
    /// The file ends before a part that its headers name: loading it would kill the process.
    #[error("the file is cut short: {part} ends at byte {end}, the file at {size}")]
    Truncated {
        /// The first such part.
        part: String,
        /// Where it should end.
        end: u64,
        /// Where the file ends.
        size: u64,
    },
    /// A header that makes no sense.
    #[error("the file is damaged: {part} cannot be read")]
    Malformed {
        /// What cannot be read.
        part: &'static str,
        /// Why.
        #[source]
        source: object::read::Error,
    },
    /// An ELF file, but not one to be loaded by others.
    #[error("{found}, not a shared library")]
    NotShared {
        /// What it is.
        found: &'static str,
    },
    /// The section `.presence_router` is absent.
    #[error("no presence-router module: it has no section `.presence_router`")]
    NoManifest,
    /// The section `.presence_router` is there and not readable.
    #[error("what it says of itself, in its section `.presence_router`, cannot be read")]
    Manifest(#[source] ManifestError),
    /// Built for another target.
    #[error("built for {found}, this host is built for {host}")]
    OtherTarget {
        /// The module's target triple.
        found: String,
        /// The host's.
        host: String,
    },
    /// Built with a version of the contract that this host does not speak.
    #[error("built with presence-router-api {found}, this host speaks {host}")]
    OtherSdk {
        /// The module's version.
        found: Version,
        /// The host's.
        host: Version,
    },
    /// A panic in the module would end the server.
    #[error("built with panic = \"abort\": a panic in it would end the whole server")]
    PanicAborts,
    /// The symbol that loading begins with is absent.
    #[error("does not export `{symbol}`, the root module of abi_stable")]
    NoRootSymbol {
        /// The symbol.
        symbol: &'static str,
    },
    /// Its thread-local storage cannot be loaded more than a few times.
    #[error("uses static thread-local storage (DF_STATIC_TLS), which runs out when modules are reloaded")]
    StaticTls,
    /// Libraries that it needs are nowhere.
    #[error("needs {}, which this system does not have", names.join(", "))]
    MissingLibraries {
        /// Their names.
        names: Vec<String>,
    },
    /// A library that it needs is found from the original's place alone.
    #[error("needs {name} from `{}`, which is not searched: a module runs from a private copy elsewhere", dir.display())]
    LibraryBesideOriginal {
        /// Its name.
        name: String,
        /// The directory that holds it.
        dir: PathBuf,
    },
    /// The dotted form asks for a router that the module does not have.
    #[error("has no router `{router}`, only {}", routers.join(", "))]
    NoSuchRouter {
        /// What is asked for.
        router: String,
        /// What there is.
        routers: Vec<String>,
    },
}

impl Advice for Fault {
    fn who(&self) -> Who {
        match self {
            Self::Unreadable(_)
            | Self::Empty
            | Self::NotElf { .. }
            | Self::Truncated { .. }
            | Self::Malformed { .. }
            | Self::Manifest(ManifestError::UnknownFormat { .. })
            | Self::MissingLibraries { .. }
            | Self::LibraryBesideOriginal { .. }
            | Self::NoSuchRouter { .. } => Who::Operator,
            Self::OtherSdk { found, host } if found > host => Who::Operator,
            _ => Who::Author,
        }
    }

    fn fix(&self) -> String {
        const BUILD: &str = "cargo build --release";
        const COPY_WHOLE: &str =
            "copy it again beside, then rename it: cp NEW.so DIR/x && mv DIR/x DIR/libNAME.so";
        match self {
            Self::Unreadable(_) => "look after the disk of TMPDIR, then load it again".into(),
            Self::Empty | Self::Truncated { .. } | Self::Malformed { .. } => COPY_WHOLE.into(),
            Self::NotElf { .. } => {
                format!("point `module:` at what `{BUILD}` makes: target/release/libNAME.so")
            }
            Self::OtherMachine { host, .. } => format!("{BUILD} --target {host}-unknown-linux-gnu"),
            Self::NotShared { .. } => format!("in Cargo.toml: [lib] crate-type = [\"cdylib\"]; then {BUILD}"),
            Self::NoManifest | Self::NoRootSymbol { .. } => {
                format!("in lib.rs: presence_router_api::export_router!(YourRouter); then {BUILD}")
            }
            Self::Manifest(ManifestError::Several { .. }) => {
                format!(
                    "call export_router! in the outer crate only, behind a feature of the inner one; then {BUILD}"
                )
            }
            Self::Manifest(ManifestError::UnknownFormat { .. }) => "install a newer presence-router".into(),
            Self::Manifest(_) => format!("cargo update -p presence-router-api && {BUILD}"),
            Self::OtherTarget { host, .. } => format!("{BUILD} --target {host}"),
            Self::OtherSdk { found, host } if found > host => {
                format!("install a presence-router that speaks {}", series(found))
            }
            Self::OtherSdk { host, .. } => {
                format!("cargo add presence-router-api@{} && {BUILD}", series(host))
            }
            Self::PanicAborts => format!("in Cargo.toml: [profile.release] panic = \"unwind\"; then {BUILD}"),
            Self::StaticTls => {
                format!(
                    "build without an allocator that uses it (jemalloc: feature disable_initial_exec_tls); then {BUILD}"
                )
            }
            Self::MissingLibraries { names } => match names.iter().find(|name| name.starts_with("libstd-")) {
                Some(_) => format!("build without -C prefer-dynamic: {BUILD}"),
                None => {
                    "install their packages, or start with LD_LIBRARY_PATH=DIR, where DIR holds them".into()
                }
            },
            Self::LibraryBesideOriginal { dir, .. } => {
                format!(
                    "start with LD_LIBRARY_PATH={}, or link with -C link-arg=-Wl,-rpath,{0}",
                    dir.display()
                )
            }
            Self::NoSuchRouter { routers, .. } => {
                format!(
                    "end `module:` in .{}",
                    routers.first().map_or("ROUTER", String::as_str)
                )
            }
        }
    }
}

/// The versions that are compatible with `version`, as Cargo writes them.
fn series(version: &Version) -> String {
    match version.major {
        0 => format!("0.{}", version.minor),
        major => major.to_string(),
    }
}

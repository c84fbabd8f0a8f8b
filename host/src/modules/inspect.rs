//! Step 3: what a module's file is, without running any of it.
//! Owns which checks there are and what each needs; how ELF is read is for `elf`. Loads nothing.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use abi_stable::library::ROOT_MODULE_LOADER_NAME;
use presence_router_api::MANIFEST_SECTION;
use semver::Version;

use crate::modules::elf::{LibrarySearch, Resolution, SharedObject, identify};
use crate::modules::fault::Fault;
use crate::modules::manifest::{Manifest, PanicStrategy};
use crate::modules::refusal::{Advice, Who};
use crate::modules::report::{Check, CheckResult, CrateType, NeededLibrary, Report, Verdict};
use crate::modules::stage::Staged;

/// What a module must suit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAbi {
    /// The version of `presence-router-api` that this host is built with.
    pub sdk_version: Version,
    /// The target triple that this host is built for.
    pub target: String,
}

impl HostAbi {
    /// What this very program is built with.
    #[expect(
        clippy::missing_panics_doc,
        reason = "cargo itself checks a package's version"
    )]
    pub fn this() -> Self {
        Self {
            sdk_version: Version::parse(presence_router_api::SDK_VERSION)
                .expect("cargo checks a package's version"),
            target: presence_router_api::TARGET.to_owned(),
        }
    }

    /// Whether a module built with `sdk` can be expected to load: the same major version, and while that is
    /// 0, the same minor one.
    pub(super) fn speaks(&self, sdk: &Version) -> bool {
        let host = &self.sdk_version;
        sdk.major == host.major && (host.major != 0 || sdk.minor == host.minor)
    }
}

/// A module that passed every check that can be made without running it.
#[derive(Debug)]
pub struct Inspected {
    staged: Staged,
    manifest: Manifest,
    report: Report,
}

impl Inspected {
    /// Checks the private copy. The error is the first fault; [`inspect`] shows all.
    pub fn new(staged: Staged, host: &HostAbi, search: &LibrarySearch) -> Result<Self, InspectError> {
        let mut examination = examine(&staged, host, search);
        let refused = |fault| InspectError {
            file: staged.source().to_owned(),
            fault,
        };
        if !examination.faults.is_empty() {
            return Err(refused(examination.faults.swap_remove(0)));
        }
        let report = examination.report;
        let manifest = report
            .manifest
            .clone()
            .ok_or_else(|| refused(Fault::NoManifest))?;
        Ok(Self {
            staged,
            manifest,
            report,
        })
    }

    pub(super) fn into_parts(self) -> (Staged, Manifest) {
        (self.staged, self.manifest)
    }

    /// The private copy.
    pub fn staged(&self) -> &Staged {
        &self.staged
    }

    /// What the module says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// All that was found.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// A module's file is not one that this host can load.
#[derive(Debug)]
pub struct InspectError {
    /// The file that was named.
    pub file: PathBuf,
    /// The first thing that is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.file.display(), self.fault)
    }
}

impl Error for InspectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

impl Advice for InspectError {
    fn who(&self) -> Who {
        self.fault.who()
    }

    fn fix(&self) -> String {
        self.fault.fix()
    }
}

/// All that can be found out about a private copy, broken or not.
pub fn inspect(staged: &Staged, host: &HostAbi, search: &LibrarySearch) -> Report {
    examine(staged, host, search).report
}

/// A report in the making, and the faults in the order in which they were found.
struct Examination {
    report: Report,
    faults: Vec<Fault>,
}

impl Examination {
    /// Notes how a check went, and hands on what it found when it passed.
    fn note<T>(
        &mut self,
        check: Check,
        outcome: Result<T, Fault>,
        detail: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let (verdict, detail) = match &outcome {
            Ok(found) => (Verdict::Ok, detail(found)),
            Err(fault) => (Verdict::Refused, with_causes(fault)),
        };
        self.report.checks.push(CheckResult {
            check,
            verdict,
            detail,
        });
        outcome.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// Adds what was not reached, and puts all into the order of [`Check::ALL`].
    fn finish(mut self) -> Self {
        let made = std::mem::take(&mut self.report.checks);
        self.report.checks = Check::ALL
            .into_iter()
            .map(|check| {
                made.iter()
                    .find(|result| result.check == check)
                    .cloned()
                    .unwrap_or(CheckResult {
                        check,
                        verdict: Verdict::Skipped,
                        detail: String::new(),
                    })
            })
            .collect();
        self
    }
}

fn examine(staged: &Staged, host: &HostAbi, search: &LibrarySearch) -> Examination {
    let mut examination = Examination {
        report: Report {
            file: staged.source().to_owned(),
            size: staged.size(),
            sha256: staged.sha256(),
            machine: None,
            crate_type: None,
            manifest: None,
            needed: Vec::new(),
            checks: Vec::new(),
        },
        faults: Vec::new(),
    };
    match fs::read(staged.path()) {
        Ok(bytes) => examine_bytes(&mut examination, &bytes, staged, host, search),
        Err(error) => {
            examination.note(Check::Machine, Err::<(), _>(Fault::Unreadable(error)), |()| {
                String::new()
            });
        }
    }
    examination.finish()
}

fn examine_bytes(
    examination: &mut Examination,
    bytes: &[u8],
    staged: &Staged,
    host: &HostAbi,
    search: &LibrarySearch,
) {
    let nothing = |(): &()| String::new();
    examination.report.machine =
        examination.note(Check::Machine, identify(bytes), |machine| (*machine).to_owned());
    if examination.report.machine.is_none() {
        return;
    }
    let complete = SharedObject::read(bytes);
    let Some(object) = examination.note(Check::Complete, complete, |_| String::new()) else {
        return;
    };
    if examination
        .note(Check::SharedLibrary, object.require_shared_library(), nothing)
        .is_none()
    {
        return;
    }
    let is_dylib = object.section(".rustc").is_some();
    examination.report.crate_type = Some(if is_dylib {
        CrateType::Dylib
    } else {
        CrateType::Cdylib
    });

    let manifest = object
        .section(MANIFEST_SECTION)
        .ok_or(Fault::NoManifest)
        .and_then(|section| Manifest::read(section).map_err(Fault::Manifest));
    if let Some(manifest) = examination.note(Check::Manifest, manifest, |found| found.name.clone()) {
        examination.note(Check::Target, target(&manifest, host), nothing);
        examination.note(Check::Sdk, sdk(&manifest, host), nothing);
        examination.note(Check::Panic, panic(&manifest, &object), nothing);
        if let Some(router) = staged.router() {
            examination.note(Check::Router, has_router(&manifest, router), nothing);
        } else {
            examination.note(Check::Router, Ok(()), |()| "none asked for".into());
        }
        examination.report.manifest = Some(manifest);
    }

    let root = Fault::NoRootSymbol {
        symbol: ROOT_MODULE_LOADER_NAME,
    };
    examination.note(
        Check::RootSymbol,
        object.exports(ROOT_MODULE_LOADER_NAME).then_some(()).ok_or(root),
        nothing,
    );
    let tls = if object.has_static_tls() {
        Err(Fault::StaticTls)
    } else {
        Ok(())
    };
    examination.note(Check::StaticTls, tls, nothing);

    let resolve = |name: &String| search.resolve(name, object.run_paths(), staged.path(), staged.source());
    examination.report.needed = object
        .needed()
        .iter()
        .map(|name| NeededLibrary {
            name: name.clone(),
            resolution: resolve(name),
        })
        .collect();
    let libraries = libraries(&examination.report.needed);
    examination.note(Check::Libraries, libraries, |count| format!("{count} found"));
}

fn target(manifest: &Manifest, host: &HostAbi) -> Result<(), Fault> {
    if manifest.target == host.target {
        return Ok(());
    }
    Err(Fault::OtherTarget {
        found: manifest.target.clone(),
        host: host.target.clone(),
    })
}

fn sdk(manifest: &Manifest, host: &HostAbi) -> Result<(), Fault> {
    if host.speaks(&manifest.sdk_version) {
        return Ok(());
    }
    Err(Fault::OtherSdk {
        found: manifest.sdk_version.clone(),
        host: host.sdk_version.clone(),
    })
}

/// Believes the file before the manifest: a module whose standard library walks the stack of the system's
/// unwinder but never raises an exception was built to abort.
fn panic(manifest: &Manifest, object: &SharedObject<'_>) -> Result<(), Fault> {
    let raises = object.imports("_Unwind_RaiseException") || !object.imports("_Unwind_Backtrace");
    if manifest.panic == PanicStrategy::Unwind && raises {
        Ok(())
    } else {
        Err(Fault::PanicAborts)
    }
}

fn has_router(manifest: &Manifest, router: &str) -> Result<(), Fault> {
    if manifest.routers.iter().any(|name| name == router) {
        return Ok(());
    }
    Err(Fault::NoSuchRouter {
        router: router.to_owned(),
        routers: manifest.routers.clone(),
    })
}

fn libraries(needed: &[NeededLibrary]) -> Result<usize, Fault> {
    let missing = |library: &&NeededLibrary| library.resolution == Resolution::Missing;
    let names: Vec<_> = needed
        .iter()
        .filter(missing)
        .map(|library| library.name.clone())
        .collect();
    if !names.is_empty() {
        return Err(Fault::MissingLibraries { names });
    }
    for library in needed {
        if let Resolution::BesideOriginal(dir) = &library.resolution {
            return Err(Fault::LibraryBesideOriginal {
                name: library.name.clone(),
                dir: dir.clone(),
            });
        }
    }
    Ok(needed.len())
}

/// One line with all the causes: a report is shown, not logged.
fn with_causes(fault: &Fault) -> String {
    std::iter::successors(Some(fault as &dyn Error), |error| (*error).source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests;

//! Step 4: opens an inspected library and checks that its types are laid out as the host's are.
//!
//! From here on the module's code runs. The library is never closed: its thread-locals, its statics and the
//! vtables that it handed out must stay valid (`docs/decisions/never-dlclose.md`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{
    AbiInstabilityErrors, CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::library::{
    AbiHeaderRef, LibHeader, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL, RootModuleError,
};
use abi_stable::type_layout::{TLFieldOrFunction, TypeLayout};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use presence_router_api::SDK_VERSION;
use presence_router_api::abi::RouterModuleRef;
use semver::Version;

use crate::modules::identity::Identity;
use crate::modules::inspect::{HostAbi, Inspected};
use crate::modules::refusal::{Advice, Who};
use crate::modules::stage::Staged;

/// How many libraries a process opens before it refuses more. Each stays mapped for ever and takes about
/// four mappings; Linux allows 65,530 (`vm.max_map_count`).
pub const MAX_OPENED: usize = 10_000;

static OPENED: AtomicUsize = AtomicUsize::new(0);

/// A library whose root module the host may call. A clone is the same library, for another instance of it.
#[derive(Clone)]
pub struct Opened {
    pub(super) identity: Identity,
    pub(super) root: RouterModuleRef,
    /// The private copy stays while the module may be used: the dynamic linker needs it no more, but a
    /// backtrace reads its symbols from it.
    pub(super) copy: Option<Arc<Staged>>,
}

/// Why a library was not opened.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {fault}", path.display())]
pub struct OpenError {
    /// The file that the config names.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: OpenFault,
}

/// What was wrong with a library when it was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The library has several routers, and the config names none.
    #[error("it has several routers, and the config does not say which: {}", .0.join(", "))]
    RouterNotNamed(Vec<String>),
    /// This process has opened [`MAX_OPENED`] libraries, all of which stay mapped.
    #[error("{MAX_OPENED} libraries are open in this process, none can be closed")]
    TooMany,
    /// The dynamic linker refused.
    #[error("the dynamic linker refuses it: {0}")]
    Dlopen(String),
    /// The root symbol is not an `abi_stable` header of this host's version.
    #[error("its root symbol is not that of a module for this host")]
    Header(#[source] LibraryError),
    /// It was built with a version of the API that this host cannot serve.
    #[error("it was built with presence-router-api {module}, this host serves {host}")]
    Version {
        /// The module's.
        module: String,
        /// The host's.
        host: &'static str,
    },
    /// It was exported without the description of its layout.
    #[error("it does not say how its types are laid out, so they cannot be checked")]
    NoLayout,
    /// Its types are laid out otherwise than this host's.
    #[error("its types are laid out otherwise than this host's, though both are version {host}: {first}")]
    Layout {
        /// The host's version.
        host: &'static str,
        /// The first difference.
        first: String,
        /// Where the whole comparison was written, if it could be.
        trace: Option<PathBuf>,
    },
    /// Its constructor of the root module failed.
    #[error("its root module cannot be made: {0}")]
    RootModule(String),
}

impl Advice for OpenError {
    fn who(&self) -> Who {
        match self.fault {
            OpenFault::RouterNotNamed(_) | OpenFault::TooMany | OpenFault::Dlopen(_) => Who::Operator,
            OpenFault::Header(_)
            | OpenFault::Version { .. }
            | OpenFault::NoLayout
            | OpenFault::Layout { .. }
            | OpenFault::RootModule(_) => Who::Author,
        }
    }

    fn fix(&self) -> String {
        match &self.fault {
            OpenFault::RouterNotNamed(routers) => {
                let router = routers.first().map_or("RouterName", String::as_str);
                format!("write `module: {}.{router}`", self.path.display())
            }
            OpenFault::TooMany => {
                "restart this server; the swaps before it have used up its address space".into()
            }
            // What mmap answers where files may not be executed; the module itself has no part in it.
            OpenFault::Dlopen(text) if text.contains("failed to map segment") => {
                "set TMPDIR to a directory on a file system that is not mounted with noexec".into()
            }
            OpenFault::Dlopen(_) => format!("ldd -r {}", self.path.display()),
            OpenFault::Header(_) | OpenFault::Version { .. } => {
                format!(
                    "set presence-router-api = \"{SDK_VERSION}\" in its Cargo.toml; cargo build --release"
                )
            }
            OpenFault::NoLayout => {
                "export it by presence_router_api::export_router!; cargo build --release".into()
            }
            OpenFault::Layout { trace, .. } => {
                let trace = trace
                    .as_ref()
                    .map(|path| format!("; the whole comparison is in {}", path.display()));
                format!(
                    "build it with the published presence-router-api {SDK_VERSION}, unpatched{}",
                    trace.unwrap_or_default()
                )
            }
            OpenFault::RootModule(_) => "report it to the module's author".into(),
        }
    }
}

impl Opened {
    /// Opens the private copy. Runs the library's constructors.
    pub fn new(inspected: Inspected) -> Result<Self, OpenError> {
        let (staged, manifest) = inspected.into_parts();
        let refused = |fault| OpenError {
            path: staged.source().to_owned(),
            fault,
        };
        let router = match (staged.router(), manifest.routers.as_slice()) {
            (Some(named), _) => named.to_owned(),
            (None, [only]) => only.clone(),
            (None, several) => return Err(refused(OpenFault::RouterNotNamed(several.to_vec()))),
        };
        let identity = Identity {
            name: manifest.name,
            version: manifest.version,
            router,
            generation: staged.generation(),
            sha256: staged.sha256(),
            path: staged.source().to_owned(),
        };
        let root = open_checked(staged.path(), &identity).map_err(refused)?;
        Ok(Self {
            identity,
            root,
            copy: Some(Arc::new(staged)),
        })
    }

    /// A module that is linked into this program: for tests and benchmarks that need no dlopen.
    pub fn linked(identity: Identity, root: RouterModuleRef) -> Self {
        Self {
            identity,
            root,
            copy: None,
        }
    }

    /// What this module is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn open_checked(copy: &Path, identity: &Identity) -> Result<RouterModuleRef, OpenFault> {
    if OPENED.fetch_add(1, Ordering::Relaxed) >= MAX_OPENED {
        OPENED.fetch_sub(1, Ordering::Relaxed);
        return Err(OpenFault::TooMany);
    }
    let header = open(copy)?;
    check_version(header)?;
    check_layout(header, identity)?;
    // SAFETY: `check_layout` has just found the layout of this header's root module compatible with
    // `RouterModuleRef`'s, and the library stays open for ever.
    unsafe { header.unchecked_layout::<RouterModuleRef>() }
        .map_err(|error: RootModuleError| OpenFault::RootModule(error.to_string()))
}

fn open(path: &Path) -> Result<&'static LibHeader, OpenFault> {
    // SAFETY: dlopen runs the library's constructors, which is code that the operator chose to run in this process;
    // the inspection has shown that the file is a whole module of this machine. The copy at `path` is private to this
    // process and never written again, so its mapping stays valid.
    let library =
        unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| dlopen_error(&error))?;
    // SAFETY: a module's root symbol is a static that begins with an `AbiHeader`, and `AbiHeaderRef` is a
    // transparent reference to one: the symbol's address is the header. What the header says is checked by `upgrade`
    // before anything behind it is read; the inspection has shown that the symbol is defined in this library.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) }
        .map(|symbol| *symbol)
        .map_err(|error| dlopen_error(&error))?;
    std::mem::forget(library);
    header.upgrade().map_err(OpenFault::Header)
}

/// The dynamic linker's text is in the error's source.
fn dlopen_error(error: &libloading::Error) -> OpenFault {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    OpenFault::Dlopen(text)
}

fn check_version(header: &LibHeader) -> Result<(), OpenFault> {
    let module = header.version_strings().version.to_string();
    let speaks = Version::parse(&module).is_ok_and(|version| HostAbi::this().speaks(&version));
    if speaks {
        Ok(())
    } else {
        Err(OpenFault::Version {
            module,
            host: SDK_VERSION,
        })
    }
}

fn check_layout(header: &LibHeader, identity: &Identity) -> Result<(), OpenFault> {
    let module = header.layout().ok_or(OpenFault::NoLayout)?;
    let host = <RouterModuleRef as StableAbi>::LAYOUT;
    // Either side may be the older one, whose types are a prefix of the newer one's. The globals are fresh, as
    // those of abi_stable remember the first library for ever.
    let Err(difference) = compare(host, module) else {
        return Ok(());
    };
    if compare(module, host).is_ok() {
        return Ok(());
    }
    let text = difference.to_string();
    Err(OpenFault::Layout {
        host: SDK_VERSION,
        first: first_difference(&difference, &text),
        trace: write_trace(identity, &text),
    })
}

fn compare(
    interface: &'static TypeLayout,
    implementation: &'static TypeLayout,
) -> Result<(), AbiInstabilityErrors> {
    let globals = CheckingGlobals::new();
    check_layout_compatibility_with_globals(interface, implementation, &globals)
}

/// Where the first difference is, and what kind it is of: `new.param_1 (HostApi_TO): unexpected field`.
fn first_difference(difference: &AbiInstabilityErrors, text: &str) -> String {
    let kind = text.lines().find_map(|line| line.trim().strip_prefix("Error:"));
    let way = difference
        .errors
        .iter()
        .find(|error| !error.errs.is_empty())
        .map(|error| &error.stack_trace);
    let names = way.into_iter().flatten().map(|step| match step.expected {
        TLFieldOrFunction::Field(field) => field.name(),
        TLFieldOrFunction::Function(function) => function.name.as_str(),
    });
    let place = names.collect::<Vec<_>>().join(".");
    let kind = kind.unwrap_or("see the whole comparison");
    if place.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind} at {place}")
    }
}

/// Keeps the whole comparison, some thousand lines, where the operator can send it to the module's author.
fn write_trace(identity: &Identity, difference: &str) -> Option<PathBuf> {
    let mut name = String::from("presence-router-layout-");
    let _ = write!(name, "{}-{}.txt", identity.name, identity.sha256.short());
    let path = std::env::temp_dir().join(name);
    let mut file = tempfile::NamedTempFile::new_in(std::env::temp_dir()).ok()?;
    std::io::Write::write_all(&mut file, difference.as_bytes()).ok()?;
    file.persist(&path).ok()?;
    Some(path)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::modules::refusal::Refusal;

    fn check(dlerror: &str) -> String {
        let error = OpenError {
            path: PathBuf::from("/modules/libx.so"),
            fault: OpenFault::Dlopen(dlerror.to_owned()),
        };
        Refusal::from(error).to_string()
    }

    #[test]
    fn a_file_system_without_execution_is_told_from_a_library_that_does_not_link() {
        assert_snapshot!(check("/tmp/presence-router-a/libx-1.so: failed to map segment from shared object"), @r"
        `/modules/libx.so`: the dynamic linker refuses it: /tmp/presence-router-a/libx-1.so: failed to map segment from shared object
          change: the operator of this server
          fix:    set TMPDIR to a directory on a file system that is not mounted with noexec
        ");
        assert_snapshot!(check("libx.so: undefined symbol: nowhere"), @r"
        `/modules/libx.so`: the dynamic linker refuses it: libx.so: undefined symbol: nowhere
          change: the operator of this server
          fix:    ldd -r /modules/libx.so
        ");
    }
}

//! What a module does once for the whole library: its root symbol, its panic hook, its `log` bridge.

use std::sync::{Once, PoisonError, RwLock};

use abi_stable::library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RResult, RStr};

use super::guard;
use super::instance::RouterEntry;
use crate::abi::failure::Failure;
use crate::abi::host::HostApiBox;
use crate::abi::module::{ConfigBox, RouterModule, RouterModuleRef};
use crate::abi::router::RouterBox;
use crate::module_api::{ModuleApi, WeakModuleApi};

/// A library of routers; `export_routers!` implements it.
pub trait Library: 'static {
    /// The routers, at least one.
    const ROUTERS: &'static [RouterEntry];

    /// The manifest, as the section has it. Naming it here also keeps the linker from dropping the section.
    fn manifest() -> &'static str;
}

/// Refuses names by which no config could pick a router.
///
/// # Panics
/// With the reason. As it runs when a module is compiled, that is an error of the compiler.
pub const fn check_names(routers: &[RouterEntry]) {
    let mut i = 0;
    while i < routers.len() {
        let name = routers[i].name.as_bytes();
        assert!(
            is_router_name(name),
            "a router's name has letters, digits, `_` and `-` of ASCII, at least one, and is not `so`"
        );
        let mut j = 0;
        while j < i {
            assert!(
                !is_equal(routers[j].name.as_bytes(), name),
                "two routers have the same name"
            );
            j += 1;
        }
        i += 1;
    }
}

const fn is_router_name(name: &[u8]) -> bool {
    let mut i = 0;
    while i < name.len() {
        if !(name[i].is_ascii_alphanumeric() || matches!(name[i], b'_' | b'-')) {
            return false;
        }
        i += 1;
    }
    !name.is_empty() && !is_equal(name, b"so")
}

const fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let mut i = 0;
    while i < one.len() && i < other.len() && one[i] == other[i] {
        i += 1;
    }
    i == one.len() && i == other.len()
}

/// The value of the root symbol.
pub const fn header<L: Library>() -> LibHeader {
    // SAFETY: `construct::<L>` returns what `root_module` returns, a `RouterModuleRef`, erased by
    // `__call_root_module_loader`; `from_constructor` is told that same type.
    unsafe { LibHeader::from_constructor::<RouterModuleRef>(construct::<L>, CheckTypeLayout::Yes) }
}

/// Runs when a host resolves the root symbol of a real library, never in a statically linked one.
extern "C" fn construct<L: Library>() -> RootModuleResult {
    prepare();
    __call_root_module_loader(root_module::<L>)
}

/// The root module of a library that is linked statically, as a host's own tests and benchmarks do.
pub fn root_module<L: Library>() -> RouterModuleRef {
    RouterModule {
        info: info::<L>,
        parse_config: parse_config::<L>,
        new: new::<L>,
    }
    .leak_into_prefix()
}

extern "C" fn info<L: Library>() -> RStr<'static> {
    RStr::from_str(L::manifest())
}

#[expect(
    improper_ctypes_definitions,
    reason = "abi_stable's DynTrait is checked by its own layout"
)]
extern "C" fn parse_config<L: Library>(router: RStr<'_>, config: RStr<'_>) -> RResult<ConfigBox, Failure> {
    find::<L>(router.as_str())
        .and_then(|entry| (entry.parse_config)(config.as_str()))
        .into()
}

#[expect(
    improper_ctypes_definitions,
    reason = "abi_stable's DynTrait is checked by its own layout"
)]
extern "C" fn new<L: Library>(
    router: RStr<'_>,
    config: ConfigBox,
    api: HostApiBox,
) -> RResult<RouterBox, Failure> {
    find::<L>(router.as_str())
        .and_then(|entry| (entry.new)(config, api))
        .into()
}

fn find<L: Library>(name: &str) -> Result<&'static RouterEntry, Failure> {
    match (name, L::ROUTERS) {
        ("", [only]) => Ok(only),
        _ => L::ROUTERS.iter().find(|entry| entry.name == name).ok_or_else(|| {
            let names: Vec<_> = L::ROUTERS.iter().map(|entry| entry.name).collect();
            Failure::error(match name {
                "" => format!("the library has several routers, name one: {}", names.join(", ")),
                _ => format!("the library has no router {name:?}, it has: {}", names.join(", ")),
            })
        }),
    }
}

/// The instances of this library.
static INSTANCES: Instances = Instances(RwLock::new(Vec::new()));

/// Who speaks for code of the library that belongs to no instance, such as its own threads: the newest instance
/// that is alive. They are held weakly, as an instance that is gone must not keep the host's side of it.
pub(super) struct Instances(pub(super) RwLock<Vec<WeakModuleApi>>);

impl Instances {
    pub(super) fn add(&self, api: &ModuleApi) {
        let mut instances = self.0.write().unwrap_or_else(PoisonError::into_inner);
        instances.retain(WeakModuleApi::is_alive);
        instances.push(api.downgrade());
    }

    pub(super) fn newest(&self) -> Option<ModuleApi> {
        let instances = self.0.read().unwrap_or_else(PoisonError::into_inner);
        instances.iter().rev().find_map(WeakModuleApi::upgrade)
    }
}

/// Called when an instance starts: the library's log records and stray panics can go to the host from now on.
///
/// In a statically linked library (tests, benchmarks) there is a logger and a hook already, or none is
/// wanted; so both are set only by [`prepare`].
pub(super) fn adopt(api: &ModuleApi) {
    INSTANCES.add(api);
    if PREPARED.is_completed() {
        log::set_max_level(api.max_log_level());
    }
}

static PREPARED: Once = Once::new();

/// Installs the panic hook and the `log` bridge of this library.
fn prepare() {
    PREPARED.call_once(|| {
        guard::install_panic_hook(|text| log::error!("{text}"));
        if log::set_logger(&Bridge).is_ok() {
            log::set_max_level(log::LevelFilter::Info);
        }
    });
}

/// Sends log records over the vtable: to the instance whose code runs on this thread, else to the newest. Records
/// from before the first instance and after the last are lost.
pub(super) struct Bridge;

impl log::Log for Bridge {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if let Some(api) = guard::current().or_else(|| INSTANCES.newest()) {
            // Formatted under no lock: an author's `Display` may log, too.
            let text = record.args().to_string();
            api.log(record.level(), record.target(), &text);
        }
    }

    fn flush(&self) {}
}

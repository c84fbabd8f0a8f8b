//! The root module: the one symbol that a module exports. Frozen at `info`, `parse_config` and `new`.

#![expect(
    clippy::expl_impl_clone_on_copy,
    non_local_definitions,
    improper_ctypes_definitions,
    reason = "abi_stable's macros expand to these, and check the layout themselves"
)]

use abi_stable::library::RootModule;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, RResult, RStr};
use abi_stable::{DynTrait, StableAbi, package_version_strings};

use super::failure::Failure;
use super::host::HostApiBox;
use super::router::RouterBox;

/// What the host may do with a parsed config: hold it, send it to another thread, drop it.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(impl_InterfaceType(Send))]
pub struct ConfigInterface;

/// A parsed config. Only the module that made it can look inside.
pub type ConfigBox = DynTrait<'static, RBox<()>, ConfigInterface>;

/// What a module exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RouterModuleRef)))]
#[sabi(missing_field(panic))]
pub struct RouterModule {
    /// The manifest, as the inspection section has it.
    pub info: extern "C" fn() -> RStr<'static>,
    /// Checks the config (JSON text) of the router named; an empty name means the only one.
    pub parse_config: extern "C" fn(router: RStr<'_>, config: RStr<'_>) -> RResult<ConfigBox, Failure>,
    /// Starts an instance with a config that `parse_config` of the same library made for this router.
    #[sabi(last_prefix_field)]
    pub new:
        extern "C" fn(router: RStr<'_>, config: ConfigBox, api: HostApiBox) -> RResult<RouterBox, Failure>,
}

impl RootModule for RouterModuleRef {
    abi_stable::declare_root_module_statics! {RouterModuleRef}

    const BASE_NAME: &'static str = "presence_router_module";
    const NAME: &'static str = "presence router module";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

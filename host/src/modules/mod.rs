//! The modules: how a file that an operator names becomes a router that answers.
//! Each step is a type that proves the one before: `Located`, `Staged`, `Inspected`. Up to here no code of
//! the module has run. Knows no HTTP and no presence.

mod elf;
mod fault;
#[cfg(test)]
mod fixture;
mod inspect;
mod locate;
mod manifest;
mod refusal;
mod report;
mod stage;
mod trust;

pub use crate::modules::elf::{LibrarySearch, Resolution};
pub use crate::modules::fault::Fault;
pub use crate::modules::inspect::{HostAbi, InspectError, Inspected, inspect};
pub use crate::modules::locate::{LocateError, Located};
pub use crate::modules::manifest::{Manifest, PanicStrategy};
pub use crate::modules::refusal::{Advice, Refusal, Who};
pub use crate::modules::report::{Check, CheckResult, CrateType, NeededLibrary, Report, Verdict};
pub use crate::modules::stage::{InvalidSha256, MAX_MODULE_BYTES, ModuleCache, Sha256, StageError, Staged};
pub use crate::modules::trust::{Trust, UntrustedSource};

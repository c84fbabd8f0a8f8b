//! The modules: how a file that an operator names becomes a router that answers.
//! Each step is a type that proves the one before: `Located`, `Staged`, `Inspected`; up to here no code of
//! the module has run. Then `Opened`, `Configured`, `Running`, which alone can route. Knows no HTTP and no
//! presence rules.

mod answer;
mod audience;
mod configure;
mod counted;
mod crashes;
mod elf;
mod fault;
mod figures;
#[cfg(test)]
mod fixture;
mod host_api;
mod http_client;
mod identity;
mod inspect;
mod leftovers;
mod limits;
mod loader;
mod locate;
mod manifest;
mod open;
#[cfg(test)]
pub(crate) mod puppet;
mod quarantine;
mod questions;
mod refusal;
mod report;
mod running;
mod runtime;
mod series;
mod services;
mod signature;
mod stage;
mod trust;
mod turns;

pub use crate::modules::answer::{Piece, Routed, WrongAnswer};
pub use crate::modules::audience::{Audience, AudienceError, AudienceId, Audiences};
pub use crate::modules::configure::{ConfigureError, Configured, START_TIMEOUT};
pub use crate::modules::elf::{LibrarySearch, Resolution};
pub use crate::modules::fault::Fault;
pub use crate::modules::figures::{CallStats, Counts, Latency};
pub use crate::modules::host_api::HostFacts;
pub use crate::modules::identity::Identity;
pub use crate::modules::inspect::{HostAbi, InspectError, Inspected, inspect};
pub use crate::modules::limits::{CrashBudget, Limits};
pub use crate::modules::loader::{Found, Loader, Source};
pub use crate::modules::locate::{LocateError, Located};
pub use crate::modules::manifest::{Manifest, ManifestError, PanicStrategy};
pub use crate::modules::open::{MAX_OPENED, OpenError, OpenFault, Opened};
pub use crate::modules::refusal::{Advice, Refusal, Who};
pub use crate::modules::report::{Check, CheckResult, CrateType, NeededLibrary, Report, Verdict};
pub use crate::modules::running::{CallError, MAX_BATCH, Running, StartError};
pub use crate::modules::services::{Answer, ServiceError, Services};
pub use crate::modules::signature::{SignatureError, Signers};
pub use crate::modules::stage::{MAX_MODULE_BYTES, ModuleCache, StageError, Staged};
pub use crate::modules::trust::{Trust, UntrustedSource};
pub use crate::modules::turns::MAX_WAIT;

//! How a failure crosses the boundary: a kind, a place in the config, a text.

use abi_stable::StableAbi;
use abi_stable::std_types::RString;

/// What kind of failure it was. A number and not an enum, so that a kind can be added: a reader treats
/// one that it does not know as [`FailureKind::ERROR`].
#[repr(transparent)]
#[derive(StableAbi, Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureKind(u8);

impl FailureKind {
    /// The callee said no.
    pub const ERROR: Self = Self(0);
    /// The callee panicked; the guard around it caught the panic.
    pub const PANIC: Self = Self(1);
    /// The caller has been shut down, or is not yet running.
    pub const SHUT_DOWN: Self = Self(2);
}

/// A failure on its way over the boundary.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// The key in the module's config that is at fault, such as `blacklisted_users[1]`; else empty.
    pub path: RString,
    /// What was wrong, in lower case and without a full stop; for a panic its message and place.
    pub message: RString,
}

impl Failure {
    /// A failure of kind [`FailureKind::ERROR`].
    pub fn error(message: impl Into<RString>) -> Self {
        Self {
            kind: FailureKind::ERROR,
            path: RString::new(),
            message: message.into(),
        }
    }

    /// A failure of kind [`FailureKind::PANIC`].
    pub fn panic(message: impl Into<RString>) -> Self {
        Self {
            kind: FailureKind::PANIC,
            path: RString::new(),
            message: message.into(),
        }
    }

    /// A failure of kind [`FailureKind::SHUT_DOWN`].
    pub fn shut_down() -> Self {
        Self {
            kind: FailureKind::SHUT_DOWN,
            path: RString::new(),
            message: RString::from("the module has been shut down"),
        }
    }
}

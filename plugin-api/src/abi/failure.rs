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
    /// The host was built before the method that was called.
    pub const TOO_OLD: Self = Self(3);
    /// What was given or what came back is larger than is allowed.
    pub const TOO_LARGE: Self = Self(4);
    /// The callee cannot do it now; later it may.
    pub const UNAVAILABLE: Self = Self(5);
    /// It was not done by its deadline.
    pub const TIMED_OUT: Self = Self(6);
    /// An HTTP request whose method, URL or headers are none.
    pub const BAD_REQUEST: Self = Self(7);
    /// An HTTP request to an address that the host does not let modules call.
    pub const ADDRESS_REFUSED: Self = Self(8);
    /// An HTTP request for which no connection came about, or whose connection broke.
    pub const CONNECTION: Self = Self(9);
    /// An HTTP request to a server that did not prove who it is.
    pub const TLS: Self = Self(10);
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
    /// A failure of any kind but those that name a key of a config.
    pub fn new(kind: FailureKind, message: impl Into<RString>) -> Self {
        Self {
            kind,
            path: RString::new(),
            message: message.into(),
        }
    }

    /// A failure of kind [`FailureKind::ERROR`].
    pub fn error(message: impl Into<RString>) -> Self {
        Self::new(FailureKind::ERROR, message)
    }

    /// A failure of kind [`FailureKind::PANIC`].
    pub fn panic(message: impl Into<RString>) -> Self {
        Self::new(FailureKind::PANIC, message)
    }

    /// A failure of kind [`FailureKind::SHUT_DOWN`].
    pub fn shut_down() -> Self {
        Self::new(FailureKind::SHUT_DOWN, "the module has been shut down")
    }

    /// A failure of kind [`FailureKind::TOO_OLD`]: the host does not have `method`.
    pub fn too_old(method: &str) -> Self {
        Self::new(
            FailureKind::TOO_OLD,
            format!("the host is too old for `{method}`; install a newer presence-router"),
        )
    }
}

//! Matrix identifiers as a module sees them: validated once, compared as strings.
//!
//! Owns the grammar of user ids and server names, nothing else. It is written here and not taken from
//! a larger identifier library so that a module's dependencies stay few and its MSRV low.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use abi_stable::std_types::RString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest user id, in bytes, sigil and server name included ([specification]).
///
/// [specification]: https://spec.matrix.org/v1.16/appendices/#user-identifiers
pub const MAX_USER_ID_BYTES: usize = 255;

/// A Matrix user id, `@localpart:server.name`, checked when it was made.
///
/// Any historical localpart is accepted, as the [specification] asks of servers: every character but
/// `:` and NUL. Hashing, ordering and comparing go by the string, so a `HashSet<UserId>` can be asked
/// with a `&str`. No case is folded: `@Alice:example.org` and `@alice:example.org` are two. Clones share the text.
///
/// Reads from and writes to a string with serde, so a config may hold it.
///
/// ```
/// use std::collections::HashSet;
/// use presence_router_api::UserId;
///
/// let alice: UserId = "@alice:example.org".parse()?;
/// assert_eq!(alice.localpart(), "alice");
/// assert_eq!(alice.server_name(), "example.org");
///
/// let blocked = HashSet::from([alice]);
/// assert!(blocked.contains("@alice:example.org"));
/// assert!("bob".parse::<UserId>().is_err());
/// # Ok::<(), presence_router_api::InvalidUserId>(())
/// ```
///
/// [specification]: https://spec.matrix.org/v1.16/appendices/#user-identifiers
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Checks `id` and keeps it.
    pub fn parse(id: impl AsRef<str>) -> Result<Self, InvalidUserId> {
        let id = id.as_ref();
        check_user_id(id)?;
        Ok(Self(Arc::from(id)))
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands between `@` and the first `:`; may be empty in old ids.
    pub fn localpart(&self) -> &str {
        self.split().0
    }

    /// What stands behind the first `:`; a port is part of it, as in `example.org:8448`.
    pub fn server_name(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        self.0
            .strip_prefix('@')
            .and_then(|rest| rest.split_once(':'))
            .expect("a UserId starts with '@' and has a ':', checked by parse")
    }
}

/// Why a string is not a user id. The text names the string.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidUserId {
    /// It does not start with `@`.
    NoSigil(String),
    /// There is no `:` behind the localpart.
    NoServerName(String),
    /// The localpart holds a NUL.
    BadLocalpart(String),
    /// What stands behind the `:` is no server name.
    BadServerName(String),
    /// It is longer than [`MAX_USER_ID_BYTES`]: so many bytes.
    TooLong(usize),
}

impl fmt::Display for InvalidUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSigil(id) => {
                write!(
                    f,
                    "{id:?} is not a user id: it does not start with '@', as in \"@alice:example.org\""
                )
            }
            Self::NoServerName(id) => {
                write!(
                    f,
                    "{id:?} is not a user id: it has no ':' and server name, as in \"@alice:example.org\""
                )
            }
            Self::BadLocalpart(id) => write!(f, "{id:?} is not a user id: it holds a NUL character"),
            Self::BadServerName(id) => {
                write!(
                    f,
                    "{id:?} is not a user id: what stands behind the ':' is not a server name"
                )
            }
            Self::TooLong(bytes) => {
                write!(
                    f,
                    "not a user id: {bytes} bytes long, {MAX_USER_ID_BYTES} are allowed"
                )
            }
        }
    }
}

impl std::error::Error for InvalidUserId {}

fn check_user_id(id: &str) -> Result<(), InvalidUserId> {
    if id.len() > MAX_USER_ID_BYTES {
        return Err(InvalidUserId::TooLong(id.len()));
    }
    let rest = id
        .strip_prefix('@')
        .ok_or_else(|| InvalidUserId::NoSigil(id.to_owned()))?;
    let (localpart, server_name) = rest
        .split_once(':')
        .ok_or_else(|| InvalidUserId::NoServerName(id.to_owned()))?;
    if localpart.contains('\0') {
        return Err(InvalidUserId::BadLocalpart(id.to_owned()));
    }
    if !is_server_name(server_name) {
        return Err(InvalidUserId::BadServerName(id.to_owned()));
    }
    Ok(())
}

/// Whether `name` is a Matrix server name: a DNS name, an IPv4 address or a bracketed IPv6 address,
/// with an optional port ([specification]).
///
/// ```
/// use presence_router_api::is_server_name;
///
/// assert!(is_server_name("example.org:8448"));
/// assert!(is_server_name("[2001:db8::1]:8448"));
/// assert!(!is_server_name("example.org/path"));
/// ```
///
/// [specification]: https://spec.matrix.org/v1.16/appendices/#server-name
pub fn is_server_name(name: &str) -> bool {
    let (host, port) = if let Some(rest) = name.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        if std::net::Ipv6Addr::from_str(address).is_err() {
            return false;
        }
        (None, port)
    } else {
        let (host, port) = name.split_at(name.find(':').unwrap_or(name.len()));
        (Some(host), port)
    };
    let host_is_valid = host.is_none_or(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    });
    let port_is_valid = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        });
    host_is_valid && port_is_valid
}

impl FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::parse(id)
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidUserId;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        check_user_id(&id)?;
        Ok(Self(Arc::from(id)))
    }
}

/// For the `user_id` of a [`UserPresenceState`](crate::UserPresenceState).
impl From<UserId> for RString {
    fn from(id: UserId) -> Self {
        Self::from(&*id.0)
    }
}

/// For the `user_id` of a [`UserPresenceState`](crate::UserPresenceState).
impl From<&UserId> for RString {
    fn from(id: &UserId) -> Self {
        Self::from(&*id.0)
    }
}

impl AsRef<str> for UserId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_malformed_id_is_refused_for_its_own_reason() {
        let cases = [
            ("alice:example.org", "does not start with '@'"),
            ("", "does not start with '@'"),
            ("@alice", "no ':' and server name"),
            ("@alice:", "not a server name"),
            ("@alice:exa mple.org", "not a server name"),
            ("@alice:example.org:port", "not a server name"),
            ("@alice:[::1", "not a server name"),
            ("@al\0ice:example.org", "NUL"),
        ];
        for (id, reason) in cases {
            let error = UserId::parse(id).expect_err(id).to_string();
            assert!(error.contains(reason), "{id:?}: {error}");
        }
        let long = format!("@{}:example.org", "a".repeat(MAX_USER_ID_BYTES));
        assert_eq!(UserId::parse(&long), Err(InvalidUserId::TooLong(long.len())));
    }

    #[test]
    fn historical_localparts_and_all_forms_of_server_names_are_accepted() {
        for id in [
            "@A b/ü:example.org",
            "@:example.org",
            "@a:1.2.3.4:8448",
            "@a:[::1]:80",
            "@a:localhost",
        ] {
            assert!(UserId::parse(id).is_ok(), "{id}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_string(id in "\\PC{0,40}") {
            if let Ok(parsed) = UserId::parse(&id) {
                prop_assert_eq!(parsed.as_str(), &id);
                prop_assert_eq!(format!("@{}:{}", parsed.localpart(), parsed.server_name()), id);
            }
        }
    }
}

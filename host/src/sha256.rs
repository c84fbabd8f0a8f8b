//! A SHA-256 hash, as it pins a module's file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest;
use thiserror::Error;

/// A SHA-256 hash. As text: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256([u8; 32]);

impl From<[u8; 32]> for Sha256 {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl Sha256 {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The first 12 digits.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl FromStr for Sha256 {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digits = text.chars().map(|digit| digit.to_digit(16));
        let mut hash = [0; 32];
        for byte in &mut hash {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(InvalidSha256);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| InvalidSha256)?;
        }
        if digits.next().is_some() {
            Err(InvalidSha256)
        } else {
            Ok(Self(hash))
        }
    }
}

/// The text is not a SHA-256 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a sha256 has 64 hexadecimal digits: `sha256sum FILE` prints it")]
pub struct InvalidSha256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_digits_and_nothing_else() {
        let digits = "00ff".repeat(16);
        assert_eq!(
            digits.parse::<Sha256>().map(|hash| hash.to_string()),
            Ok(digits.clone())
        );
        let wrong = [
            &digits[1..],
            &format!("{digits}0"),
            &digits.replace('f', "g"),
            &"é".repeat(32),
            "",
            "é",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Sha256>(), Err(InvalidSha256), "{text}");
        }
        assert_eq!(Sha256::of(b"").short(), "e3b0c44298fc");
    }
}

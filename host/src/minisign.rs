//! Public keys and signatures of [minisign](https://jedisct1.github.io/minisign/), as they vouch for a module's file.
//! Owns how they are written and which key made a signature; the mathematics is `minisign-verify`'s. Reads no file.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// What the bytes of a key and of a signature begin with: two for the algorithm, then the id.
const ID: std::ops::Range<usize> = 2..10;

/// Whose signatures count. As text: the second line of the `.pub` file that `minisign -G` writes.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    key: minisign_verify::PublicKey,
}

/// The number of a key, which minisign writes into the comment of a `.pub` file: `E7620F1842B4E81F`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId(u64);

/// What `minisign -S` writes: a signature, plain or of the prehashed file, and a comment that is signed too.
pub struct Signature {
    by: KeyId,
    signature: minisign_verify::Signature,
}

impl PublicKey {
    /// Reads the text of a `.pub` file: a line of comment, and the key.
    pub fn of_file(text: &str) -> Result<Self, InvalidKey> {
        text.lines().nth(1).ok_or(InvalidKey)?.trim().parse()
    }

    /// The number of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether this key made `signature`, of these bytes and with its trusted comment.
    pub fn has_signed(&self, bytes: &[u8], signature: &Signature) -> bool {
        const PLAIN_TOO: bool = true;
        self.key.verify(bytes, &signature.signature, PLAIN_TOO).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = KeyId::of_base64(text).ok_or(InvalidKey)?;
        let key = minisign_verify::PublicKey::from_base64(text).map_err(|_| InvalidKey)?;
        Ok(Self { id, key })
    }
}

impl Signature {
    /// The number of the key that made it, as the signature says: only [`PublicKey::has_signed`] proves it.
    pub fn by(&self) -> KeyId {
        self.by
    }
}

impl FromStr for Signature {
    type Err = InvalidSignature;

    /// Reads the text of a `.minisig` file: four lines.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first = text.lines().nth(1).ok_or(InvalidSignature)?;
        let by = KeyId::of_base64(first).ok_or(InvalidSignature)?;
        let signature = minisign_verify::Signature::decode(text).map_err(|_| InvalidSignature)?;
        Ok(Self { by, signature })
    }
}

impl KeyId {
    fn of_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        let id = bytes.get(ID)?.try_into().ok()?;
        Some(Self(u64::from_le_bytes(id)))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.id).finish()
    }
}

/// The text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a public key of minisign: 56 characters that start with RW, the second line of its .pub file")]
pub struct InvalidKey;

/// The text is not a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "not a signature of minisign: a comment, the signature, a trusted comment, and the signature of both"
)]
pub struct InvalidSignature;

#[cfg(test)]
pub(crate) mod samples {
    //! Made by the reference tool's sister `rsign`, of the seven bytes `content`.

    pub(crate) const KEY: &str = "RWSHAen/D26lij19x+LtzefmonfdX1WuAcvhwrGBlSxC3b6y1BW6XkfJ";
    pub(crate) const KEY_FILE: &str = "untrusted comment: minisign public key: 8AA56E0FFFE90187\n\
         RWSHAen/D26lij19x+LtzefmonfdX1WuAcvhwrGBlSxC3b6y1BW6XkfJ\n";
    /// By [`KEY`], prehashed.
    pub(crate) const SIGNATURE: &str = "untrusted comment: signature from rsign secret key\n\
         RUSHAen/D26liqtbj1uXBXLw9OhIUIm2jnutwzTerqJQmo8XsapU9dUI5vm6H9rahKgMVSG0PTfOjWCDPKEie66O+KcZRbB9IAg=\n\
         trusted comment: a trusted comment\n\
         P3kEfMvuJnLz0ARka7pa+JjmRgbPMGDz7rs/+K0HKpZsWFWnV6SUQ4OrvRsuXBK6Nsu5LlKy+KjVyyqlyJwqAw==\n";
    pub(crate) const OTHER_KEY: &str = "RWRkOO3c+kU+ai+h/C+9v5OVwPEfZOLFfeK7M8j1u6NGogFG8sqM3eF+";
    /// By [`OTHER_KEY`], prehashed.
    pub(crate) const OTHER_SIGNATURE: &str = "untrusted comment: signature from rsign secret key\n\
         RURkOO3c+kU+ahPpbumnzaGWPqMbP977YX0QUFfMBknbUECbWFtpw2R31mgOZqyGZNdarYLtVhFZy1P0zEfPvKjl8K+Fbma9WAc=\n\
         trusted comment: a trusted comment\n\
         2Lm6UW6RAFqfIxSEZNdbsVYiY5Jv2okd+rv3dZO18nCuNQtRIjvo/9M8dMdIH+a0e84pZqCRabl6Tb144jseAA==\n";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::samples::{KEY, KEY_FILE, OTHER_KEY, SIGNATURE};
    use super::*;

    /// A signature of the file itself, as old versions of minisign make them.
    const PLAIN_KEY: &str = "RWQBAgMEBQYHCOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
    const PLAIN: &str = "untrusted comment: plain\r\n\
         RWQBAgMEBQYHCBDrDtDf7Mtkjz2fuIjGEs3QQBYOPuo9ccZvQkmxoMpKRTWej7WvTHiDMIQ5x0+BGt2rtx8Lgt5z/OuTcWXqMgY=\r\n\
         trusted comment: made for a test\r\n\
         qDd9e4WnLWAMdnYckGLlcPAp17gfNdrA9g9tBrlFaC3tLIipZBAHmW/NOKa74G8UiQciByqyEh8LLAgeeFOIDQ==\r\n";

    fn key(text: &str) -> PublicKey {
        text.parse().unwrap()
    }

    #[test]
    fn a_signature_is_of_its_bytes_key_and_comment_alone() {
        let signature: Signature = SIGNATURE.parse().unwrap();
        assert!(key(KEY).has_signed(b"content", &signature));
        assert!(!key(KEY).has_signed(b"Content", &signature));
        assert!(!key(OTHER_KEY).has_signed(b"content", &signature));
        let retold: Signature = SIGNATURE.replace("a trusted comment", "another").parse().unwrap();
        assert!(!key(KEY).has_signed(b"content", &retold));
    }

    #[test]
    fn plain_and_prehashed_signatures_count() {
        let plain: Signature = PLAIN.parse().unwrap();
        assert!(key(PLAIN_KEY).has_signed(b"content", &plain));
        assert!(!key(PLAIN_KEY).has_signed(b"Content", &plain));
    }

    #[test]
    fn a_key_has_the_number_that_its_file_shows() {
        assert_eq!(key(KEY).id().to_string(), "8AA56E0FFFE90187");
        assert_eq!(PublicKey::of_file(KEY_FILE), Ok(key(KEY)));
        let signature: Signature = SIGNATURE.parse().unwrap();
        assert_eq!(signature.by(), key(KEY).id());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let shorter = KEY.get(..52).unwrap();
        for text in [
            "",
            "RW",
            shorter,
            &format!("{KEY}AAAA"),
            &KEY.replace("RW", "AA"),
            KEY_FILE,
            SIGNATURE,
        ] {
            assert_eq!(text.parse::<PublicKey>(), Err(InvalidKey), "{text}");
        }
        assert_eq!(PublicKey::of_file(KEY), Err(InvalidKey));
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "(?s).{0,80}", cut in 0..SIGNATURE.len(), put in "\\PC|\n") {
            let _ = (text.parse::<PublicKey>(), text.parse::<Signature>());
            let mut changed = SIGNATURE.to_owned();
            changed.replace_range(cut..=cut, &put);
            if let Ok(signature) = changed.parse::<Signature>() {
                let _ = key(KEY).has_signed(b"content", &signature);
            }
        }
    }
}

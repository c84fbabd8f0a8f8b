//! The file with our signing keys, in Synapse's format: `ed25519 VERSION SEED` a line, the seed of 32 bytes in base64.
//!
//! Reads such a file and makes a new one; never prints what is in it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD_NO_PAD};
use ruma_signatures::{Ed25519KeyPair, KeyPair};

/// The most bytes that are read of a file: room for a thousand keys.
const MAX_BYTES: u64 = 128 * 1024;
/// What stands before the seed in the only form of a private key that ruma takes
/// ([RFC 8410, section 7](https://www.rfc-editor.org/rfc/rfc8410#section-7)).
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// As Python's library reads base64: with padding or without, and with bits at the end that mean nothing, which the seed of
/// the specification's test vectors has.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// The bytes of a seed.
const SEED_BYTES: usize = 32;

/// Keys to sign by: at least one, no two of the same version.
pub struct SigningKeys {
    /// The first signs requests; each signs the list of our keys.
    keys: Vec<Ed25519KeyPair>,
}

/// A file with signing keys could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("{} does not exist; make it: presence-router generate-keys -o {}", .0.display(), .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("{} cannot be read; let the server's user read it", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It has more than 128 KiB.
    #[error("{} is too large for a file of signing keys", .0.display())]
    TooLarge(PathBuf),
    /// A line is no key.
    #[error("{}:{line}: not a signing key: {fault}; write \"ed25519 a_ABCD SEED\", as Synapse does", .file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// There is no key in it.
    #[error("{} holds no key; make one in another place: presence-router generate-keys", .0.display())]
    Empty(PathBuf),
    /// It is there already, and may hold a key that others know.
    #[error("{} exists already; a server that loses its key cannot prove who it is, so name another file", .0.display())]
    Exists(PathBuf),
    /// It cannot be made.
    #[error("{} cannot be written", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
    /// The system gives no randomness.
    #[error("the system gives no random bytes to make a key of")]
    NoRandomness,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It does not have three words.
    #[error("it does not have three words")]
    Words,
    /// It is of another algorithm.
    #[error("its algorithm is not ed25519")]
    Algorithm,
    /// Its version cannot stand in the id of a key.
    #[error("its version has other characters than letters, digits and _")]
    Version,
    /// Its seed is not 32 bytes in base64.
    #[error("its seed is not 32 bytes in base64")]
    Seed,
    /// A line before has the same version.
    #[error("a line before it has the same version")]
    Twice,
}

impl SigningKeys {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self, KeyFileError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => KeyFileError::Missing(file.to_owned()),
            _ => KeyFileError::Unreadable(file.to_owned(), error),
        };
        // A directory or a device is not read to its end, which may never come.
        if fs::metadata(file).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(KeyFileError::TooLarge(file.to_owned()));
        }
        let text = fs::read_to_string(file).map_err(unreadable)?;
        Self::parse(&text, file)
    }

    /// Reads the text of a file; `file` is named in errors.
    pub fn parse(text: &str, file: &Path) -> Result<Self, KeyFileError> {
        let mut keys: Vec<Ed25519KeyPair> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let key = parse_line(line).and_then(|key| {
                let is_new = keys.iter().all(|known| known.version() != key.version());
                is_new.then_some(key).ok_or(KeyFault::Twice)
            });
            keys.push(key.map_err(|fault| KeyFileError::Line {
                file: file.to_owned(),
                line: index + 1,
                fault,
            })?);
        }
        if keys.is_empty() {
            return Err(KeyFileError::Empty(file.to_owned()));
        }
        Ok(Self { keys })
    }

    /// The key that requests are signed by.
    pub(super) fn first(&self) -> &Ed25519KeyPair {
        self.keys
            .first()
            .expect("there is a key: both ways to make this see to it")
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Ed25519KeyPair] {
        &self.keys
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let versions: Vec<_> = self.keys.iter().map(Ed25519KeyPair::version).collect();
        f.debug_struct("SigningKeys")
            .field("versions", &versions)
            .finish_non_exhaustive()
    }
}

fn parse_line(line: &str) -> Result<Ed25519KeyPair, KeyFault> {
    let mut words = line.split_whitespace();
    let (Some(algorithm), Some(version), Some(seed), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(KeyFault::Words);
    };
    if algorithm != "ed25519" {
        return Err(KeyFault::Algorithm);
    }
    if !version
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err(KeyFault::Version);
    }
    let seed = LENIENT.decode(seed).map_err(|_| KeyFault::Seed)?;
    if seed.len() != SEED_BYTES {
        return Err(KeyFault::Seed);
    }
    let document = [&PKCS8_HEAD[..], &seed].concat();
    Ed25519KeyPair::from_der(&document, version.to_owned()).map_err(|_| KeyFault::Seed)
}

/// A key that has just been made, and is nowhere but here.
pub struct NewKey {
    line: String,
    keys: SigningKeys,
}

impl NewKey {
    /// Makes a key of a version as Synapse's: `a_` and four letters.
    pub fn generate() -> Result<Self, KeyFileError> {
        const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let random = rustls::crypto::ring::default_provider().secure_random;
        let (mut seed, mut name) = ([0; SEED_BYTES], [0; 4]);
        for bytes in [&mut seed[..], &mut name[..]] {
            random.fill(bytes).map_err(|_| KeyFileError::NoRandomness)?;
        }
        // Some letters are a little likelier than others: it is a name, not a secret.
        let name = name.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
        let version: String = name.iter().collect();
        let line = format!("ed25519 a_{version} {}\n", STANDARD_NO_PAD.encode(seed));
        let keys = SigningKeys::parse(&line, Path::new("the new key"))?;
        Ok(Self { line, keys })
    }

    /// The line of a file. Secret.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The id of the key, such as `ed25519:a_ABCD`.
    pub fn id(&self) -> String {
        id_of(self.keys.first())
    }

    /// The public key, in base64.
    pub fn public(&self) -> String {
        STANDARD_NO_PAD.encode(self.keys.first().public_key())
    }

    /// Writes a new file, for its owner alone. One that exists is never overwritten.
    pub fn write(&self, file: &Path) -> Result<(), KeyFileError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let opened = options.open(file).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists(file.to_owned()),
            _ => KeyFileError::Unwritable(file.to_owned(), error),
        });
        let mut opened = opened?;
        let written = opened.write_all(self.line.as_bytes());
        written.and_then(|()| opened.sync_all()).map_err(|error| {
            // Half a key would be in the way of the next try.
            let _ = fs::remove_file(file);
            KeyFileError::Unwritable(file.to_owned(), error)
        })
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// The id of a key, as it stands in signatures.
pub(super) fn id_of(key: &Ed25519KeyPair) -> String {
    key.sign(b"").id()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

    fn check(text: &str) -> String {
        match SigningKeys::parse(text, Path::new("a.key")) {
            Ok(keys) => format!("{keys:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_file_holds_a_key_a_line_and_the_first_signs() {
        let text = format!("ed25519 a_1 {SEED}\n\n  ed25519\tb_2  {SEED}=\n");
        let keys = SigningKeys::parse(&text, Path::new("a.key")).unwrap();
        assert_eq!(id_of(keys.first()), "ed25519:a_1");
        assert_eq!(check(&text), r#"SigningKeys { versions: ["a_1", "b_2"], .. }"#);
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        let lines = [
            check(""),
            check("\n"),
            check(SEED),
            check(&format!("ed25519 a {SEED} x")),
            check(&format!("rsa a {SEED}")),
            check(&format!("ed25519 a-b {SEED}")),
            check("ed25519 a AAAA"),
            check("ed25519 a ****"),
            check(&format!("ed25519 a {SEED}\ned25519 a {SEED}")),
        ];
        assert_snapshot!(lines.join("\n"), @r#"
        a.key holds no key; make one in another place: presence-router generate-keys
        a.key holds no key; make one in another place: presence-router generate-keys
        a.key:1: not a signing key: it does not have three words; write "ed25519 a_ABCD SEED", as Synapse does
        a.key:1: not a signing key: it does not have three words; write "ed25519 a_ABCD SEED", as Synapse does
        a.key:1: not a signing key: its algorithm is not ed25519; write "ed25519 a_ABCD SEED", as Synapse does
        a.key:1: not a signing key: its version has other characters than letters, digits and _; write "ed25519 a_ABCD SEED", as Synapse does
        a.key:1: not a signing key: its seed is not 32 bytes in base64; write "ed25519 a_ABCD SEED", as Synapse does
        a.key:1: not a signing key: its seed is not 32 bytes in base64; write "ed25519 a_ABCD SEED", as Synapse does
        a.key:2: not a signing key: a line before it has the same version; write "ed25519 a_ABCD SEED", as Synapse does
        "#);
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_is_read_back_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.key");
        let made = NewKey::generate().unwrap();
        made.write(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let read = SigningKeys::read(&file).unwrap();
        assert_eq!(STANDARD_NO_PAD.encode(read.first().public_key()), made.public());
        assert_eq!(id_of(read.first()), made.id());
        assert!(made.id().starts_with("ed25519:a_"));

        let before = fs::read(&file).unwrap();
        let other = NewKey::generate().unwrap();
        assert_ne!(other.public(), made.public());
        assert!(matches!(other.write(&file), Err(KeyFileError::Exists(_))));
        assert_eq!(fs::read(&file).unwrap(), before);
        let nowhere = directory.path().join("no/a.key");
        assert!(matches!(made.write(&nowhere), Err(KeyFileError::Unwritable(..))));
    }

    #[test]
    fn a_missing_file_names_the_command_that_makes_it() {
        let error = SigningKeys::read(Path::new("no/such.key")).unwrap_err();
        assert_snapshot!(error, @"no/such.key does not exist; make it: presence-router generate-keys -o no/such.key");
        assert!(matches!(
            SigningKeys::read(Path::new("/")),
            Err(KeyFileError::Unreadable(..))
        ));
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_file_it_is_read_or_told(text in "((ed25519|rsa|[ -~]{0,8})[ \\t]{0,2}[a-z_0-9]{0,4} [A-Za-z0-9+/=]{0,50}\n?){0,3}") {
            match SigningKeys::parse(&text, Path::new("a.key")) {
                Ok(keys) => prop_assert!(id_of(keys.first()).starts_with("ed25519:")),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}

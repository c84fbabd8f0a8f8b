//! Between steps 2 and 3: is the private copy what a trusted key has signed?
//! Looks at the very bytes that are loaded, before anything else reads them. The signature stands beside the original,
//! under the same name with `.minisig` behind it; who could have put it there does not matter.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::minisign::{InvalidSignature, KeyId, PublicKey, Signature};
use crate::modules::locate::{LocateError, open_regular};
use crate::modules::refusal::{Advice, Who};
use crate::modules::stage::Staged;

/// The most that is read of a signature. They have some 300 bytes; a trusted comment may be longer.
const MAX_BYTES: u64 = 16 * 1024;

/// Whose signature a module's file must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signers {
    /// Anyone's or none: nobody looks. Without `trusted_keys`, or with `allow_unsigned: true`.
    Anyone,
    /// One of these. With none of them, every module is refused.
    OneOf(Vec<PublicKey>),
}

/// Checks the signature of the private copy. Without signers there is nothing to check.
pub(super) fn require(staged: &Staged, signers: &Signers) -> Result<(), SignatureError> {
    let Signers::OneOf(trusted) = signers else {
        return Ok(());
    };
    let module = staged.source().to_owned();
    let path = beside(&module);
    let text = read(&path, &module)?;
    let signature: Signature = text.parse().map_err(|source| SignatureError::Malformed {
        path: path.clone(),
        module: module.clone(),
        source,
    })?;
    let by = signature.by();
    let mut keys = trusted.iter().filter(|key| key.id() == by).peekable();
    if keys.peek().is_none() {
        return Err(SignatureError::UnknownKey {
            by,
            trusted: trusted.iter().map(PublicKey::id).collect(),
            module,
        });
    }
    let bytes = fs::read(staged.path()).map_err(|source| SignatureError::Unreadable {
        path: staged.path().to_owned(),
        source,
    })?;
    if keys.any(|key| key.has_signed(&bytes, &signature)) {
        Ok(())
    } else {
        Err(SignatureError::OfAnother { by, path, module })
    }
}

/// Why a module does not count as signed.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("`{}` is not signed: there is no `{}`, and the config has `trusted_keys`", module.display(), path.display())]
    Missing {
        /// The module.
        module: PathBuf,
        /// Where its signature is looked for.
        path: PathBuf,
    },
    /// The signature, or the private copy, cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The signature is a directory, a pipe or the like.
    #[error("`{}` is not a regular file, so no signature", path.display())]
    NotAFile {
        /// What stands in the place of the signature.
        path: PathBuf,
        /// The module.
        module: PathBuf,
    },
    /// The file beside the module is no signature.
    #[error("`{}` cannot be read as a signature", path.display())]
    Malformed {
        /// The signature.
        path: PathBuf,
        /// The module.
        module: PathBuf,
        /// What it should look like.
        #[source]
        source: InvalidSignature,
    },
    /// It was made by a key that is not trusted.
    #[error("`{}` is signed by key {by}, trusted are {}", module.display(), list(trusted))]
    UnknownKey {
        /// The module.
        module: PathBuf,
        /// The key that its signature names.
        by: KeyId,
        /// The keys of the config.
        trusted: Vec<KeyId>,
    },
    /// It names a trusted key, which did not sign this.
    #[error(
        "`{}` is not what key {by} has signed: the module or `{}` was changed since, or is of another build",
        module.display(),
        path.display()
    )]
    OfAnother {
        /// The module.
        module: PathBuf,
        /// The signature.
        path: PathBuf,
        /// The key that it names.
        by: KeyId,
    },
}

impl Advice for SignatureError {
    fn who(&self) -> Who {
        Who::Operator
    }

    fn fix(&self) -> String {
        match self {
            Self::Missing { module, .. } => format!(
                "put the signature there, or make one: {} (or, knowing the risk: `allow_unsigned: true`)",
                sign(module)
            ),
            Self::Unreadable { path, .. } => format!("chmod a+r {}, or look after its disk", path.display()),
            Self::NotAFile { module, .. } | Self::Malformed { module, .. } => {
                format!("put the signature there, or make one: {}", sign(module))
            }
            Self::UnknownKey { .. } => {
                "have it signed by one of these, or, if you trust who signed it, add their public key to `trusted_keys`"
                    .into()
            }
            Self::OfAnother { module, .. } => format!(
                "copy both again from who signed them, or, if this module is meant: {}",
                sign(module)
            ),
        }
    }
}

/// The command that makes the signature where it is looked for.
fn sign(module: &Path) -> String {
    format!("minisign -S -m {}", module.display())
}

fn list(keys: &[KeyId]) -> String {
    let keys: Vec<_> = keys.iter().map(KeyId::to_string).collect();
    keys.join(", ")
}

/// Where the signature of `module` stands.
fn beside(module: &Path) -> PathBuf {
    let mut name = OsString::from(module);
    name.push(".minisig");
    name.into()
}

fn read(path: &Path, module: &Path) -> Result<String, SignatureError> {
    let file = open_regular(path).map_err(|error| match error {
        LocateError::NotFound { .. } => SignatureError::Missing {
            module: module.to_owned(),
            path: path.to_owned(),
        },
        LocateError::Unreadable { path, source } => SignatureError::Unreadable { path, source },
        _ => SignatureError::NotAFile {
            module: module.to_owned(),
            path: path.to_owned(),
        },
    })?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|source| SignatureError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    // What is not UTF-8 is no signature: its lines are not found.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::minisign::samples::{KEY, OTHER_KEY, OTHER_SIGNATURE, SIGNATURE};
    use crate::modules::fixture::Bench;
    use crate::modules::refusal::Refusal;

    fn of(keys: &[&str]) -> Signers {
        Signers::OneOf(keys.iter().map(|key| key.parse().unwrap()).collect())
    }

    /// The refusal of a module of these bytes beside this signature, or "taken".
    fn check(bytes: &[u8], signature: Option<&str>, signers: &Signers) -> String {
        let bench = Bench::new();
        let staged = bench.stage_bytes(bytes);
        if let Some(signature) = signature {
            fs::write(beside(staged.source()), signature).unwrap();
        }
        told(&bench, require(&staged, signers))
    }

    fn told(bench: &Bench, outcome: Result<(), SignatureError>) -> String {
        match outcome {
            Ok(()) => "taken".into(),
            Err(error) => Refusal::from(error)
                .to_string()
                .replace(&bench.dir.path().display().to_string(), "DIR"),
        }
    }

    #[test]
    fn what_a_trusted_key_has_signed_is_taken() {
        assert_eq!(check(b"content", Some(SIGNATURE), &of(&[KEY])), "taken");
        assert_eq!(
            check(b"content", Some(SIGNATURE), &of(&[OTHER_KEY, KEY])),
            "taken"
        );
        assert_eq!(
            check(b"content", Some(OTHER_SIGNATURE), &of(&[KEY, OTHER_KEY])),
            "taken"
        );
    }

    #[test]
    fn nobody_looks_where_no_key_is_named() {
        assert_eq!(check(b"content", None, &Signers::Anyone), "taken");
        assert_eq!(check(b"content", Some("nonsense"), &Signers::Anyone), "taken");
    }

    #[test]
    fn every_other_is_refused_with_what_to_do() {
        let trusted = of(&[KEY]);
        assert_snapshot!(check(b"content", None, &trusted), @"
        `DIR/libtiny.so` is not signed: there is no `DIR/libtiny.so.minisig`, and the config has `trusted_keys`
          change: the operator of this server
          fix:    put the signature there, or make one: minisign -S -m DIR/libtiny.so (or, knowing the risk: `allow_unsigned: true`)
        ");
        assert_snapshot!(check(b"content", Some(OTHER_SIGNATURE), &trusted), @"
        `DIR/libtiny.so` is signed by key 6A3E45FADCED3864, trusted are 8AA56E0FFFE90187
          change: the operator of this server
          fix:    have it signed by one of these, or, if you trust who signed it, add their public key to `trusted_keys`
        ");
        assert_ne!(check(b"content", Some(SIGNATURE), &of(&[])), "taken");
        assert_snapshot!(check(b"changed", Some(SIGNATURE), &trusted), @"
        `DIR/libtiny.so` is not what key 8AA56E0FFFE90187 has signed: the module or `DIR/libtiny.so.minisig` was changed since, or is of another build
          change: the operator of this server
          fix:    copy both again from who signed them, or, if this module is meant: minisign -S -m DIR/libtiny.so
        ");
        assert_snapshot!(check(b"content", Some("nonsense\n"), &trusted), @"
        `DIR/libtiny.so.minisig` cannot be read as a signature
          cause:  not a signature of minisign: a comment, the signature, a trusted comment, and the signature of both
          change: the operator of this server
          fix:    put the signature there, or make one: minisign -S -m DIR/libtiny.so
        ");
        let claims_to_be_trusted = OTHER_SIGNATURE.replace("RURkOO3c+kU+a", "RUSHAen/D26li");
        assert_snapshot!(check(b"content", Some(&claims_to_be_trusted), &trusted), @"
        `DIR/libtiny.so` is not what key 8AA56E0FFFE90187 has signed: the module or `DIR/libtiny.so.minisig` was changed since, or is of another build
          change: the operator of this server
          fix:    copy both again from who signed them, or, if this module is meant: minisign -S -m DIR/libtiny.so
        ");
    }

    #[test]
    fn what_is_signed_is_the_copy() {
        let bench = Bench::new();
        let staged = bench.stage_bytes(b"content");
        fs::write(beside(staged.source()), SIGNATURE).unwrap();
        fs::write(staged.source(), b"replaced later").unwrap();
        assert_eq!(told(&bench, require(&staged, &of(&[KEY]))), "taken");
        let replaced = bench.stage(&bench.dir.path().join("libtiny.so"));
        assert!(require(&replaced, &of(&[KEY])).is_err());
    }

    #[test]
    fn a_signature_is_a_file_of_a_reasonable_size() {
        let bench = Bench::new();
        let staged = bench.stage_bytes(b"content");
        fs::create_dir(beside(staged.source())).unwrap();
        assert_snapshot!(told(&bench, require(&staged, &of(&[KEY]))), @"
        `DIR/libtiny.so.minisig` is not a regular file, so no signature
          change: the operator of this server
          fix:    put the signature there, or make one: minisign -S -m DIR/libtiny.so
        ");
        let endless = format!("{}{SIGNATURE}", "x".repeat(1 << 20));
        assert_ne!(check(b"content", Some(&endless), &of(&[KEY])), "taken");
    }
}

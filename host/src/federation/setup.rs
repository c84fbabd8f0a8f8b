//! What a client is made of, and what the config makes of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use crate::config::{Config, Outgoing};
use crate::federation::identity::Identity;
use crate::federation::names::Names;

/// What a client is made of.
pub struct Setup {
    /// Who we are.
    pub identity: Arc<Identity>,
    /// Who knows names.
    pub names: Arc<dyn Names>,
    /// Which addresses may be called.
    pub access: Arc<Outgoing>,
    /// The authorities that are believed.
    pub roots: RootCertStore,
    /// The only servers that are spoken to; `None` for all.
    pub allowed: Option<BTreeSet<String>>,
    /// Bounds.
    pub limits: Limits,
    /// Ports that nobody names.
    pub ports: Ports,
}

/// The bounds of each request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a request: from finding the server to the end of its answer.
    pub request: Duration,
    /// For a connection to come about, TLS included.
    pub connect: Duration,
    /// For asking `.well-known`.
    pub well_known: Duration,
    /// The bytes of an answer's body.
    pub answer: usize,
    /// The bytes of an answer that tells keys.
    pub keys: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_mins(1),
            connect: Duration::from_secs(10),
            well_known: Duration::from_secs(20),
            answer: 1024 * 1024,
            keys: 64 * 1024,
        }
    }
}

/// The ports of servers that name none.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Of `.well-known`.
    pub well_known: u16,
    /// Of the federation.
    pub federation: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            well_known: 443,
            federation: 8448,
        }
    }
}

/// A client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file of authorities cannot be read.
    #[error("federation_custom_ca_list: {} cannot be read as PEM", .0.display())]
    Authority(PathBuf, #[source] pem::Error),
    /// A file has no certificate.
    #[error("federation_custom_ca_list: {} holds no certificate", .0.display())]
    NoAuthority(PathBuf),
    /// A certificate is not that of an authority.
    #[error("federation_custom_ca_list: {} holds a certificate that cannot be believed", .0.display())]
    BadAuthority(PathBuf, #[source] rustls::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl Setup {
    /// As the config wants it. Reads the files of authorities.
    pub fn new(config: &Config, identity: Arc<Identity>, names: Arc<dyn Names>) -> Result<Self, SetupError> {
        Ok(Self {
            identity,
            names,
            access: Arc::new(config.outgoing.clone()),
            roots: roots(config.federation.custom_ca_list.as_deref())?,
            allowed: config.federation.domain_whitelist.clone(),
            limits: Limits::default(),
            ports: Ports::default(),
        })
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}

/// Those of these files, or Mozilla's.
pub(super) fn roots(files: Option<&[PathBuf]>) -> Result<RootCertStore, SetupError> {
    let Some(files) = files else {
        return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
    };
    let mut roots = RootCertStore::empty();
    for file in files {
        let before = roots.len();
        let unreadable = |error| SetupError::Authority(file.clone(), error);
        for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
            roots
                .add(certificate.map_err(unreadable)?)
                .map_err(|error| SetupError::BadAuthority(file.clone(), error))?;
        }
        if roots.len() == before {
            return Err(SetupError::NoAuthority(file.clone()));
        }
    }
    Ok(roots)
}

//! The authority that vouches for the homeservers of a test, made by the test.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// An authority, whose certificate is in a file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

/// A certificate of a server and its key, both as DER.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// The key, as PKCS 8.
    pub key: Vec<u8>,
}

impl Authority {
    /// A new one, which writes its certificate into this directory.
    pub fn new(directory: &Path) -> Self {
        let mut params = named("Authority of a test", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority signs itself");
        let file = directory.join("authority.pem");
        write_pem(&file, "CERTIFICATE", issuer.as_ref().der());
        Self { issuer, file }
    }

    /// The file with its certificate, as PEM.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Vouches for `localhost`.
    pub fn certify_localhost(&self) -> Certificate {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = named("A server of a test", &["localhost"]).signed_by(&key, &self.issuer);
        Certificate {
            certificate: certificate.expect("the authority signs").der().to_vec(),
            key: key.serialize_der(),
        }
    }
}

impl Certificate {
    /// Writes both into a directory, as PEM: the paths of the certificate and of its key.
    pub fn write_into(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (directory.join("server.crt"), directory.join("server.key"));
        write_pem(&certificate, "CERTIFICATE", &self.certificate);
        write_pem(&key, "PRIVATE KEY", &self.key);
        (certificate, key)
    }
}

/// The authority and its servers need different names: OpenSSL takes a certificate whose issuer has its own name for one
/// that has signed itself.
fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("the names are names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn write_pem(file: &Path, label: &str, der: &[u8]) {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let lines = lines.join("\n");
    let text = format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n");
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

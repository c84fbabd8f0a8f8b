//! The authority that vouches for the homeservers of a test, made by the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

/// Vouches for the servers of a test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate of a server and its key, both as DER.
#[derive(Debug, Clone)]
pub struct Certificate {
    certificate: Vec<u8>,
    /// As PKCS 8.
    key: Vec<u8>,
}

impl Authority {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let mut params = named("Authority of a test", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority signs itself"))
    }

    /// Its certificate, as `federation_custom_ca_list` takes it.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.as_ref().der())
    }

    /// Writes its certificate into a directory. Returns the file.
    pub fn write_into(&self, directory: &Path) -> PathBuf {
        let file = directory.join("ca.pem");
        write(&file, &self.pem());
        file
    }

    /// Vouches for a server at this name or address.
    pub fn certify(&self, host: &str) -> Certificate {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = named("A server of a test", &[host]).signed_by(&key, &self.0);
        Certificate {
            certificate: certificate.expect("the authority signs").der().to_vec(),
            key: key.serialize_der(),
        }
    }
}

impl Certificate {
    /// What a server speaks TLS with.
    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        let key = PrivatePkcs8KeyDer::from(self.key.clone());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone().into()], key.into())
            .expect("the key is the certificate's");
        Arc::new(config)
    }

    /// Writes both into a directory, as PEM: the paths of the certificate and of its key.
    pub fn write_into(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (directory.join("server.crt"), directory.join("server.key"));
        write(&certificate, &pem("CERTIFICATE", &self.certificate));
        write(&key, &pem("PRIVATE KEY", &self.key));
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

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

//! TLS: a server that proves who it is, and others.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server of this name that answers one request, and the roots of who trusts it.
async fn secure_server(name: &str) -> (SocketAddr, RootCertStore) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).expect("is signed");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("is a certificate");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("there are versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .expect("the key is the certificate's");
    let listener = TcpListener::bind((ALLOWED, 0)).await.expect("binds");
    let address = listener.local_addr().expect("is bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        let _ = stream.read(&mut [0; 1024]).await?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")
            .await?;
        stream.shutdown().await
    });
    (address, roots)
}

fn known() -> Lookup {
    names(&[("secure.test", &["127.0.0.1"])])
}

#[tokio::test]
async fn a_server_that_proves_who_it_is_is_believed() {
    let (server, roots) = secure_server("secure.test").await;
    let client = HttpClient::with(access(), roots, known());
    let answer = client.call(request(&format!("https://secure.test:{}/", server.port())));
    assert_eq!(text(&answer.await.expect("answers")), "secret");
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused() {
    let (server, _) = secure_server("secure.test").await;
    let url = format!("https://secure.test:{}/", server.port());
    // Mozilla's authorities do not know it.
    let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let outcome = HttpClient::with(access(), roots, known())
        .call(request(&url))
        .await;
    fails(outcome, FailureKind::TLS, "invalid peer certificate");
}

#[tokio::test]
async fn a_server_with_the_certificate_of_another_is_refused() {
    let (server, roots) = secure_server("other.test").await;
    let client = HttpClient::with(access(), roots, known());
    let outcome = client.call(request(&format!("https://secure.test:{}/", server.port())));
    fails(outcome.await, FailureKind::TLS, "certificate not valid for name");
}

#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let server = serve(Router::new().route("/", get(|| async { "plain" }))).await;
    let outcome = client().call(request(&format!("https://{server}/"))).await;
    fails(outcome, FailureKind::TLS, "received corrupt message");
}

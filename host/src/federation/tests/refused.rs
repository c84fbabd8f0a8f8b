//! Servers that are not called, not believed, or not listened to.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;

use super::*;
use crate::federation::setup::roots;

async fn ask(client: &FederationClient, server: &str) -> Result<Answer, RequestError> {
    client.send(Method::GET, name(server), "/", None).await
}

async fn get_path(client: &FederationClient, path: &str) -> Result<Answer, RequestError> {
    client.send(Method::GET, name("a.test"), path, None).await
}

fn fine() -> Router {
    Router::new().fallback(get(|| async { "fine" }))
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused_in_each_way_of_finding_a_server() {
    let authority = Authority::new();
    // Of all the names that lead there, but for the right one.
    let server = authority
        .serve(&["target.test", "delegating.test", "other.test"], fine())
        .await;
    let port = server.port();
    let said = move || async move { format!(r#"{{"m.server": "there.test:{port}"}}"#) };
    let well_known = authority
        .serve(&["delegating.test"], Router::new().fallback(get(said)))
        .await;
    let names = KnownNames::default()
        .host("a.test", &["127.0.0.1"])
        .host("there.test", &["127.0.0.1"])
        .host("target.test", &["127.0.0.1"])
        .host("delegating.test", &["127.0.0.1"])
        .service("_matrix-fed._tcp.service.test", 0, port, "target.test");
    let client = client(Setup {
        ports: ports(well_known.port(), port),
        ..setup(&names, &authority)
    });
    for server in [
        "a.test",
        &format!("a.test:{port}"),
        &format!("127.0.0.1:{port}"),
        "127.0.0.1",
        "service.test",
        "delegating.test",
    ] {
        fails(ask(&client, server).await, "certificate not valid for name");
    }
    assert_eq!(
        ask(&client, &format!("target.test:{port}"))
            .await
            .expect("is its name")
            .body,
        "fine"
    );
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused() {
    let server = Authority::new().serve(&["a.test"], fine()).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let trusting = |roots| {
        client(Setup {
            ports: ports(1, server.port()),
            roots,
            ..setup(&names, &Authority::new())
        })
    };
    let mozilla = roots(None).expect("they are built in");
    for roots in [mozilla, Authority::new().roots(), RootCertStore::empty()] {
        fails(ask(&trusting(roots), "a.test").await, "invalid peer certificate");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_or_nothing_is_no_server() {
    let plain = TcpListener::bind((ALLOWED, 0)).await.expect("binds");
    let plain_port = plain.local_addr().expect("is bound").port();
    tokio::spawn(async move { axum::serve(plain, fine()).await });
    let client = client(setup(&KnownNames::default(), &Authority::new()));
    fails(
        ask(&client, &format!("127.0.0.1:{plain_port}")).await,
        "does not prove by TLS who it is: received corrupt message",
    );
    let nobody = TcpListener::bind((ALLOWED, 0)).await.expect("binds");
    let nobody_port = nobody.local_addr().expect("is bound").port();
    drop(nobody);
    fails(
        ask(&client, &format!("127.0.0.1:{nobody_port}")).await,
        "takes no connection: ",
    );
}

#[tokio::test]
async fn an_address_that_may_not_be_called_is_not_however_it_is_named() {
    let authority = Authority::new();
    let server = authority
        .serve(&["127.0.0.1", "a.test", "inside.test"], fine())
        .await;
    let port = server.port();
    let names = KnownNames::default()
        .host("inside.test", &["127.0.0.1"])
        .host("mapped.test", &["::ffff:127.0.0.1"])
        .service("_matrix-fed._tcp.service.test", 0, port, "inside.test")
        .service("_matrix-fed._tcp.service-of-address.test", 0, port, "127.0.0.1");
    let from_outside = client(Setup {
        ports: ports(port, port),
        access: Arc::default(),
        ..setup(&names, &authority)
    });
    for server in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "inside.test",
        "mapped.test",
        "service.test",
        "service-of-address.test",
    ] {
        fails(ask(&from_outside, server).await, "which may not be called");
        if !server.ends_with("service.test") && !server.starts_with("service") {
            fails(
                ask(&from_outside, &format!("{server}:{port}")).await,
                "which may not be called",
            );
        }
    }
    // An address in another spelling is a name, and there is none such.
    for server in ["127.1", "2130706433", "0x7f.0.0.1"] {
        fails(ask(&from_outside, server).await, "has no address");
    }
    assert_eq!(server.connections(), 0);
    let from_inside = client(Setup {
        ports: ports(port, port),
        ..setup(&names, &authority)
    });
    assert_eq!(
        ask(&from_inside, "127.0.0.1").await.expect("is allowed").body,
        "fine"
    );
}

#[tokio::test]
async fn a_server_that_the_operator_does_not_name_is_not_even_looked_up() {
    let authority = Authority::new();
    let server = authority.serve(&["a.test"], fine()).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let client = client(Setup {
        ports: ports(1, server.port()),
        allowed: Some(BTreeSet::from(["a.test".to_owned()])),
        ..setup(&names, &authority)
    });
    for server in ["b.test", "sub.a.test", "a.test:8448"] {
        fails(
            ask(&client, server).await,
            "is not in federation_domain_whitelist",
        );
        let keys = client.get_server_keys(name(server)).await;
        fails(keys, "is not in federation_domain_whitelist");
    }
    assert_eq!(*names.asked.lock(), [""; 0]);
    assert_eq!(ask(&client, "a.test").await.expect("is named").body, "fine");
}

#[tokio::test]
async fn an_answer_is_neither_too_long_nor_too_late() {
    let authority = Authority::new();
    let large = || async { vec![b' '; 2000] };
    let pieces = || async {
        let pieces = futures_util::stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from("piece")));
        Body::from_stream(pieces)
    };
    let half = || async {
        let begin = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from("half"))]);
        Body::from_stream(futures_util::StreamExt::chain(
            begin,
            futures_util::stream::pending(),
        ))
    };
    let router = Router::new()
        .route("/large", get(large))
        .route("/pieces", get(pieces))
        .route("/half", get(half))
        .route("/never", get(std::future::pending::<StatusCode>))
        .route("/_matrix/key/v2/server", get(large));
    let server = authority.serve(&["a.test"], router).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let with = |limits| {
        client(Setup {
            ports: ports(1, server.port()),
            limits,
            ..setup(&names, &authority)
        })
    };
    let small = with(Limits {
        answer: 1999,
        keys: 1000,
        ..Limits::default()
    });
    fails(get_path(&small, "/large").await, "more than 1999 bytes");
    fails(get_path(&small, "/pieces").await, "more than 1999 bytes");
    fails(
        small.get_server_keys(name("a.test")).await,
        "more than 1000 bytes",
    );
    assert_eq!(
        small.kept(),
        0,
        "what was not read is not in the way of the next answer"
    );
    let enough = with(Limits {
        answer: 2000,
        ..Limits::default()
    });
    assert_eq!(get_path(&enough, "/large").await.expect("fits").body.len(), 2000);
    let hasty = with(Limits {
        request: Duration::from_millis(300),
        ..Limits::default()
    });
    for path in ["/half", "/never"] {
        fails(
            get_path(&hasty, path).await,
            "a.test: not all of the answer was there within 300 ms",
        );
    }
}

#[tokio::test]
async fn a_server_that_takes_a_connection_and_says_nothing_is_given_up() {
    let silent = TcpListener::bind((ALLOWED, 0)).await.expect("binds");
    let port = silent.local_addr().expect("is bound").port();
    let limits = Limits {
        connect: Duration::from_millis(100),
        ..Limits::default()
    };
    let client = client(Setup {
        limits,
        ..setup(&KnownNames::default(), &Authority::new())
    });
    fails(
        ask(&client, &format!("127.0.0.1:{port}")).await,
        "no connection within 100 ms",
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_others() {
    let authority = Authority::new();
    let redirect = || async { (StatusCode::FOUND, [("location", "/fine")]).into_response() };
    let router = fine()
        .route("/", get(redirect))
        .route("/_matrix/key/v2/server", get(redirect));
    let server = authority.serve(&["a.test"], router).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let client = client(Setup {
        ports: ports(1, server.port()),
        ..setup(&names, &authority)
    });
    assert_eq!(
        ask(&client, "a.test").await.expect("is answered").status,
        StatusCode::FOUND
    );
    fails(
        client.get_server_keys(name("a.test")).await,
        "a.test answers with the status 302 Found",
    );
}

#[tokio::test]
async fn keys_that_are_no_json_are_none() {
    let authority = Authority::new();
    let server = authority.serve(&["a.test"], fine()).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let client = client(Setup {
        ports: ports(1, server.port()),
        ..setup(&names, &authority)
    });
    fails(
        client.get_server_keys(name("a.test")).await,
        "something else than JSON",
    );
}

#[tokio::test]
async fn the_authorities_of_the_config_are_believed_and_no_others() {
    let authority = Authority::new();
    let server = authority.serve(&["a.test"], fine()).await;
    let mut file = tempfile::NamedTempFile::new().expect("is made");
    for authority in [&Authority::new(), &authority] {
        let text = STANDARD.encode(authority.certificate());
        writeln!(
            file,
            "-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----"
        )
        .expect("is written");
    }
    let read = roots(Some(&[file.path().to_owned()])).expect("is read");
    assert_eq!(read.len(), 2);
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let client = client(Setup {
        ports: ports(1, server.port()),
        roots: read,
        ..setup(&names, &authority)
    });
    assert_eq!(ask(&client, "a.test").await.expect("is believed").body, "fine");

    let wrong = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().expect("is made");
        file.write_all(text.as_bytes()).expect("is written");
        let error = roots(Some(&[file.path().to_owned()])).expect_err("is refused");
        chain(error).replace(&file.path().display().to_string(), "ca.pem")
    };
    insta::assert_snapshot!([
        wrong(""),
        wrong("-----BEGIN CERTIFICATE-----\n****\n-----END CERTIFICATE-----"),
        wrong("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
        chain(roots(Some(&["no/such.pem".into()])).expect_err("is not there")),
    ].join("\n"), @r"
    federation_custom_ca_list: ca.pem holds no certificate
    federation_custom_ca_list: ca.pem cannot be read as PEM: base64 decode error: InvalidCharacter(42)
    federation_custom_ca_list: ca.pem holds a certificate that cannot be believed: invalid peer certificate: BadEncoding
    federation_custom_ca_list: no/such.pem cannot be read as PEM: I/O error: No such file or directory (os error 2)
    ");
}

//! Each way in which a server is found: the Host header, the name in the certificate, and the addresses.

use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use insta::assert_snapshot;

use super::*;

/// `NAME.test` says by `.well-known` what is in the table, with a certificate of its own name.
async fn well_known(authority: &Authority, table: &'static [(&'static str, &'static str)]) -> Server {
    let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
    let answer = move |headers: HeaderMap| async move {
        let host = headers["host"].to_str().expect("is text").to_owned();
        let host = host.split(':').next().unwrap_or_default();
        let said = table.iter().find(|(name, _)| *name == host).expect("is known");
        format!(r#"{{"m.server": "{}"}}"#, said.1).into_response()
    };
    let router = Router::new().route("/.well-known/matrix/server", get(answer));
    authority.serve(&names, router).await
}

async fn found(client: &FederationClient, server: &str) -> String {
    match client.resolve(name(server)).await {
        Ok(Resolved {
            host_header,
            tls_name,
            addresses,
        }) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!(
                "{server}: {} as {} for {host_header}",
                addresses.join(" "),
                tls_name.to_str()
            )
        }
        Err(error) => format!("{server}: {}", chain(error)),
    }
}

#[tokio::test]
async fn each_server_is_found_as_the_specification_says() {
    let authority = Authority::new();
    let server = well_known(
        &authority,
        &[
            ("to-address.test", "1.1.1.9"),
            ("to-address-port.test", "[2606:4700::9]:7"),
            ("to-port.test", "there.test:7"),
            ("to-service.test", "service.test"),
            ("to-name.test", "there.test"),
            ("to-itself.test", "to-itself.test:7"),
            ("to-delegating.test", "to-port.test"),
        ],
    )
    .await;
    let mut names = KnownNames::default()
        .host("plain.test", &["1.1.1.1", "2606:4700::1"])
        .host("there.test", &["1.1.1.2"])
        .host("first.test", &["1.1.1.3"])
        .host("second.test", &["1.1.1.4", "1.1.1.5"])
        .service("_matrix-fed._tcp.service.test", 20, 2, "second.test")
        .service("_matrix-fed._tcp.service.test", 10, 1, "first.test")
        .service("_matrix._tcp.service.test", 1, 3, "there.test")
        .service("_matrix._tcp.old-service.test", 1, 4, "there.test")
        .service("_matrix-fed._tcp.half-service.test", 1, 5, "nowhere.test")
        .service("_matrix-fed._tcp.half-service.test", 2, 6, "there.test")
        .service("_matrix-fed._tcp.no-service.test", 0, 0, "")
        .service("_matrix-fed._tcp.broken-service.test", 0, 7, "nowhere.test")
        .broken("_matrix-fed._tcp.failing.test");
    for host in [
        "to-address.test",
        "to-address-port.test",
        "to-port.test",
        "to-service.test",
        "to-name.test",
        "to-itself.test",
        "to-delegating.test",
    ] {
        // Served here, where only this test may call.
        names = names.host(host, &["127.0.0.1"]);
    }
    let client = client(Setup {
        ports: ports(server.port(), 8448),
        ..setup(&names, &authority)
    });
    let mut lines = Vec::new();
    for server in [
        "1.1.1.1",
        "1.1.1.1:5",
        "[2606:4700::1]",
        "[2606:4700::1]:5",
        "plain.test:5",
        "service.test:5",
        "to-address.test",
        "to-address-port.test",
        "to-port.test",
        "to-service.test",
        "to-name.test",
        "to-itself.test",
        "to-delegating.test",
        "service.test",
        "old-service.test",
        "half-service.test",
        "plain.test",
        "no-service.test",
        "broken-service.test",
        "failing.test",
        "nowhere.test",
        "nowhere.test:5",
        "-.test",
    ] {
        lines.push(found(&client, server).await);
    }
    assert_snapshot!(lines.join("\n"), @r"
    1.1.1.1: 1.1.1.1:8448 as 1.1.1.1 for 1.1.1.1
    1.1.1.1:5: 1.1.1.1:5 as 1.1.1.1 for 1.1.1.1:5
    [2606:4700::1]: [2606:4700::1]:8448 as 2606:4700::1 for [2606:4700::1]
    [2606:4700::1]:5: [2606:4700::1]:5 as 2606:4700::1 for [2606:4700::1]:5
    plain.test:5: 1.1.1.1:5 [2606:4700::1]:5 as plain.test for plain.test:5
    service.test:5: service.test has no address
    to-address.test: 1.1.1.9:8448 as 1.1.1.9 for 1.1.1.9
    to-address-port.test: [2606:4700::9]:7 as 2606:4700::9 for [2606:4700::9]:7
    to-port.test: 1.1.1.2:7 as there.test for there.test:7
    to-service.test: 1.1.1.3:1 1.1.1.4:2 1.1.1.5:2 as service.test for service.test
    to-name.test: 1.1.1.2:8448 as there.test for there.test
    to-itself.test: 127.0.0.1:7 as to-itself.test for to-itself.test:7
    to-delegating.test: 127.0.0.1:8448 as to-port.test for to-port.test
    service.test: 1.1.1.3:1 1.1.1.4:2 1.1.1.5:2 as service.test for service.test
    old-service.test: 1.1.1.2:4 as old-service.test for old-service.test
    half-service.test: 1.1.1.2:6 as half-service.test for half-service.test
    plain.test: 1.1.1.1:8448 [2606:4700::1]:8448 as plain.test for plain.test
    no-service.test: no-service.test says that it has no such service
    broken-service.test: nowhere.test has no address
    failing.test: _matrix-fed._tcp.failing.test cannot be looked up: SERVFAIL
    nowhere.test: nowhere.test has no address
    nowhere.test:5: nowhere.test has no address
    -.test: -.test has no address
    ");
}

#[tokio::test]
async fn an_address_or_a_port_is_not_asked_for_more() {
    let authority = Authority::new();
    let server = well_known(&authority, &[("a.test", "b.test")]).await;
    let names = KnownNames::default().host("a.test", &["127.0.0.1"]);
    let client = client(Setup {
        ports: ports(server.port(), 8448),
        ..setup(&names, &authority)
    });
    for server in ["127.0.0.1", "a.test:8448"] {
        client.resolve(name(server)).await.expect("is found");
    }
    assert_eq!(*names.asked.lock(), ["a.test"], "its address alone");
    assert_eq!(server.connections(), 0);
}

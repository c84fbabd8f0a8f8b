//! What is refused before a connection is made, or at a redirect.

use insta::assert_snapshot;

use super::*;

/// A server that counts who calls it.
async fn counting() -> (SocketAddr, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let answer = move || {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready([("connection", "close")])
    };
    (serve(Router::new().fallback(answer)).await, calls)
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_never_called_however_it_is_written() {
    let (server, calls) = counting().await;
    let port = server.port();
    let client = HttpClient::with(Arc::default(), RootCertStore::empty(), names(&[]));
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "user:password@127.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        for scheme in ["http", "https"] {
            let outcome = client.call(request(&format!("{scheme}://{host}:{port}/"))).await;
            fails(outcome, FailureKind::ADDRESS_REFUSED, "modules may not call ");
        }
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_a_name_resolves_to_is_checked_and_of_several_addresses_an_allowed_one_is_called() {
    let (server, calls) = counting().await;
    let known = names(&[
        ("inside.test", &["127.0.0.2", "10.0.0.1"]),
        ("mixed.test", &["10.0.0.1", "127.0.0.1"]),
    ]);
    let client = HttpClient::with(access(), RootCertStore::empty(), known);
    let to = |name| client.call(request(&format!("http://{name}:{}/", server.port())));
    fails(
        to("inside.test").await,
        FailureKind::ADDRESS_REFUSED,
        "modules may not call 127.0.0.2, to which inside.test resolves",
    );
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert_eq!(to("mixed.test").await.expect("is called").status, 200);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_systems_names_are_checked_too() {
    let (server, calls) = counting().await;
    let to_localhost = request(&format!("http://localhost:{}/", server.port()));
    let outcome = HttpClient::new(Arc::default()).call(to_localhost.clone()).await;
    fails(
        outcome,
        FailureKind::ADDRESS_REFUSED,
        "to which localhost resolves",
    );
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    let answer = HttpClient::new(access()).call(to_localhost).await;
    assert_eq!(answer.expect("is called").status, 200);
}

#[tokio::test]
async fn a_name_that_changes_is_checked_each_time_it_is_resolved() {
    let (server, calls) = counting().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let rebinding: Lookup = Arc::new(move |_| {
        let address = match count.fetch_add(1, Ordering::Relaxed) {
            0 => ALLOWED,
            _ => IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
        };
        Box::pin(std::future::ready(Ok(vec![address])))
    });
    let client = HttpClient::with(access(), RootCertStore::empty(), rebinding);
    let url = format!("http://rebinding.test:{}/", server.port());
    assert_eq!(client.call(request(&url)).await.expect("is called").status, 200);
    assert_eq!(
        asked.load(Ordering::Relaxed),
        1,
        "asked once a connection: what was checked is what is called"
    );
    fails(
        client.call(request(&url)).await,
        FailureKind::ADDRESS_REFUSED,
        "127.0.0.2",
    );
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn each_redirect_is_checked() {
    let known = names(&[("inside.test", &["10.0.0.1"])]);
    let client = HttpClient::with(access(), RootCertStore::empty(), known);
    for (location, kind) in [
        ("http://127.0.0.2/", FailureKind::ADDRESS_REFUSED),
        ("//[::1]/", FailureKind::ADDRESS_REFUSED),
        ("http://inside.test/", FailureKind::ADDRESS_REFUSED),
        ("ftp://127.0.0.1/", FailureKind::BAD_REQUEST),
    ] {
        let redirect = move || async move { (StatusCode::TEMPORARY_REDIRECT, [("location", location)]) };
        let server = serve(Router::new().route("/", get(redirect))).await;
        let outcome = client.call(request(&format!("http://{server}/"))).await;
        fails(outcome, kind, &format!("GET http://{server}: "));
    }
    // What names no server is no place to go to: the answer is the redirect itself.
    let to_file = || async { (StatusCode::FOUND, [("location", "file:///etc/hostname")]) };
    let server = serve(Router::new().route("/", get(to_file))).await;
    let answer = client.call(request(&format!("http://{server}/"))).await;
    assert_eq!(answer.expect("answers").status, 302);
}

#[test]
fn what_is_no_request_is_refused_in_words_that_help() {
    let check = |call: HttpCall| match Parsed::new(call, &Outgoing::default()) {
        Ok(_) => "is a request".to_owned(),
        Err(failure) => format!("{:?} {}", failure.kind, failure.message),
    };
    let url = |url: &str| check(request(url));
    let given = |name, value: &str| {
        check(HttpCall {
            headers: RVec::from(vec![header(name, value)]),
            ..request("https://example.org/")
        })
    };
    let method = |method: &str| {
        check(HttpCall {
            method: RString::from(method),
            ..request("https://example.org/")
        })
    };
    let most = HttpCall {
        timeout_ms: 60_000,
        max_response_bytes: 16 * 1024 * 1024,
        ..request("https://example.org/")
    };
    let lines = [
        url("https://example.org/"),
        url("example.org"),
        url("http://"),
        url("http://a b/"),
        url("ftp://example.org/"),
        url("data:,hello"),
        url(&format!("https://example.org/{}", "a".repeat(8 * 1024))),
        method("PURGE"),
        method("CONNECT"),
        method("GET /"),
        method(""),
        given("x-a", "b"),
        given("x a", "b"),
        given("x-a", "b\r\nx-c: d"),
        given("Content-Length", "7"),
        given("transfer-encoding", "chunked"),
        given("x-a", &"b".repeat(64 * 1024)),
        check(most.clone()),
        check(HttpCall {
            timeout_ms: 60_001,
            ..most.clone()
        }),
        check(HttpCall {
            max_response_bytes: 16 * 1024 * 1024 + 1,
            ..most.clone()
        }),
        check(HttpCall {
            body: RVec::from(vec![0; 16 * 1024 * 1024 + 1]),
            ..most
        }),
    ];
    assert_snapshot!(lines.join("\n"), @r#"
    is a request
    FailureKind(7) not a URL: relative URL without a base
    FailureKind(7) not a URL: empty host
    FailureKind(7) not a URL: invalid international domain name
    FailureKind(7) "ftp" is not http or https
    FailureKind(7) "data" is not http or https
    FailureKind(7) a URL of 8212 bytes; 8192 are allowed
    is a request
    FailureKind(7) "CONNECT" is not a method of a request
    FailureKind(7) "GET /" is not a method of a request
    FailureKind(7) "" is not a method of a request
    is a request
    FailureKind(7) "x a" is not the name of a header
    FailureKind(7) the value of the header x-a holds control characters
    FailureKind(7) the header content-length is the host's to set; leave it out
    FailureKind(7) the header transfer-encoding is the host's to set; leave it out
    FailureKind(7) 1 headers of 65539 bytes together; 100 of 65536 bytes are allowed
    is a request
    FailureKind(7) a timeout of 60001 ms; 60000 are allowed
    FailureKind(7) an answer of up to 16777217 bytes; 16777216 are allowed
    FailureKind(4) the body of the request has 16777217 bytes, 16777216 are allowed
    "#);
}

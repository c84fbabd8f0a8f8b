//! What servers say of where they are: when it is taken, when it is not, and for how long.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::join_all;
use hyper::header::{CACHE_CONTROL, LOCATION};

use super::*;

const THERE: &str = r#"{"m.server": "there.test:7"}"#;

/// `a.test`, which answers so; and a client that calls it.
struct Asked {
    server: Server,
    client: FederationClient,
    times: Arc<AtomicUsize>,
}

impl Asked {
    async fn of(answer: impl Fn(usize) -> Response + Clone + Send + Sync + 'static) -> Self {
        Self::with(answer, Limits::default()).await
    }

    async fn with(
        answer: impl Fn(usize) -> Response + Clone + Send + Sync + 'static,
        limits: Limits,
    ) -> Self {
        let authority = Authority::new();
        let times = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&times);
        let handler = move || {
            let answer = answer(count.fetch_add(1, Ordering::Relaxed));
            async move { answer }
        };
        let server = authority
            .serve(&["a.test"], Router::new().fallback(get(handler)))
            .await;
        let names = KnownNames::default()
            .host("a.test", &["127.0.0.1"])
            .host("inside.test", &["127.0.0.2"])
            .host("there.test", &["1.1.1.1"])
            .host("moved.test", &["1.1.1.1"]);
        let client = client(Setup {
            ports: ports(server.port(), 8448),
            limits,
            ..setup(&names, &authority)
        });
        Self {
            server,
            client,
            times,
        }
    }

    /// What a request to `a.test` would go to.
    async fn found(&self) -> String {
        let found = self.client.resolve(name("a.test")).await;
        found.expect("is found").host_header
    }

    fn times(&self) -> usize {
        self.times.load(Ordering::Relaxed)
    }
}

fn redirect(to: String) -> Response {
    (StatusCode::FOUND, [(LOCATION, to)]).into_response()
}

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn what_is_no_answer_leaves_a_server_where_its_name_says() {
    type Answer = fn() -> Response;
    let answers: [(&str, Answer); 8] = [
        ("404", || (StatusCode::NOT_FOUND, THERE).into_response()),
        ("204", || StatusCode::NO_CONTENT.into_response()),
        ("500", || StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        ("no JSON", || "there.test".into_response()),
        ("no name", || {
            r#"{"m.server": "https://there.test"}"#.into_response()
        }),
        ("a redirect without a target", || {
            StatusCode::FOUND.into_response()
        }),
        ("a redirect to what is no URL", || {
            redirect("https://[".to_owned())
        }),
        ("not modified", || StatusCode::NOT_MODIFIED.into_response()),
    ];
    for (what, answer) in answers {
        let asked = Asked::of(move |_| answer()).await;
        assert_eq!(asked.found().await, "a.test", "{what}");
        assert_eq!(asked.times(), 1, "{what}");
    }
}

#[tokio::test]
async fn an_answer_has_50_kib_at_most_whether_it_says_so_or_not() {
    let padded = |length: usize| format!("{THERE}{}", " ".repeat(length - THERE.len()));
    for (length, found) in [(50 * 1024, "there.test:7"), (50 * 1024 + 1, "a.test")] {
        let whole = Asked::of(move |_| padded(length).into_response()).await;
        assert_eq!(whole.found().await, found);
        let in_pieces = Asked::of(move |_| {
            let pieces = padded(length).into_bytes();
            let pieces: Vec<_> = pieces
                .chunks(1000)
                .map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece)))
                .collect();
            Body::from_stream(futures_util::stream::iter(pieces)).into_response()
        })
        .await;
        assert_eq!(in_pieces.found().await, found);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_none() {
    let limits = Limits {
        well_known: Duration::from_millis(300),
        ..Limits::default()
    };
    let half = |_| {
        let begin = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from(THERE))]);
        let endless = futures_util::StreamExt::chain(begin, futures_util::stream::pending());
        Body::from_stream(endless).into_response()
    };
    let asked = Asked::with(half, limits).await;
    assert_eq!(asked.found().await, "a.test");
}

#[tokio::test]
async fn five_redirects_are_followed() {
    for (redirects, found) in [(5, "there.test:7"), (6, "a.test")] {
        let asked = Asked::of(move |times| match times {
            times if times < redirects => redirect(format!("/elsewhere/{times}?a=b")),
            _ => THERE.into_response(),
        })
        .await;
        assert_eq!(asked.found().await, found);
        assert_eq!(asked.times(), 6);
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere_where_a_name_would_not() {
    let (authority, hits) = (Authority::new(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&hits);
    let counting = move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { THERE }
    };
    // Believed by nobody else.
    let other = authority
        .serve(&["a.test", "127.0.0.1"], Router::new().fallback(get(counting)))
        .await;
    let port = other.port();
    for target in [
        format!("http://a.test:{port}/"),
        format!("https://127.0.0.2:{port}/"),
        format!("https://inside.test:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://2130706434:{port}/"),
        format!("https://a.test:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("ftp://a.test:{port}/"),
        "file:///etc/hostname".to_owned(),
    ] {
        let to = target.clone();
        let asked = Asked::of(move |_| redirect(to.clone())).await;
        assert_eq!(asked.found().await, "a.test", "{target}");
        assert_eq!(asked.times(), 1, "{target}");
    }
    assert_eq!(hits.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_server_is_asked_once_however_many_want_to_know() {
    let asked = Asked::of(|_| THERE.into_response()).await;
    for found in join_all((0..20).map(|_| asked.found())).await {
        assert_eq!(found, "there.test:7");
    }
    assert_eq!(asked.times(), 1);
    assert_eq!(asked.server.connections(), 1);
}

#[tokio::test]
async fn an_answer_is_kept_for_its_time_and_nothing_for_an_hour() {
    let asked = Asked::of(|times| {
        let age = [(CACHE_CONTROL, "max-age=600")];
        match times {
            0 => StatusCode::NOT_FOUND.into_response(),
            1 => (age, THERE).into_response(),
            _ => (age, r#"{"m.server": "moved.test"}"#).into_response(),
        }
    })
    .await;
    assert_eq!(asked.found().await, "a.test");
    pass(Duration::from_mins(59)).await;
    assert_eq!(asked.found().await, "a.test");
    pass(Duration::from_mins(1)).await;
    assert_eq!(asked.found().await, "there.test:7");
    pass(Duration::from_mins(9)).await;
    assert_eq!((asked.found().await.as_str(), asked.times()), ("there.test:7", 2));
    pass(Duration::from_mins(1)).await;
    assert_eq!(asked.found().await, "moved.test");
}

#[tokio::test]
async fn what_a_server_said_holds_for_two_hours_more_when_it_is_down() {
    let asked = Asked::of(|times| match times {
        0 => ([(CACHE_CONTROL, "max-age=600")], THERE).into_response(),
        _ => StatusCode::BAD_GATEWAY.into_response(),
    })
    .await;
    assert_eq!(asked.found().await, "there.test:7");
    pass(Duration::from_mins(10)).await;
    assert_eq!((asked.found().await.as_str(), asked.times()), ("there.test:7", 2));
    pass(Duration::from_mins(1)).await;
    assert_eq!((asked.found().await.as_str(), asked.times()), ("there.test:7", 2));
    pass(Duration::from_mins(1)).await;
    assert_eq!((asked.found().await.as_str(), asked.times()), ("there.test:7", 3));
    pass(Duration::from_hours(2)).await;
    assert_eq!((asked.found().await.as_str(), asked.times()), ("a.test", 4));
}

#[tokio::test]
async fn a_server_that_says_that_it_has_moved_back_is_believed() {
    let asked = Asked::of(|times| match times {
        0 => ([(CACHE_CONTROL, "max-age=600")], THERE).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    assert_eq!(asked.found().await, "there.test:7");
    pass(Duration::from_mins(10)).await;
    assert_eq!(asked.found().await, "a.test");
}

//! What a module asks reaches the server's services, and their answers come back; whatever becomes of the server, the module
//! is answered. The puppet is linked statically, and speaks through the vtable as a library does.

mod fake_services;

use std::time::Duration;

use futures_util::future::join_all;
use presence_router_api::abi::bounds::MAX_USERS;
use presence_router_api::{ApiError, HttpError, ModuleApi, PresenceState};
use tokio::time::advance;

use self::fake_services::{FakeServices, Mood};
use super::*;
use crate::clock::{StandStill, TokioClock};
use crate::modules::puppet::Puppet;
use crate::modules::questions::{MAX_QUESTIONS, SERVICE_TIMEOUT};
use crate::modules::running::Running;
use crate::modules::services::ServiceError;

const DEADLINE: Duration = Duration::from_secs(5);

struct Bench {
    services: Arc<FakeServices>,
    running: Running,
    api: ModuleApi,
}

async fn bench() -> Bench {
    let services = Arc::new(FakeServices::default());
    let facts = HostFacts {
        services: Arc::<FakeServices>::clone(&services),
        worker_name: Some(Arc::from("presence1")),
        ..HostFacts::without_services(
            "example.org",
            Arc::new(TokioClock::starting_at(1_000)),
            Handle::current(),
        )
    };
    let puppet = Arc::new(Puppet::silent());
    let running = puppet.start_on(facts, DEADLINE).await.expect("starts");
    let api = puppet.api();
    Bench {
        services,
        running,
        api,
    }
}

fn user(name: &str) -> UserId {
    UserId::parse(format!("@{name}:example.org")).expect("valid")
}

fn busy(name: &str) -> PresenceUpdate {
    PresenceUpdate::new(user(name), PresenceState::Busy)
}

/// Asks each question once; what was answered, as text.
async fn ask_everything(api: &ModuleApi) -> Vec<String> {
    fn line<T: std::fmt::Debug>(name: &str, outcome: Result<T, ApiError>) -> String {
        match outcome {
            Ok(answer) => format!("{name}: {answer:?}"),
            Err(error) => format!("{name}: {error:?}"),
        }
    }
    let (storage, alice) = (api.storage(), user("alice"));
    let states = api.current_state_for_users([user("bob"), user("alice")]).await;
    let states = states.map(|states| {
        let short = |state: &UserPresenceState| format!("{} {}", state.user_id, state.state);
        states.iter().map(short).collect::<Vec<_>>()
    });
    vec![
        line(
            "send",
            api.send_local_online_presence_to([alice.clone(), user("bob")])
                .await,
        ),
        line(
            "set",
            api.set_presence_for_users([busy("alice").with_status_msg("x"), busy("bob")])
                .await,
        ),
        line("states", states),
        line("users", api.get_users_in_room("!a:x").await),
        line("rooms", api.get_rooms_for_user(&alice).await),
        line("hosts", api.get_current_hosts_in_room("!a:x").await),
        line("put", storage.put("a/1", "one").await),
        line("get", storage.get("a/1").await),
        line("scan", storage.scan("a/", None, 10).await),
        line("scan after", storage.scan("a/", Some("a/1"), 10).await),
        line("delete", storage.delete("a/1").await),
        line("get again", storage.get("a/1").await),
    ]
}

#[tokio::test]
async fn every_question_reaches_the_services_and_every_answer_comes_back() {
    let bench = bench().await;
    insta::assert_snapshot!(ask_everything(&bench.api).await.join("\n"), @r#"
    send: ()
    set: ()
    states: ["@bob:example.org online", "@alice:example.org online"]
    users: ["@alice:example.org", "@bob:example.org"]
    rooms: ["!a:x"]
    hosts: ["example.org"]
    put: ()
    get: Some([111, 110, 101])
    scan: [("a/1", [111, 110, 101])]
    scan after: []
    delete: true
    get again: None
    "#);
    let name = bench.running.name();
    let asked = bench.services.asked().join("\n").replace(&**name, "NAME");
    insta::assert_snapshot!(asked, @r#"
    ("states", ["@bob:example.org", "@alice:example.org"])
    ("send", ["@alice:example.org", "@bob:example.org"])
    ("set", [("@alice:example.org", Busy, Some("x")), ("@bob:example.org", Busy, None)])
    ("users", "!a:x")
    ("rooms", "@alice:example.org")
    ("hosts", "!a:x")
    ("put", "NAME", "a/1")
    ("get", "NAME", "a/1")
    ("scan", "NAME", "a/", None, 10)
    ("scan", "NAME", "a/", Some("a/1"), 10)
    ("delete", "NAME", "a/1")
    ("get", "NAME", "a/1")
    "#);
    assert_eq!(bench.api.worker_name(), Some("presence1"));
}

#[tokio::test]
async fn what_the_services_refuse_is_told_as_what_it_is() {
    let bench = bench().await;
    for (error, told) in [
        (ServiceError::Refused("no".into()), ApiError::Refused("no".into())),
        (
            ServiceError::TooLarge("big".into()),
            ApiError::TooLarge("big".into()),
        ),
        (
            ServiceError::Unavailable("later".into()),
            ApiError::Unavailable("later".into()),
        ),
    ] {
        bench.services.set_mood(Mood::Fail(error));
        for line in ask_everything(&bench.api).await {
            assert!(line.ends_with(&format!("{told:?}")), "{line}");
        }
    }
    bench.services.set_mood(Mood::Panic);
    let outcome = bench.api.get_users_in_room("!a:x").await;
    assert!(matches!(outcome, Err(ApiError::Unavailable(text)) if text.contains("stumbled")));
    bench.services.set_mood(Mood::Answer);
    assert!(bench.api.get_users_in_room("!a:x").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer_is_waited_for_so_long_and_no_longer() {
    let time = StandStill::begin();
    let bench = bench().await;
    bench.services.set_mood(Mood::Hang);
    let question = tokio::spawn(bench.api.get_users_in_room("!a:x"));
    bench.services.asked_until(1).await;
    let step = Duration::from_millis(1);
    advance(SERVICE_TIMEOUT.saturating_sub(step)).await;
    assert!(!question.is_finished());
    advance(step * 2).await;
    time.until(|| question.is_finished()).await;
    let outcome = question.await.expect("ends");
    assert!(matches!(outcome, Err(ApiError::Unavailable(text)) if text.contains("within 30 s")));
}

#[tokio::test]
async fn what_has_not_the_form_or_the_length_never_reaches_the_services() {
    let bench = bench().await;
    let (api, storage) = (&bench.api, bench.api.storage());
    let too_many = || std::iter::repeat_n(user("a"), MAX_USERS + 1);
    let updates = std::iter::repeat_n(busy("a"), MAX_USERS + 1);
    for outcome in [
        api.send_local_online_presence_to(too_many()).await,
        api.set_presence_for_users(updates).await,
        api.current_state_for_users(too_many()).await.map(drop),
        storage.put("k".repeat(513), "").await,
        storage.put("k", vec![0; 1024 * 1024 + 1]).await,
        storage.get("k".repeat(513)).await.map(drop),
        storage.delete("k".repeat(513)).await.map(drop),
        storage.scan("", None, 1_001).await.map(drop),
    ] {
        assert!(matches!(outcome, Err(ApiError::TooLarge(_))), "{outcome:?}");
    }
    for outcome in [
        storage.put("", "").await,
        storage.get("").await.map(drop),
        storage.delete("").await.map(drop),
        storage.scan("", None, 0).await.map(drop),
    ] {
        assert!(matches!(outcome, Err(ApiError::Refused(_))), "{outcome:?}");
    }
    assert_eq!(bench.services.asked(), [""; 0]);
}

#[tokio::test]
async fn so_many_answers_may_be_waited_for_at_once() {
    let bench = bench().await;
    bench.services.set_mood(Mood::Hang);
    let questions: Vec<_> = (0..MAX_QUESTIONS)
        .map(|_| tokio::spawn(bench.api.get_users_in_room("!a:x")))
        .collect();
    bench.services.asked_until(MAX_QUESTIONS).await;
    let one_too_many = bench.api.get_users_in_room("!a:x").await;
    assert!(matches!(one_too_many, Err(ApiError::Unavailable(text)) if text.contains("1024 answers")));
    let request = bench.api.http().get("https://example.org").send().await;
    assert!(matches!(request, Err(HttpError::Refused(text)) if text.contains("1024 answers")));

    bench.services.release();
    for question in join_all(questions).await {
        assert!(question.expect("ends").is_ok());
    }
    assert!(bench.api.get_users_in_room("!a:x").await.is_ok());
}

#[tokio::test]
async fn a_question_goes_on_when_the_module_has_lost_interest() {
    let bench = bench().await;
    bench.services.set_mood(Mood::Hang);
    let question = tokio::spawn(bench.api.storage().put("a", "b"));
    bench.services.asked_until(1).await;
    question.abort();
    assert!(question.await.expect_err("was dropped").is_cancelled());
    bench.services.release();
    bench.services.answered_until(1).await;
    assert_eq!(bench.api.storage().get("a").await, Ok(Some(b"b".to_vec())));
}

#[tokio::test]
async fn what_waits_at_shutdown_is_cut_off_and_nothing_is_asked_after_it() {
    let bench = bench().await;
    let counter = bench.api.counter("before", "").expect("is made");
    bench.services.set_mood(Mood::Hang);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let question = tokio::spawn(bench.api.storage().get("a"));
    bench.services.asked_until(1).await;
    assert!(bench.running.shutdown(DEADLINE).await);
    assert_eq!(question.await.expect("ends"), Err(ApiError::ShutDown));

    bench.services.set_mood(Mood::Answer);
    for line in ask_everything(&bench.api).await {
        assert!(line.ends_with(": ShutDown"), "{line}");
    }
    assert_eq!(bench.services.asked().len(), 1);
    let url = format!("http://{}/", listener.local_addr().expect("is bound"));
    assert_eq!(bench.api.http().get(&url).send().await, Err(HttpError::ShutDown));
    assert_eq!(bench.api.counter("after", "").map(drop), Err(ApiError::ShutDown));
    assert_eq!(counter.with(&[("a", "b")]).map(drop), Err(ApiError::ShutDown));
    let minute = Duration::from_mins(1);
    assert_eq!(
        bench.api.looping_background_call(minute, || async {}),
        Err(ApiError::ShutDown)
    );
    // What keeps nothing still works.
    counter.add(1);
    assert_eq!(bench.api.worker_name(), Some("presence1"));
}

#[tokio::test]
async fn a_request_over_http_ends_with_its_future() {
    let bench = bench_that_may_call_loopback().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/", listener.local_addr().expect("is bound"));
    let deadline = Duration::from_mins(1);
    let request = tokio::spawn(bench.api.http().get(&url).timeout(deadline).send());
    let (mut stream, _) = listener.accept().await.expect("accepts");
    let mut begin = [0; 16];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut begin)
        .await
        .expect("the request arrives");
    assert_eq!(&begin, b"GET / HTTP/1.1\r\n");
    request.abort();
    // The host hangs up, so reading comes to an end, and long before the deadline.
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
    let hung_up = tokio::time::timeout(deadline / 2, read).await;
    hung_up
        .expect("the request ends with its future")
        .expect("the connection is closed");
}

async fn bench_that_may_call_loopback() -> Bench {
    let bench = bench().await;
    let facts = HostFacts {
        http: Arc::new(Outgoing {
            blocked: Vec::new(),
            allowed: Vec::new(),
        }),
        ..HostFacts::without_services(
            "example.org",
            Arc::new(TokioClock::starting_at(1_000)),
            Handle::current(),
        )
    };
    let puppet = Arc::new(Puppet::silent());
    let running = puppet.start_on(facts, DEADLINE).await.expect("starts");
    let api = puppet.api();
    Bench {
        running,
        api,
        ..bench
    }
}

#[tokio::test]
async fn a_host_without_services_says_so() {
    let bench = bench_that_may_call_loopback().await;
    for line in ask_everything(&bench.api).await {
        assert!(
            line.contains("Unavailable") && line.contains("does not offer it"),
            "{line}"
        );
    }
}

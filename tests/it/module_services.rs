//! A real library asks for everything, and this test is the server that answers: services of its own, and a web server on
//! the loopback. The only test that looks inside the host: what the real server answers is tested from outside.

use std::collections::BTreeMap;
use std::future::ready;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use insta::assert_snapshot;
use presence_router::clock::SystemClock;
use presence_router::config::Outgoing;
use presence_router::modules::{
    Answer, Configured, HostFacts, Limits, Loader, Running, Services, Signers, Source, Trust,
};
use presence_router_api::{PresenceState, PresenceUpdate, UserId, UserPresenceState};
use presence_router_tests::{PATIENCE, artifacts};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Presence of one user, a room, and storage.
struct OwnServices {
    set: Mutex<BTreeMap<UserId, PresenceState>>,
    sent_to: Mutex<Vec<UserId>>,
    /// By instance and key.
    stored: watch::Sender<BTreeMap<(String, String), Vec<u8>>>,
}

fn now<T: Send + 'static>(answer: T) -> Answer<T> {
    Box::pin(ready(Ok(answer)))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Services for OwnServices {
    fn send_local_online_presence_to(&self, users: Vec<UserId>) -> Answer<()> {
        lock(&self.sent_to).extend(users);
        now(())
    }

    fn set_presence_for_users(&self, updates: Vec<PresenceUpdate>) -> Answer<()> {
        lock(&self.set).extend(updates.into_iter().map(|update| (update.user_id, update.state)));
        now(())
    }

    fn current_state_for_users(&self, users: Vec<UserId>) -> Answer<Vec<UserPresenceState>> {
        let set = lock(&self.set);
        let states = users.iter().map(|user| UserPresenceState {
            state: set.get(user).copied().unwrap_or(PresenceState::Offline),
            ..UserPresenceState::offline(user.as_str())
        });
        now(states.collect())
    }

    fn users_in_room(&self, room_id: String) -> Answer<Vec<UserId>> {
        assert_eq!(room_id, "!a:example.org");
        now(UserId::parse("@alice:example.org").into_iter().collect())
    }

    fn rooms_for_user(&self, user_id: UserId) -> Answer<Vec<String>> {
        assert_eq!(user_id.as_str(), "@alice:example.org");
        now(vec!["!a:example.org".to_owned()])
    }

    fn hosts_in_room(&self, _: String) -> Answer<Vec<String>> {
        now(vec!["example.org".to_owned()])
    }

    fn get(&self, module: Arc<str>, key: String) -> Answer<Option<Vec<u8>>> {
        now(self.stored.borrow().get(&(module.to_string(), key)).cloned())
    }

    fn put(&self, module: Arc<str>, key: String, value: Vec<u8>) -> Answer<()> {
        self.stored.send_modify(|stored| {
            stored.insert((module.to_string(), key), value);
        });
        now(())
    }

    fn delete(&self, module: Arc<str>, key: String) -> Answer<bool> {
        let mut was_there = false;
        self.stored.send_modify(|stored| {
            was_there = stored.remove(&(module.to_string(), key)).is_some();
        });
        now(was_there)
    }

    fn scan(
        &self,
        module: Arc<str>,
        prefix: String,
        _: Option<String>,
        limit: u32,
    ) -> Answer<Vec<(String, Vec<u8>)>> {
        let stored = self.stored.borrow();
        let own = stored
            .iter()
            .filter(|((owner, key), _)| **owner == *module && key.starts_with(&prefix));
        let pairs = own.take(limit as usize);
        now(pairs
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
}

/// Answers every request with `hi`, for as long as the process runs.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/", listener.local_addr().expect("is bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepts");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi");
        }
    });
    url
}

async fn start(services: Arc<OwnServices>) -> Running {
    let library = artifacts::fixture("uses-api");
    let source = Source {
        module: library.to_str().expect("the tests' paths are UTF-8").to_owned(),
        base_dir: PathBuf::from("/"),
        module_path: Vec::new(),
        trust: Trust::Anyone,
        pinned: None,
        signed_by: Signers::Anyone,
    };
    let loader = Loader::new().expect("there is room for copies");
    let opened = loader
        .open(&source)
        .unwrap_or_else(|refusal| panic!("it loads: {refusal}"));
    let configured = Configured::new(opened, &json!({"url": serve()})).expect("the config is valid");
    let facts = HostFacts {
        services,
        http: Arc::new(Outgoing {
            blocked: Vec::new(),
            allowed: Vec::new(),
        }),
        ..HostFacts::without_services("example.org", Arc::new(SystemClock), Handle::current())
    };
    let name = Arc::from("the-instance");
    let limits = Limits {
        call_timeout: PATIENCE,
        ..Limits::default()
    };
    Running::start(configured, name, facts, limits)
        .await
        .expect("starts")
}

impl OwnServices {
    /// What the module has reported, once it has.
    async fn report(&self, place: &str) -> String {
        let key = ("the-instance".to_owned(), format!("report/{place}"));
        let mut stored = self.stored.subscribe();
        let stored = tokio::time::timeout(PATIENCE, stored.wait_for(|stored| stored.contains_key(&key)))
            .await
            .unwrap_or_else(|_| panic!("no report of {place}"))
            .expect("the services are here");
        String::from_utf8_lossy(&stored[&key]).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_of_the_api_is_answered_to_a_library_at_every_time() {
    let services = Arc::new(OwnServices {
        set: Mutex::default(),
        sent_to: Mutex::default(),
        stored: watch::Sender::default(),
    });
    let running = start(Arc::clone(&services)).await;
    let in_new = services.report("new").await;
    assert_snapshot!(in_new, @r#"
    worker_name: None
    send_local_online_presence_to: ()
    set_presence_for_users: ()
    current_state_for_users: [Busy]
    get_users_in_room: ["@alice:example.org"]
    get_rooms_for_user: ["!a:example.org"]
    get_current_hosts_in_room: ["example.org"]
    put: ()
    get: Some("value")
    scan: 1
    delete: true
    http: (200, "hi")
    counter: ()
    gauge: ()
    histogram: ()
    "#);
    assert_eq!(services.report("task").await, in_new);
    assert_eq!(services.report("delayed call").await, "came");
    assert_eq!(services.report("looping call").await, "came again");
    let states = vec![UserPresenceState::offline("@bob:example.org")];
    running.get_users_for_states(states, None).await.expect("answers");
    assert_eq!(services.report("get_users_for_states").await, in_new);

    assert!(running.shutdown(Duration::from_secs(10)).await);
    assert_eq!(
        services.report("shutdown").await,
        in_new,
        "until it ends, all is answered"
    );
    assert_eq!(lock(&services.sent_to).len(), 4);
    assert!(
        !services
            .stored
            .borrow()
            .keys()
            .any(|(_, key)| key.contains("after shutdown"))
    );
}

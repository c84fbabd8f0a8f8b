//! Whose name a log record goes under: the instance that runs, else the newest that lives.

use std::cell::Cell;
use std::fmt;
use std::sync::RwLock;

use log::{Level, Log, Record};

use crate::export::guard::{guard, guarded_drop};
use crate::export::library::{Bridge, Instances};
use crate::testing::FakeHost;

fn say(text: &dyn fmt::Display) {
    Bridge.log(
        &Record::builder()
            .level(Level::Warn)
            .args(format_args!("{text}"))
            .build(),
    );
}

fn texts(host: &FakeHost) -> Vec<String> {
    host.log()
        .into_iter()
        .map(|(level, text)| format!("{level} {text}"))
        .collect()
}

#[test]
fn a_record_goes_to_the_instance_that_runs_also_when_instances_call_each_other() {
    let (outer, inner) = (FakeHost::new("outer.example"), FakeHost::new("inner.example"));
    guard("a test", Some(&outer.api()), || {
        say(&"before");
        guard("a test", Some(&inner.api()), || say(&"within")).expect("no panic");
        let panicked = guard("a test", Some(&inner.api()), || panic!("boom"));
        assert!(panicked.is_err());
        say(&"after");
    })
    .expect("no panic");
    assert_eq!(texts(&outer), ["WARN before", "WARN after"]);
    assert_eq!(texts(&inner), ["WARN within"]);
}

#[test]
fn a_value_may_log_while_it_is_logged() {
    struct Chatty;
    impl fmt::Display for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            say(&"inner");
            f.write_str("outer")
        }
    }
    let host = FakeHost::new("example.org");
    guard("a test", Some(&host.api()), || say(&Chatty)).expect("no panic");
    assert_eq!(texts(&host), ["WARN inner", "WARN outer"]);
}

#[test]
fn the_newest_instance_that_lives_speaks_and_none_is_kept_alive_for_it() {
    let instances = Instances(RwLock::new(Vec::new()));
    assert!(instances.newest().is_none());
    let (first, second) = (FakeHost::new("first.example"), FakeHost::new("second.example"));
    let (first_api, second_api) = (first.api(), second.api());
    instances.add(&first_api);
    instances.add(&second_api);
    let speaker = || instances.newest().map(|api| api.server_name().to_owned());
    assert_eq!(speaker().as_deref(), Some("second.example"));
    drop(second_api);
    assert_eq!(second.handle_count(), 1);
    assert_eq!(speaker().as_deref(), Some("first.example"));
    drop(first_api);
    assert_eq!(speaker(), None);
}

#[test]
fn guards_work_while_a_thread_ends_and_its_thread_locals_are_gone() {
    struct AtExit(Cell<Option<FakeHost>>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            if let Some(host) = self.0.take() {
                let api = host.api();
                guarded_drop("a thread-local", Some(&api), PanicsInDrop);
                let panicked = guard("a method", Some(&api), || panic!("boom"));
                assert_eq!(
                    panicked.expect_err("panicked").message,
                    "panicked in a method: boom"
                );
            }
        }
    }
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("boom");
        }
    }
    thread_local! {
        static EARLIER: AtExit = const { AtExit(Cell::new(None)) };
        static LATER: AtExit = const { AtExit(Cell::new(None)) };
    }
    // Whatever the order in which they are destroyed, one of the two outlives the guard's own.
    let (earlier, later) = (FakeHost::new("earlier.example"), FakeHost::new("later.example"));
    let (to_earlier, to_later) = (earlier.clone(), later.clone());
    std::thread::spawn(move || {
        EARLIER.with(|at_exit| at_exit.0.set(Some(to_earlier)));
        guard("a test", Some(&later.api()), || ()).expect("no panic");
        LATER.with(|at_exit| at_exit.0.set(Some(later)));
    })
    .join()
    .expect("the thread ends well");
    for host in [earlier, to_later] {
        assert_eq!(texts(&host), ["ERROR panicked in a thread-local: boom"]);
    }
}

//! A swap that is refused, at each step: the module that served serves on, and nobody notices but who asked for it.

use std::path::Path;

use presence_router_tests::admin::Connection;
use presence_router_tests::{Admin, Config, Host, PATIENCE, artifacts, id_of};
use serde_json::{Value, json};

use crate::swap::library::Library;
use crate::swap::load::{under_load, with_users};
use crate::swap::{as_broadcast, config};

/// Asks for a swap that is refused at this step, for these reasons.
#[track_caller]
fn check(operator: &mut Connection, serving: &Value, step: &str, reasons: &[&str]) {
    let (status, answer) = operator.ask("POST", "/modules/broadcast/reload");
    assert_eq!((status, &answer["step"]), (409, &json!(step)), "{answer:#}");
    let text = answer["text"].as_str().expect("a text");
    for reason in reasons {
        assert!(text.contains(reason), "no {reason:?} in:\n{text}");
    }
    assert!(text.lines().count() <= 5, "{text}");
    let (_, module) = operator.ask("GET", "/modules/broadcast");
    for key in ["generation", "sha256", "state"] {
        assert_eq!(module[key], serving[key], "{step}: {module:#}");
    }
    assert_eq!(answer["serving"]["generation"], serving["generation"]);
}

#[test]
fn at_whatever_step_one_is_refused_the_other_serves_on_and_nothing_is_lost() {
    let good = artifacts::broadcast();
    let library = Library::of(good);
    let base = with_users(config(&library));
    let host = Host::start(&base);
    let serving = Admin::of(&host).module("broadcast");
    let (panics, hangs) = (artifacts::fixture("panics"), artifacts::fixture("hangs"));
    let wrong = artifacts::fixture("wrong-answers");
    let panicking = |place: &str| json!({"where": place});
    let in_its_place = |path: &Path, config: &Value| as_broadcast(base.clone(), path, config);
    let report = under_load(&host, |_| {
        let mut operator = Admin::of(&host).connect();
        let mut refused = |config: &Config, step: &str, reasons: &[&str]| {
            config.write_into(host.directory());
            check(&mut operator, &serving, step, reasons);
        };
        library.put_garbage();
        refused(&base, "open", &["ELF"]);
        library.put(artifacts::changed_layout());
        refused(&base, "open", &["change:", "fix:"]);
        library.put(good);
        let bad = json!({"always_send_to_users": ["bob"]});
        refused(
            &in_its_place(library.path(), &bad),
            "configure",
            &["always_send_to_users[0]"],
        );
        refused(
            &in_its_place(panics, &panicking("parse_config")),
            "configure",
            &["panicked"],
        );
        refused(
            &in_its_place(panics, &panicking("new")),
            "start",
            &["told to panic"],
        );
        for place in ["get_users_for_states", "get_interested_users", "poll_states"] {
            let method = place.replace("poll_states", "get_users_for_states");
            refused(
                &in_its_place(panics, &panicking(place)),
                "probe",
                &[&method, "told to panic"],
            );
        }
        let answer = json!({"answer": "unregistered_audience"});
        refused(&in_its_place(wrong, &answer), "probe", &["gave a wrong answer"]);
        let hanging = json!({"how": "sleep_thread", "in": "states"});
        let hanging = in_its_place(hangs, &hanging)
            .set(&["presence", "presence_router", "call_timeout"], json!("100ms"));
        refused(&hanging, "probe", &["did not answer within 100 ms"]);
        refused(
            &base.clone().set(&["nonsense"], json!(1)),
            "config",
            &["nonsense"],
        );
        refused(
            &Config::neighbours().admin(),
            "config",
            &["names no module `broadcast`"],
        );
    });
    assert!(report.counted > 0, "{report}");
    base.write_into(host.directory());
    Admin::of(&host).json(&["modules", "reload", "broadcast"]);
    assert!(!host.log().contains(&["could not"]), "{}", host.log().text());
    host.terminate().expect_code(0);
}

#[test]
fn what_failed_when_it_was_tried_out_is_not_left_behind() {
    let library = Library::of(artifacts::broadcast());
    let base = config(&library);
    let host = Host::start(&base);
    let mut operator = Admin::of(&host).connect();
    let serving = Admin::of(&host).module("broadcast");
    let before = host.footprint();
    let panicking = json!({"where": "get_interested_users"});
    as_broadcast(base, artifacts::fixture("panics"), &panicking).write_into(host.directory());
    for _ in 0..5 {
        check(&mut operator, &serving, "probe", &["told to panic"]);
    }
    let after = host.footprint_when(PATIENCE, |now| {
        now.threads <= before.threads + 1 && now.copies == before.copies
    });
    assert_eq!(after.copies, 1, "{after}");
    let gobbler = host.user("presence_gobbler");
    let since = gobbler.now();
    host.user("alice").set("online", Some("as ever"));
    gobbler.sync_until_says(&since, &id_of("alice"), "as ever");
}

//! The verdict on each bad fixture, and what shows it.

use std::path::Path;
use std::thread;

use presence_router_tests::{GOBBLER, artifacts, bad};
use serde_json::json;

use super::{check, check_fixture, verify};

#[test]
fn a_module_that_cannot_be_loaded_is_not() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let nothing = json!({});
    let refused: [(&Path, &str); 5] = [
        (
            &bad::other_sdk(directory.path()),
            "api version: built with presence-router-api 9.9.9",
        ),
        (&bad::cut_after(directory.path(), 4_096), "the file is cut short"),
        (artifacts::fixture("initial-exec-tls"), "DF_STATIC_TLS"),
        (
            artifacts::fixture("constructor-aborts"),
            "it has no section `.presence_router`",
        ),
        (
            artifacts::aborts_on_panic(),
            "a panic in it would end the whole server",
        ),
    ];
    for (library, part) in refused {
        check(library, &nothing, "load", "failed", &[part]);
    }
    check(
        artifacts::changed_layout(),
        &nothing,
        "load",
        "failed",
        &["laid out otherwise"],
    );
}

#[test]
fn what_ends_the_process_is_a_verdict() {
    let deadly = |how: &str, place: &str| json!({"how": how, "in": place});
    for (how, end) in [
        ("abort", "killed by SIGABRT"),
        ("exit", "ended with exit code 0"),
        ("segfault", "killed by SIGSEGV"),
        ("stack_overflow", "killed by SIGABRT"),
    ] {
        let parts = [end, "while: get_users_for_states with 0 states"];
        check_fixture("deadly", &deadly(how, "states"), "answers", "crashed", &parts);
    }
    for (place, only, step) in [
        (
            "parse_config",
            "load",
            "while: having parse_config check the config",
        ),
        ("new", "load", "while: starting an instance"),
        ("shutdown", "load", "while: shutting an instance down"),
        ("interested", "answers", "while: get_interested_users for 3 users"),
    ] {
        let parts = ["killed by SIGSEGV", step];
        check_fixture("deadly", &deadly("segfault", place), only, "crashed", &parts);
    }
    let parts = ["killed by SIGABRT", "while: opening the library"];
    check_fixture("deadly-constructor", &json!({}), "load", "crashed", &parts);
}

#[test]
fn a_module_that_hangs_is_late() {
    let hanging = |how: &str, method: &str| json!({"how": how, "in": method});
    let states = "get_users_for_states: did not answer within 1000 ms";
    let interested = "get_interested_users: did not answer within 1000 ms";
    let cases = [
        ("sleep_thread", "states", "answers", states),
        ("spin", "states", "answers", states),
        ("lock", "states", "answers", states),
        ("never_ready", "states", "answers", states),
        ("lock", "interested", "answers", interested),
        (
            "sleep_thread",
            "shutdown",
            "load",
            "shutdown did not come to an end within 5 s",
        ),
        ("sleep_thread", "new", "load", "new did not answer within 10 s"),
    ];
    // Each waits for a deadline of the host's: together, they wait once.
    thread::scope(|scope| {
        for (how, method, only, part) in cases {
            let config = hanging(how, method);
            scope.spawn(move || check_fixture("hangs", &config, only, "failed", &[part]));
        }
    });

    let arguments = ["--only", "load", "--timeout", "3"];
    let output = verify(
        artifacts::fixture("hangs"),
        &hanging("lock", "parse_config"),
        &arguments,
    );
    let load = &output.expect_code(1).json()["checks"][1];
    assert_eq!(load["verdict"], "late", "{load:#}");
    let text = load["findings"].to_string();
    assert!(
        text.contains("while: having parse_config check the config"),
        "{text}"
    );
}

#[test]
fn a_panic_is_found_wherever_it_is() {
    for (place, only, part) in [
        ("parse_config", "load", "panicked in parse_config"),
        ("new", "load", "panicked in new"),
        ("shared_room_presence", "load", "panicked in shared_room_presence"),
        ("spawned_task", "load", "panicked in a spawned task"),
        (
            "thread",
            "load",
            "the module's own thread \\\"own-thread\\\" panicked",
        ),
        ("shutdown", "load", "panicked in shutdown"),
        ("drop_router", "load", "panicked in the drop of the router"),
        ("drop_config", "load", "panicked in new"),
        (
            "get_users_for_states",
            "answers",
            "panicked in get_users_for_states",
        ),
        (
            "get_interested_users",
            "answers",
            "panicked in get_interested_users",
        ),
        ("poll_states", "answers", "panicked in get_users_for_states"),
        ("poll_interested", "answers", "panicked in get_interested_users"),
        (
            "drop_future",
            "answers",
            "panicked in the drop of the future of get_users_for_states",
        ),
    ] {
        let config = json!({"where": place, "always_send_to_users": [GOBBLER]});
        check_fixture("panics", &config, only, "failed", &[part, "told to panic"]);
    }
}

#[test]
fn a_wrong_answer_is_named() {
    for (answer, part) in [
        (
            "index_out_of_range",
            "an update has the number 4000000000, of 1 states",
        ),
        (
            "span_out_of_range",
            "span 0 ends at 7, out of the range from 0 to 1",
        ),
        ("bad_user_id", "\\\"bob\\\" is not a user id"),
        (
            "unregistered_audience",
            "no audience is registered under the handle 18446744073709551615",
        ),
        ("bad_listed_range", "list 0 of users is out of range"),
        ("huge", "10000000 entries for one audience, of 1 states"),
        ("interested_bad_user_id", "\\\"bob\\\" is not a user id"),
    ] {
        let config = json!({"answer": answer});
        check_fixture("wrong-answers", &config, "answers", "failed", &[part]);
    }
}

#[test]
fn methods_that_disagree_are_shown_by_a_pair() {
    let config = |how: &str| json!({"how": how, "always_send_to_users": ["@g:example.org"], "blacklisted_users": ["@b:example.org"]});
    let check = |how: &str, parts: &[&str]| {
        check_fixture("misaligned", &config(how), "methods-line-up", "failed", parts);
    };
    check(
        "unwanted",
        &[
            "is sent to @g:example.org, who is not interested in",
            "config: the given one",
            "states: ",
            "get_interested_users(@g:example.org): nobody",
        ],
    );
    check(
        "missing",
        &["@b:example.org is interested in @g:example.org, who is not sent to @b:example.org"],
    );
    check(
        "empty_part",
        &["is sent to @g:example.org, but not when only_for asks for their part"],
    );
    check("off_by_one", &["@g:example.org"]);
    check(
        "by_state",
        &[
            "@g:example.org is interested in",
            "stranger:example.org offline",
            "is not sent to @g:example.org",
        ],
    );
    let output = verify(
        artifacts::fixture("misaligned"),
        &config("aligned"),
        &["--only", "methods-line-up"],
    );
    output.expect_code(0);
}

#[test]
fn answers_that_are_not_those_of_a_moment_ago_are_found() {
    let config = |how: &str| json!({"how": how, "always_send_to_users": ["@g:example.org"]});
    let parts = ["to @g:example.org, then not sent", "asked twice, one instance"];
    check_fixture(
        "misaligned",
        &config("every_second"),
        "same-answer",
        "failed",
        &parts,
    );
    let parts = [
        "to @g:example.org, then not sent",
        "the first of two instances, then the second",
    ];
    check_fixture(
        "misaligned",
        &config("shared_static"),
        "side-by-side",
        "failed",
        &parts,
    );
}

#[test]
fn what_is_left_behind_is_named() {
    let cases = [
        (
            "thread",
            "shutdown",
            "left behind after shutdown: thread `left-behind`",
        ),
        (
            "descriptor",
            "shutdown",
            "left behind after shutdown: descriptor of /dev/zero",
        ),
        (
            "signal_handler",
            "shutdown",
            "left behind after shutdown: a handler of SIGUSR2",
        ),
        (
            "ignored_signal",
            "shutdown",
            "left behind after shutdown: SIGTERM is ignored",
        ),
        (
            "api",
            "shutdown",
            "something still holds the instance's ModuleApi after shutdown",
        ),
        (
            "thread",
            "reload",
            "after 100 reloads there is more: 100 x thread `left-behind`",
        ),
        (
            "api",
            "reload",
            "3 of 3 instances are still there after their shutdown",
        ),
    ];
    // The suite gives what is left some seconds to go: together, they wait once.
    thread::scope(|scope| {
        for (what, only, part) in cases {
            scope.spawn(move || check_fixture("leaks", &json!({"what": what}), only, "failed", &[part]));
        }
    });
    let output = verify(
        artifacts::fixture("leaks"),
        &json!({"what": "nothing"}),
        &["--only", "shutdown"],
    );
    output.expect_code(0);
}

#[test]
fn a_config_that_is_read_carelessly_is_found_by_bad_ones() {
    let config = |how: &str| json!({"how": how, "limit": 1, "watchers": ["@a:example.org"]});
    let check = |how: &str, verdict: &str, parts: &[&str]| {
        check_fixture("careless-config", &config(how), "bad-config", verdict, parts);
    };
    check(
        "panics",
        "failed",
        &[
            "panicked in parse_config",
            "config: the given one with `limit` as -1",
        ],
    );
    check(
        "panics_in_new",
        "failed",
        &["panicked in new", "config: the given one with `limit` as -1"],
    );
    check("mute", "failed", &["a refusal names no key", "refusal: no"]);
    let lenient = [
        "a key that it does not know is taken",
        "what is no user id is taken",
    ];
    check("lenient", "warned", &lenient);
    // What is but a warning fails where nothing is let pass.
    let arguments = ["--only", "bad-config", "--level", "strict"];
    verify(
        artifacts::fixture("careless-config"),
        &config("lenient"),
        &arguments,
    )
    .expect_code(1);
}

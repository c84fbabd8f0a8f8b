//! A module that panics: the host lives, says which module and where, and serves shared rooms as ever.

use presence_router_tests::cli::run_cli;
use presence_router_tests::process::Output;
use presence_router_tests::{Config, GOBBLER, Host, PATIENCE, SyncRequest, artifacts, id_of};
use serde_json::json;

fn config(place: &str) -> Config {
    Config::neighbours()
        .module(
            artifacts::fixture("panics"),
            json!({"where": place, "always_send_to_users": [GOBBLER]}),
        )
        .set(&["presence", "presence_router", "call_timeout"], json!("300ms"))
}

fn run_command(command: &str, place: &str) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = config(place).write_into(directory.path());
    run_cli([command.as_ref(), "-c".as_ref(), file.as_os_str()])
}

#[test]
fn without_a_panic_it_routes() {
    // The control for all the others.
    let host = Host::start(&config("none"));
    let gobbler = host.user("presence_gobbler");
    let since = gobbler.now();
    host.check_shared_rooms("all is well");
    gobbler.sync_until_says(&since, &id_of("alice"), "all is well");
    host.terminate().expect_code(0);
}

#[test]
fn when_it_routes_states() {
    for place in ["get_users_for_states", "poll_states"] {
        let host = Host::start(&config(place));
        host.check_shared_rooms("first");
        host.log().wait_for(
            &["panics", "panicked in get_users_for_states", "told to panic"],
            PATIENCE,
        );
        // Whoever catches up through the module is served what they may see without it.
        assert_eq!(
            host.user("presence_gobbler")
                .sync(&SyncRequest::initial())
                .of(&id_of("alice")),
            None
        );
        host.check_shared_rooms("second");
        host.terminate().expect_code(0);
    }
}

#[test]
fn when_it_says_who_is_interested() {
    for place in ["get_interested_users", "poll_interested"] {
        let host = Host::start(&config(place));
        host.check_shared_rooms("first");
        host.user("presence_gobbler").sync(&SyncRequest::initial());
        host.log().wait_for(
            &["panics", "panicked in get_interested_users", "told to panic"],
            PATIENCE,
        );
        host.check_shared_rooms("second");
        host.terminate().expect_code(0);
    }
}

#[test]
fn when_a_future_is_dropped() {
    let host = Host::start(&config("drop_future"));
    host.check_shared_rooms("first");
    let dropped = "the drop of the future of get_users_for_states";
    host.log()
        .wait_for(&["panics", dropped, "told to panic"], PATIENCE);
    host.check_shared_rooms("second");
    host.terminate().expect_code(0);
}

#[test]
fn in_the_background() {
    for (place, logged) in [("spawned_task", "spawned task"), ("thread", "own-thread")] {
        let host = Host::start(&config(place));
        host.log()
            .wait_for(&["panics", logged, "told to panic"], PATIENCE);
        let gobbler = host.user("presence_gobbler");
        let since = gobbler.now();
        host.check_shared_rooms("the router itself is well");
        gobbler.sync_until_says(&since, &id_of("alice"), "the router itself is well");
        host.terminate().expect_code(0);
    }
}

#[test]
fn at_its_end() {
    for (place, logged) in [
        ("shutdown", "panicked in shutdown"),
        ("drop_router", "panicked in the drop of the router"),
    ] {
        let host = Host::start(&config(place));
        host.check_shared_rooms("until the end");
        host.terminate().expect_code(0).expect_stderr(&[logged]);
    }
}

#[test]
fn at_its_start_it_is_refused() {
    for (place, logged) in [
        ("new", "panicked in new"),
        ("shared_room_presence", "panicked in shared_room_presence"),
    ] {
        run_command("check", place).expect_code(0);
        run_command("run", place).expect_refusal(&[logged, "told to panic"]);
    }
}

#[test]
fn over_its_config_it_is_refused() {
    for command in ["check", "run"] {
        run_command(command, "parse_config").expect_refusal(&["panicked in parse_config", "told to panic"]);
    }
    // Here the config is fine, and only its drop is not.
    run_command("check", "drop_config").expect_code(0);
}

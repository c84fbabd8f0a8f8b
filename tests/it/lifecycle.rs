//! `presence-router run` from its start to its end.

use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use presence_router_tests::cli::run_cli;
use presence_router_tests::process::Process;
use presence_router_tests::{Client, Config, Host, PATIENCE, Request, artifacts, id_of, token_of};
use serde_json::json;

#[test]
fn it_says_what_it_loaded_and_where_it_listens() {
    let host = Host::start(&Config::neighbours().module(artifacts::broadcast(), json!({})));
    let [module] = host.modules() else {
        panic!("one module: {:?}", host.modules());
    };
    assert_eq!(module.name, "presence-router-broadcast");
    assert_eq!(module.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(module.router, "Broadcast");
    assert_eq!(module.generation, 1);
    assert!(module.sha256.len() >= 12, "{module:?}");
    assert!(module.path.ends_with("libbroadcast.so"), "{module:?}");
    let [listener] = host.listeners() else {
        panic!("one listener: {:?}", host.listeners());
    };
    assert!(listener.address.starts_with("http://127.0.0.1:"), "{listener:?}");
    assert_eq!(listener.resources, ["client", "health"]);
    host.terminate().expect_code(0);
}

#[test]
fn it_runs_without_a_module() {
    let host = Host::start(&Config::neighbours());
    assert!(host.modules().is_empty());
    let since = host.user("bob").now();
    host.user("alice").set("online", Some("nobody routes this"));
    host.user("bob")
        .sync_until_says(&since, &id_of("alice"), "nobody routes this");
    host.terminate().expect_code(0);
}

#[test]
fn the_text_for_people_has_a_line_for_each() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = Config::neighbours()
        .module(artifacts::broadcast(), json!({}))
        .write_into(directory.path());
    let mut command = Command::new(artifacts::host());
    command.arg("run").arg("-c").arg(file);
    let process = Process::start(command);
    let within = PATIENCE;
    process.stdout.wait_for(
        &[
            "presence-router-broadcast",
            env!("CARGO_PKG_VERSION"),
            "libbroadcast.so",
        ],
        within,
    );
    process.stdout.wait_for(&["http://127.0.0.1:"], within);
    process.stdout.wait_for(&["ready"], within);
    process.terminate();
    process.wait(within).expect_code(0);
}

#[test]
fn sigterm_shuts_modules_down_and_ends_well() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (started, stopped) = (directory.path().join("started"), directory.path().join("stopped"));
    let library = artifacts::fixture("touches");
    let config = Config::neighbours().module(library, json!({"started": started, "stopped": stopped}));
    let host = Host::start(&config);
    assert!(started.exists() && !stopped.exists());
    host.terminate().expect_code(0);
    assert!(stopped.exists(), "shutdown was not called");
}

#[test]
fn sigterm_does_not_wait_for_those_who_wait() {
    let host = Host::start(&Config::neighbours());
    let bob = host.user("bob");
    let since = bob.now();
    let (client, token) = (host.client(), token_of("bob"));
    thread::scope(|scope| {
        scope.spawn(move || {
            let path = format!("/_matrix/client/v3/sync?timeout=300000&set_presence=offline&since={since}");
            let long = Request::new("GET", path)
                .token(&token)
                .server_waits(Duration::from_mins(5));
            // An empty answer or a closed connection: either is an end.
            let _ = client.try_send(&long);
        });
        host.terminate().expect_code(0);
    });
}

#[test]
fn a_second_listener_answers_too() {
    let config = Config::neighbours().set(
        &["listeners"],
        json!([
            {"port": 0, "bind_addresses": ["127.0.0.1"], "resources": [{"names": ["client"]}]},
            {"port": 0, "bind_addresses": ["127.0.0.1"], "resources": [{"names": ["health"]}]},
        ]),
    );
    let host = Host::start(&config);
    let [first, second] = host.listeners() else {
        panic!("two listeners: {:?}", host.listeners());
    };
    assert_eq!(
        (first.resources.as_slice(), second.resources.as_slice()),
        (&["client".to_owned()] as &[_], &["health".to_owned()] as &[_],)
    );
    let status = |address: &str, path: &str| Client::new(address).send(&Request::new("GET", path)).status;
    assert_eq!(status(&first.address, "/_matrix/client/versions"), 200);
    assert_eq!(status(&first.address, "/health"), 404);
    assert_eq!(status(&second.address, "/health"), 200);
    assert_eq!(status(&second.address, "/_matrix/client/versions"), 404);
    host.terminate().expect_code(0);
}

#[test]
fn a_port_in_use_is_refused_by_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = Config::neighbours()
        .set(
            &["listeners"],
            json!([{"port": port, "bind_addresses": ["127.0.0.1"]}]),
        )
        .write_into(directory.path());
    let output = run_cli(["run".as_ref(), "-c".as_ref(), file.as_os_str()]);
    output.expect_refusal(&[&format!("127.0.0.1:{port}")]);
}
